//! The same request to both brokers, and their answers side by side.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use bytes::{Buf, Bytes, BytesMut};
use kafka_protocol::ResponseError;
use kafka_protocol::messages::metadata_request::MetadataRequestTopic;
use kafka_protocol::messages::{
    ApiKey, FindCoordinatorRequest, GroupId, HeartbeatRequest, InitProducerIdRequest, MetadataRequest, RequestHeader,
    ResponseHeader, TopicName,
};
use kafka_protocol::protocol::{Decodable, Encodable, Request, StrBytes};
use uuid::Uuid;

const PATIENCE: Duration = Duration::from_secs(60);

/// How a client calls itself.
pub(crate) const CLIENT: &str = "same-answers";

/// A connection to one of the brokers, and what it has of its own.
pub(crate) struct Side {
    pub(crate) servers: String,
    stream: TcpStream,
    /// Ids that were seen, each with its number.
    ids: BTreeMap<String, usize>,
}

/// Both, and where they differed.
pub(crate) struct Both {
    pub(crate) ours: Side,
    pub(crate) kafka: Side,
    differences: Vec<String>,
}

impl Side {
    fn new(servers: &str) -> Self {
        Self { servers: servers.to_owned(), stream: connect(servers), ids: BTreeMap::new() }
    }

    /// Nothing where the broker hangs up; then there is a new connection.
    pub(crate) fn ask<Q: Request>(&mut self, version: i16, request: &Q) -> Option<Q::Response> {
        self.send(version, request);
        let answer = self.answer::<Q>(version);
        if answer.is_none() {
            self.stream = connect(&self.servers);
        }
        answer
    }

    /// The answer to what was sent.
    pub(crate) fn answer<Q: Request>(&mut self, version: i16) -> Option<Q::Response> {
        self.receive().map(|mut frame| {
            let header = ApiKey::try_from(Q::KEY).expect("a key").response_header_version(version);
            ResponseHeader::decode(&mut frame, header).expect("a header");
            let response = Q::Response::decode(&mut frame, version).expect("a response");
            assert!(frame.is_empty(), "{} bytes are left of an answer of version {version}", frame.len());
            response
        })
    }

    pub(crate) fn send<Q: Request>(&mut self, version: i16, request: &Q) {
        let mut frame = BytesMut::new();
        let header = RequestHeader::default()
            .with_request_api_key(Q::KEY)
            .with_request_api_version(version)
            .with_correlation_id(7)
            .with_client_id(Some(StrBytes::from_static_str(CLIENT)));
        header.encode(&mut frame, Q::header_version(version)).expect("a header");
        request.encode(&mut frame, version).expect("a request");
        let length = i32::try_from(frame.len()).expect("a length");
        let sent = self.stream.write_all(&length.to_be_bytes()).and_then(|()| self.stream.write_all(&frame));
        sent.expect("a broker that listens");
    }

    fn receive(&mut self) -> Option<Bytes> {
        let mut length = [0; 4];
        self.stream.read_exact(&mut length).ok()?;
        let mut frame = vec![0; (&length[..]).get_u32() as usize];
        self.stream.read_exact(&mut frame).ok()?;
        Some(frame.into())
    }

    /// What is the broker's own, as something that both have. Of words only whether there are any.
    fn plain(&mut self, text: &str) -> String {
        let port = self.servers.rsplit_once(':').expect("a port").1;
        let mut plain = without_words(text).replace(&format!("port: {port}"), "port: P");
        for id in ids(text) {
            let next = self.ids.len();
            let number = *self.ids.entry(id.clone()).or_insert(next);
            plain = plain.replace(&id, &format!("id {number}"));
        }
        plain
    }
}

/// Whether there are words for an error, and not which.
fn without_words(text: &str) -> String {
    let mut parts = text.split("error_message: ");
    let mut plain = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let (words, rest) = match part.strip_prefix("Some(\"") {
            // No word holds this.
            Some(words) => words.split_once("\")").expect("the end of the words"),
            None => ("", part.trim_start_matches("None")),
        };
        plain += if words.is_empty() { "no words" } else { "words" };
        plain += rest;
    }
    plain
}

/// The UUIDs of a text, but for the one of zeros.
fn ids(text: &str) -> Vec<String> {
    const LENGTH: usize = 36;
    let windows = (0..text.len().saturating_sub(LENGTH - 1)).filter_map(|from| text.get(from..from + LENGTH));
    let is_id = |word: &&str| Uuid::try_parse(word).is_ok_and(|id| !id.is_nil());
    windows.filter(is_id).map(str::to_owned).collect()
}

