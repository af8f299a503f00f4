//! Which topic it is that has a name. A topic that is deleted and created again is another one, and its id tells.
//!
//! The Kafka client gives the id to nobody, but logs it when it learns it. So a client of its own listens to its log: it joins
//! no group, fetches nothing, and serves all mappings of one cluster. (The mappings' own clients can't do it: with these lines
//! in the log, librdkafka 2.12 may wait for itself for ever when a topic is deleted.)

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};
use rdkafka::error::{KafkaError, KafkaResult};
use rdkafka::{ClientContext, Offset, TopicPartitionList};

use super::SourceConfig;
use super::consumer;
use super::hearsay::changed_id;

/// Topics are looked at by themselves this often.
const REFRESH_MS: &str = "1000";
/// How long an answer may take.
const ANSWER_WITHIN: Duration = Duration::from_secs(1);
/// An answer is still good after this time: brokers do not tell each other of a new topic faster.
const GOOD_FOR: Duration = Duration::from_millis(10);
/// Between two questions for a topic of which the client has not said anything yet.
const ASK_AGAIN_AFTER: Duration = Duration::from_millis(20);

/// The ids of one cluster's topics.
pub(crate) struct TopicIds {
    /// `None` when the client's settings are refused: then its mappings can't start either, and say so.
    client: Mutex<Option<Client>>,
}

struct Client {
    consumer: BaseConsumer<Ears>,
    topics: BTreeMap<String, Asked>,
}

/// What was asked of a topic.
#[derive(Clone, Copy, Debug, Default)]
struct Asked {
    at: Option<Instant>,
    /// The brokers know the topic and tell no ids.
    is_without: bool,
}

#[derive(Default)]
struct Ears(Mutex<Heard>);

#[derive(Default)]
struct Heard {
    ids: BTreeMap<String, String>,
    /// How much was heard, of whatever.
    count: u64,
}

impl TopicIds {
    /// For the mappings of this one's cluster.
    pub(crate) fn new(source: &SourceConfig) -> Self {
        let mut config = consumer::client(source);
        config
            .set("topic.metadata.refresh.interval.ms", REFRESH_MS)
            .set("debug", "metadata")
            .set_log_level(RDKafkaLogLevel::Debug);
        let client = config.create_with_context(Ears::default());
        let client = client.inspect_err(|error| tracing::debug!(%error, "no client can listen for topics' ids"));
        let client = client.map(|consumer| Client { consumer, topics: BTreeMap::new() });
        Self { client: Mutex::new(client.ok()) }
    }

    /// The topic's id, as last heard; nothing is asked for it.
    pub(super) fn known(&self, topic: &str) -> Option<String> {
        let client = self.lock();
        let client = client.as_ref()?;
        client.listen();
        client.id(topic)
    }

    /// The topic's id at this moment. `None` when there is no such topic, no answer, or the brokers tell no ids.
    pub(super) fn ask(&self, topic: &str) -> Option<String> {
        let mut client = self.lock();
        let client = client.as_mut()?;
        let outcome = client.ask(topic);
        outcome.unwrap_or_else(|error| {
            tracing::debug!(kafka.topic = topic, %error, "the brokers do not tell a topic's id");
            None
        })
    }

    fn lock(&self) -> MutexGuard<'_, Option<Client>> {
        self.client.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Client {
    fn id(&self, topic: &str) -> Option<String> {
        self.consumer.context().heard().ids.get(topic).cloned()
    }

    fn ask(&mut self, topic: &str) -> KafkaResult<Option<String>> {
        let asked = self.watch(topic)?;
        if asked.at.is_some_and(|at| at.elapsed() < GOOD_FOR) || asked.is_without {
            return Ok(self.id(topic));
        }
        let deadline = Instant::now() + ANSWER_WITHIN;
        let mut asked = Asked { at: Some(Instant::now()), is_without: false };
        while Instant::now() < deadline {
            let metadata = self.consumer.fetch_metadata(Some(topic), ANSWER_WITHIN)?;
            // What the answer has changed was said before it came.
            self.listen();
            if metadata.topics().first().is_none_or(|found| found.error().is_some()) {
                return Ok(None);
            }
            asked.is_without = self.id(topic).is_none();
            if !asked.is_without {
                break;
            }
            // The client has only just begun to watch the topic.
            std::thread::park_timeout(ASK_AGAIN_AFTER);
        }
        self.topics.insert(topic.to_owned(), asked);
        Ok(self.id(topic))
    }

    /// Has the client look at the topic, too. It speaks only of topics of which a partition is assigned.
    fn watch(&mut self, topic: &str) -> KafkaResult<Asked> {
        if let Some(asked) = self.topics.get(topic) {
            return Ok(*asked);
        }
        let mut list = TopicPartitionList::new();
        for known in self.topics.keys().map(String::as_str).chain([topic]) {
            list.add_partition_offset(known, 0, Offset::End)?;
        }
        self.consumer.assign(&list)?;
        // Nothing of it is wanted.
        self.consumer.pause(&list)?;
        self.topics.insert(topic.to_owned(), Asked::default());
        Ok(Asked::default())
    }

    /// Hears all that the client has to say.
    fn listen(&self) {
        let count = || self.consumer.context().heard().count;
        let mut before = count();
        // A poll that brings a line of the log says that it has brought nothing.
        while self.consumer.poll(Duration::ZERO).is_some() || count() != before {
            before = count();
        }
    }
}

impl Ears {
    fn heard(&self) -> MutexGuard<'_, Heard> {
        // Every writer leaves a whole value behind.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ClientContext for Ears {
    fn log(&self, _: RDKafkaLogLevel, _: &str, message: &str) {
        let mut heard = self.heard();
        heard.count += 1;
        if let Some((topic, id)) = changed_id(message) {
            heard.ids.insert(topic.to_owned(), id.to_owned());
        }
    }

    /// What is wrong with the brokers is the mappings' to say.
    fn error(&self, _: KafkaError, _: &str) {
        self.heard().count += 1;
    }
}

impl ConsumerContext for Ears {}