fn connect(servers: &str) -> TcpStream {
    let stream = TcpStream::connect(servers).expect("a broker that listens");
    stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
    stream
}

impl Both {
    pub(crate) fn new(ours: &str, kafka: &str) -> Self {
        Self { ours: Side::new(ours), kafka: Side::new(kafka), differences: Vec::new() }
    }

    /// Asks both, and notes where their answers differ.
    pub(crate) fn same<Q: Request>(
        &mut self,
        what: &str,
        version: i16,
        request: impl Fn(&Side) -> Q,
    ) -> [Option<Q::Response>; 2]
    where
        Q::Response: Clone + std::fmt::Debug,
    {
        self.same_as(what, version, request, |_| {})
    }

    /// The same, without what may differ.
    pub(crate) fn same_as<Q: Request>(
        &mut self,
        what: &str,
        version: i16,
        request: impl Fn(&Side) -> Q,
        strip: impl Fn(&mut Q::Response),
    ) -> [Option<Q::Response>; 2]
    where
        Q::Response: Clone + std::fmt::Debug,
    {
        let answers = [&mut self.ours, &mut self.kafka].map(|side| {
            let request = request(side);
            let answer = side.ask(version, &request);
            let stripped = answer.clone().map(|mut answer| {
                strip(&mut answer);
                side.plain(&format!("{answer:?}"))
            });
            (answer, stripped)
        });
        let [(ours, ours_shown), (kafka, kafka_shown)] = answers;
        if ours_shown != kafka_shown {
            let [ours, kafka] = from_where_they_differ(ours_shown, kafka_shown);
            self.differences.push(format!("{what}, version {version}:\n  ours  …{ours}\n  Kafka …{kafka}"));
        }
        [ours, kafka]
    }

    /// Waits until both have, or no longer have, a topic: Kafka tells its clients a moment later.
    pub(crate) fn settle(&mut self, topic: &str, is_there: bool) {
        for side in [&mut self.ours, &mut self.kafka] {
            let began = Instant::now();
            while topic_id(side, topic).is_some() != is_there {
                assert!(began.elapsed() < PATIENCE, "topic {topic} on {}", side.servers);
            }
        }
    }

    /// Fails where the answers differed.
    pub(crate) fn finish(self) {
        assert!(self.differences.is_empty(), "{} differences\n{}", self.differences.len(), self.differences.join("\n"));
    }
}

/// Kafka makes its topic of offsets when somebody asks for a group, and looks after groups and producers a moment later.
pub(crate) fn wait_for_groups(servers: &str) {
    let mut side = Side::new(servers);
    let find = FindCoordinatorRequest::default().with_key(text("any"));
    let beat = HeartbeatRequest::default().with_group_id(GroupId(text("any"))).with_member_id(text("nobody"));
    let producer = InitProducerIdRequest::default().with_transactional_id(None);
    let began = Instant::now();
    while side.ask(2, &find).expect("an answer").error_code != 0
        || side.ask(0, &beat).expect("an answer").error_code != ResponseError::UnknownMemberId.code()
        || side.ask(0, &producer).expect("an answer").error_code != 0
    {
        assert!(began.elapsed() < PATIENCE, "no groups on {servers}");
    }
}

/// Two answers, which may be none, from a little before their first difference on.
fn from_where_they_differ(ours: Option<String>, kafka: Option<String>) -> [String; 2] {
    const BEFORE: usize = 60;
    let [ours, kafka] = [ours, kafka].map(|answer| answer.unwrap_or_else(|| "hung up".to_owned()));
    let common = ours.bytes().zip(kafka.bytes()).take_while(|(a, b)| a == b).count();
    [ours, kafka].map(|text| text.chars().skip(common.saturating_sub(BEFORE)).take(400).collect())
}

/// The id of a topic, if it is there.
pub(crate) fn topic_id(side: &mut Side, topic: &str) -> Option<Uuid> {
    let asked = MetadataRequestTopic::default().with_name(Some(name(topic)));
    let request = MetadataRequest::default().with_topics(Some(vec![asked])).with_allow_auto_topic_creation(false);
    let topic = side.ask(12, &request).expect("an answer").topics.remove(0);
    (topic.error_code == 0).then_some(topic.topic_id)
}

pub(crate) fn name(text: &str) -> TopicName {
    TopicName(StrBytes::from_string(text.to_owned()))
}

pub(crate) fn text(text: &str) -> StrBytes {
    StrBytes::from_string(text.to_owned())
}
