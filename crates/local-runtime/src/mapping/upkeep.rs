//! What a mapping does between batches: taking and giving back partitions, finding where they begin, committing, and
//! standing still where a record can't be delivered.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use rdkafka::consumer::{CommitMode, Consumer};
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode};
use rdkafka::{Offset, TopicPartitionList};

use super::consumer::Change;
use super::look::{Found, Looker};
use super::partitions::{Commit, Start};
use super::poller::EventSource;
use super::start::{self, Bounds, Starting};
use super::status::MappingState;
use super::stop::{Stop, StopReason};
use super::topic_ids::TopicIds;
use super::trouble;

/// The same trouble with the broker is logged once in this time.
const REPEAT_LOG_AFTER: Duration = Duration::from_secs(30);
/// A commit that the broker has refused is tried again after this time.
const COMMIT_RETRY_AFTER: Duration = Duration::from_secs(1);
/// Where partitions begin is asked again after this time.
const BEGIN_RETRY_AFTER: Duration = Duration::from_secs(1);
/// A partition that stands still is looked at again after this time: its record may have been repaired, or deleted, and
/// more has come behind it.
const LOOK_AGAIN_AFTER: Duration = Duration::from_secs(10);

/// When what is to be done again.
#[derive(Debug, Default)]
pub(super) struct Timers {
    commit: Option<Instant>,
    begin: Option<Instant>,
    look: Option<Instant>,
}

impl Timers {
    pub(super) fn next(&self) -> Option<Instant> {
        [self.commit, self.begin, self.look].into_iter().flatten().min()
    }
}

/// What was said of the trouble with brokers and topic, so that it is not said all the time.
#[derive(Debug, Default)]
pub(super) struct Trouble {
    said: BTreeMap<String, Instant>,
    passed_offsets: u64,
    passed_said: Option<Instant>,
}

impl Trouble {
    /// Offsets that hold no record were passed.
    pub(super) fn passed(&mut self, offsets: u64) {
        self.passed_offsets += offsets;
    }

    /// Whether something was said lately.
    fn is_recent(&mut self) -> bool {
        self.said.retain(|_, at| at.elapsed() <= REPEAT_LOG_AFTER);
        !self.said.is_empty()
    }

    /// Whether these words were not said lately; from now on they were.
    fn is_news(&mut self, why: &str) -> bool {
        let was_said = self.is_recent() && self.said.contains_key(why);
        if !was_said {
            self.said.insert(why.to_owned(), Instant::now());
        }
        !was_said
    }
}

fn is_due(at: Option<Instant>) -> bool {
    at.is_none_or(|at| at <= Instant::now())
}

impl EventSource {
    /// The client had nothing to hand over: time for everything else.
    pub(super) fn keep_up(&mut self) {
        let Some(consumer) = &self.consumer else { return };
        let context = consumer.context();
        let changes = context.take_changes();
        let is_hung_up = !self.partitions.were_assigned() && context.has_complaint();
        self.apply(changes);
        if self.is_topic_another(|ids, topic| ids.known(topic)) {
            return;
        }
        // While connecting, a broker that hangs up is logged and no error of `poll`, unless all did it at once.
        if is_hung_up && self.trouble.said.is_empty() {
            self.note(&KafkaError::MessageConsumption(RDKafkaErrorCode::BrokerTransportFailure));
        }
        self.note_leaderless();
        self.note_passed();
        self.begin();
        self.skip_told();
        self.look_again();
        self.commit_reached();
    }

    /// What a rebalance means for the records at hand.
    fn apply(&mut self, changes: Vec<Change>) {
        for change in changes {
            match change {
                Change::Assigned(partitions) => self.assign(&partitions),
                Change::Revoked(partitions) => self.revoke(&partitions),
            }
        }
    }

    fn assign(&mut self, partitions: &[i32]) {
        // What was paused was resumed when it was revoked.
        self.is_paused = false;
        self.partitions.assign(partitions);
        self.timers.begin = None;
        let mapping = &self.source.mapping;
        tracing::info!(
            function.name = %mapping.function, kafka.topic = %mapping.topic, kafka.group = %mapping.group,
            kafka.partitions = ?partitions, "partitions were assigned"
        );
        if !partitions.is_empty() {
            self.trouble.said.clear();
            self.shared.set_state(MappingState::Running);
        } else if self.trouble.said.is_empty() {
            self.shared.set_state(MappingState::Spare);
        }
        self.shared.set_partitions(&self.partitions);
    }

    fn revoke(&mut self, partitions: &[i32]) {
        self.partitions.revoke(partitions);
        self.forget_others();
        let topic = &self.source.mapping.topic;
        tracing::info!(kafka.topic = %topic, kafka.partitions = ?partitions, "partitions were revoked");
        self.shared.set_state(MappingState::Waiting("the group is rebalancing".into()));
    }

    /// Forgets records that are not of a current assignment. What is with the function can't be called back: it is not
    /// committed, nor repeated.
    fn forget_others(&mut self) {
        let partitions = &self.partitions;
        self.gatherer.retain(|partition, assignment| partitions.is_current(partition, assignment), Instant::now());
        self.shared.set_partitions(&self.partitions);
    }

    /// Whether another topic has taken the name. Then everything begins anew: with a new client, since the old one keeps too
    /// much of the topic that is gone (positions, leaders' epochs).
    pub(super) fn is_topic_another(&mut self, id_of: impl FnOnce(&TopicIds, &str) -> Option<String>) -> bool {
        let mapping = &self.source.mapping;
        let Some(new_id) = id_of(&self.topic_ids, &mapping.topic) else { return false };
        let old_id = self.topic_id.replace(new_id.clone());
        let Some(old_id) = old_id.filter(|old_id| *old_id != new_id) else { return false };
        tracing::warn!(
            function.name = %mapping.function, kafka.topic = %mapping.topic, kafka.group = %mapping.group,
            kafka.topic_id.old = old_id, kafka.topic_id.new = new_id,
            "the topic was deleted and created again: its records are delivered as those of a new topic"
        );
        self.partitions.clear();
        self.forget_others();
        self.processed.clear();
        self.timers = Timers::default();
        self.is_paused = false;
        // All that is in it is newer than the mapping's start.
        self.new_from = Some(0);
        self.shared.set_state(MappingState::Waiting("the topic was created again".into()));
        // The old client leaves the group first.
        self.consumer = None;
        self.connect();
        true
    }

    /// Finds where partitions begin that were assigned, and has them fetched from there.
    fn begin(&mut self) {
        let waiting = self.partitions.without_start();
        if waiting.is_empty() || !is_due(self.timers.begin) {
            return;
        }
        if self.is_topic_another(TopicIds::ask) {
            return;
        }
        self.timers.begin = match self.try_begin(&waiting) {
            Ok(()) if self.partitions.without_start().is_empty() => None,
            Ok(()) => Some(Instant::now() + BEGIN_RETRY_AFTER),
            Err(error) => {
                let topic = &self.source.mapping.topic;
                tracing::warn!(kafka.topic = %topic, %error, "where partitions begin is not known yet; asking again");
                Some(Instant::now() + BEGIN_RETRY_AFTER)
            }
        };
        self.fetch();
    }

    fn try_begin(&mut self, waiting: &[i32]) -> KafkaResult<()> {
        let Some(consumer) = &self.consumer else { return Ok(()) };
        let mapping = &self.source.mapping;
        let new_from = match self.new_from {
            Some(new_from) => new_from,
            None => start::count_partitions(consumer, &mapping.topic)?,
        };
        self.new_from = Some(new_from);
        let bounds = Bounds::ask(consumer, &mapping.topic, waiting);
        let starting = Starting::new(mapping, new_from);
        let found = start::find(consumer, mapping, self.topic_id.as_deref(), starting, waiting, &bounds)?;
        for beginning in found {
            self.partitions.begin(beginning);
            self.mind_lost(beginning.partition, &bounds);
        }
        self.shared.set_partitions(&self.partitions);
        self.hear_ends(waiting, &bounds);
        Ok(())
    }

    fn hear_ends(&self, partitions: &[i32], bounds: &Bounds) {
        let ends = partitions.iter().filter_map(|partition| Some((*partition, bounds.end(*partition)?)));
        self.shared.ends(&ends.collect());
    }

    /// Has the client fetch what runs, from where it is.
    pub(super) fn fetch(&mut self) {
        let Some(consumer) = &self.consumer else { return };
        let topic = &self.source.mapping.topic;
        let mut list = TopicPartitionList::new();
        let running = self.partitions.running().try_for_each(|(partition, start)| {
            let offset = match start {
                Start::At(offset) => Offset::Offset(offset),
                Start::Oldest => Offset::Beginning,
                Start::End => Offset::End,
            };
            list.add_partition_offset(topic, partition, offset)
        });
        // A pause outlives the assignment.
        let resumed = if self.is_paused { consumer.assignment().and_then(|all| consumer.resume(&all)) } else { Ok(()) };
        match running.and(resumed).and_then(|()| consumer.assign(&list)) {
            Ok(()) => self.is_paused = false,
            Err(error) => {
                tracing::warn!(kafka.topic = %topic, %error, "the partitions could not be fetched; trying again");
                self.timers.begin = Some(Instant::now() + BEGIN_RETRY_AFTER);
            }
        }
    }

    /// The brokers do not have what is next in some partition: it was deleted, or the partition ends before it.
    pub(super) fn find_place(&mut self) {
        if self.is_topic_another(TopicIds::ask) {
            return;
        }
        let Some(consumer) = &self.consumer else { return };
        let mapping = &self.source.mapping;
        let running: Vec<_> = self.partitions.running().collect();
        let ids: Vec<_> = running.iter().map(|(partition, _)| *partition).collect();
        let bounds = Bounds::ask(consumer, &mapping.topic, &ids);
        let beyond = running.iter().filter_map(|(partition, start)| match (start, bounds.end(*partition)) {
            (Start::At(next), Some(end)) if *next > end => Some((*partition, *next, end)),
            _ => None,
        });
        let beyond: Vec<_> = beyond.collect();
        let ids_beyond: Vec<_> = beyond.iter().map(|(partition, ..)| *partition).collect();
        let starting = Starting::new(mapping, self.new_from.unwrap_or(i32::MAX));
        let starts = starting.of_all(consumer, &mapping.topic, &ids_beyond, &bounds);
        for (partition, next, end) in beyond {
            let Some(start) = starts.get(&partition) else { continue };
            tracing::error!(
                function.name = %mapping.function, kafka.topic = %mapping.topic, kafka.group = %mapping.group,
                kafka.partition = partition, kafka.offset = next, kafka.end = end,
                "the group's offset lies behind the partition's end (was the topic restored, or the offset set by \
                 hand?): the partition begins anew at the mapping's starting position"
            );
            self.partitions.begin_anew(partition, *start);
        }
        for partition in ids {
            self.mind_lost(partition, &bounds);
        }
        self.forget_others();
        self.fetch();
    }

    /// Records that were deleted before they could be read are gone: says how many, and goes on with the oldest that is
    /// there.
    fn mind_lost(&mut self, partition: i32, bounds: &Bounds) {
        let Some(oldest) = bounds.oldest(partition) else { return };
        let Some(lost) = self.partitions.lose(partition, oldest) else { return };
        let mapping = &self.source.mapping;
        self.shared.lost(lost);
        tracing::error!(
            function.name = %mapping.function, kafka.topic = %mapping.topic, kafka.group = %mapping.group,
            kafka.partition = partition, kafka.offset = oldest, lost_offsets = lost,
            "records were deleted before they were read (the topic's retention is too short for how long the mapping \
             stood still): going on with the oldest that is there"
        );
    }

    /// All of a partition below this offset was handed over.
    pub(super) fn reached(&mut self, partition: i32, end: i64) {
        self.partitions.reached(partition, end);
        self.shared.set_partitions(&self.partitions);
        self.shared.ends(&[(partition, end)].into());
    }

    /// Stops a partition at a record that can't be delivered; the others go on.
    pub(super) fn stand_still(&mut self, partition: i32, offset: i64, next_offset: i64, reason: StopReason) {
        let mapping = &self.source.mapping;
        tracing::error!(
            function.name = %mapping.function, kafka.topic = %mapping.topic, kafka.group = %mapping.group,
            kafka.partition = partition, kafka.offset = offset, kafka.next_offset = next_offset, %reason,
            "a record can't be delivered: its partition stands still, the others go on; `trunkline skip` goes past it"
        );
        self.partitions.stop_at(partition, Stop { offset, next_offset, reason, since: Timestamp::now() });
        self.timers.look = Some(Instant::now() + LOOK_AGAIN_AFTER);
        self.shared.set_partitions(&self.partitions);
        self.fetch();
    }

    /// The client can't read something, and does not say where: looks at what is next in each partition.
    pub(super) fn find_unreadable(&mut self, error: &KafkaError) {
        let looked = self.look_at_next();
        let undeliverable = looked.inspect_err(|error| tracing::warn!(%error, "the partitions could not be looked at"));
        let undeliverable = undeliverable.unwrap_or_default();
        if undeliverable.is_empty() {
            // The client may have gone past it: once more from there.
            self.note(error);
            return self.fetch();
        }
        for (partition, offset, next_offset, reason) in undeliverable {
            self.stand_still(partition, offset, next_offset, reason);
        }
    }

    /// The partitions whose next record can't be delivered: partition, offset, the next one behind it, and why.
    fn look_at_next(&self) -> anyhow::Result<Vec<(i32, i64, i64, StopReason)>> {
        let Some(consumer) = &self.consumer else { return Ok(Vec::new()) };
        let running: Vec<_> = self.partitions.running().collect();
        let ids: Vec<_> = running.iter().map(|(partition, _)| *partition).collect();
        let bounds = Bounds::ask(consumer, &self.source.mapping.topic, &ids);
        let looker = Looker::new(&self.source)?;
        let mut undeliverable = Vec::new();
        for (partition, start) in running {
            let next = match start {
                Start::At(next) => Some(next),
                Start::Oldest => bounds.oldest(partition),
                Start::End => bounds.end(partition),
            };
            let Some(next) = next else { continue };
            if let Found::Undeliverable { reason, next_offset, .. } = looker.find(partition, next)? {
                undeliverable.push((partition, next, next_offset, reason));
            }
        }
        Ok(undeliverable)
    }

    /// Goes past records that somebody has decided to do without.
    fn skip_told(&mut self) {
        let mut is_changed = false;
        for (partition, offset) in self.shared.take_skips() {
            let Some(stop) = self.partitions.stop(partition).filter(|stop| stop.offset == offset) else { continue };
            let next = stop.next_offset;
            tracing::warn!(
                kafka.topic = %self.source.mapping.topic, kafka.group = %self.source.mapping.group,
                kafka.partition = partition, kafka.offset = offset, kafka.next_offset = next,
                "a record is skipped as decided; its partition goes on"
            );
            self.partitions.go_on(partition, next);
            is_changed = true;
        }
        if is_changed {
            self.shared.set_partitions(&self.partitions);
            self.fetch();
        }
    }

    /// Looks again at the records at which partitions stand still: a broker may have repaired one, retention deleted
    /// it.
    fn look_again(&mut self) {
        let stops: Vec<_> = self.partitions.stops().map(|(partition, stop)| (partition, stop.clone())).collect();
        if stops.is_empty() || !is_due(self.timers.look) {
            return;
        }
        self.timers.look = Some(Instant::now() + LOOK_AGAIN_AFTER);
        let Some(consumer) = &self.consumer else { return };
        let ids: Vec<_> = stops.iter().map(|(partition, _)| *partition).collect();
        let bounds = Bounds::ask(consumer, &self.source.mapping.topic, &ids);
        self.hear_ends(&ids, &bounds);
        for (partition, stop) in stops {
            let is_deleted = bounds.oldest(partition).is_some_and(|oldest| oldest > stop.offset);
            if is_deleted || stop.reason.may_heal() && self.is_readable(partition, stop.offset) {
                tracing::info!(
                    kafka.topic = %self.source.mapping.topic, kafka.partition = partition, kafka.offset = stop.offset,
                    "the record is not in the way any more; its partition goes on"
                );
                self.partitions.go_on(partition, stop.offset);
                self.mind_lost(partition, &bounds);
                self.shared.set_partitions(&self.partitions);
                self.fetch();
            }
        }
    }

    fn is_readable(&self, partition: i32, offset: i64) -> bool {
        let found = Looker::new(&self.source).and_then(|looker| looker.find(partition, offset));
        matches!(found, Ok(Found::Record | Found::Nothing))
    }

    /// Commits what partitions have reached without a record to process: marks of transactions, aborted or compacted
    /// records, skipped ones.
    fn commit_reached(&mut self) {
        let (gatherer, flight) = (&self.gatherer, &self.flight);
        let reached: Vec<Commit> = self.partitions.commits(|partition, assignment| {
            gatherer.has(partition, assignment)
                || flight.as_ref().is_some_and(|flight| flight.batch.has(partition, assignment))
        });
        if reached.is_empty() && self.processed.is_empty() || !is_due(self.timers.commit) {
            return;
        }
        self.processed.extend(reached.into_iter().map(|(partition, offset, a)| (partition, (offset, a))));
        self.commit();
    }

    /// Commits what has been processed, save partitions that have gone since their records were gathered.
    pub(super) fn commit(&mut self) {
        self.timers.commit = None;
        let partitions = &self.partitions;
        self.processed.retain(|partition, (_, assignment)| partitions.is_current(*partition, *assignment));
        let Some(consumer) = self.consumer.as_ref().filter(|_| !self.processed.is_empty()) else { return };
        let topic = &self.source.mapping.topic;
        let mark = self.topic_id.as_deref().map(start::mark);
        let mut offsets = TopicPartitionList::new();
        let listed = self.processed.iter().try_for_each(|(partition, (offset, _))| {
            let mut element = offsets.add_partition(topic, *partition);
            if let Some(mark) = &mark {
                element.set_metadata(mark);
            }
            element.set_offset(Offset::Offset(*offset))
        });
        match listed.and_then(|()| consumer.commit(&offsets, CommitMode::Sync)) {
            Ok(()) => {
                for (partition, (offset, _)) in std::mem::take(&mut self.processed) {
                    self.partitions.committed(partition, offset);
                }
                self.shared.set_partitions(&self.partitions);
            }
            // At least once: if these partitions go before a commit succeeds, their next owner repeats the records.
            Err(error) => {
                tracing::warn!(kafka.topic = %topic, %error, "a commit failed and is tried again");
                self.timers.commit = Some(Instant::now() + COMMIT_RETRY_AFTER);
            }
        }
    }

    /// Trouble with broker or topic: said once, and waited out.
    pub(super) fn note(&mut self, error: &KafkaError) {
        // That all brokers are down follows what is wrong with each, and says less.
        if error.rdkafka_error_code() == Some(RDKafkaErrorCode::AllBrokersDown) && self.trouble.is_recent() {
            return;
        }
        let complaint = self.consumer.as_ref().map(|consumer| consumer.context().complaint()).unwrap_or_default();
        let why = trouble::describe(error, &complaint, &self.source.brokers, &self.source.mapping.topic);
        self.say(&why, &complaint);
        // With partitions at hand the client recovers by itself.
        if self.partitions.is_empty() {
            self.shared.set_state(MappingState::Waiting(why));
        }
    }

    fn say(&mut self, why: &str, complaint: &str) {
        if self.trouble.is_news(why) {
            let mapping = &self.source.mapping;
            tracing::warn!(function.name = %mapping.function, kafka.topic = %mapping.topic, complaint, "{why}");
        }
    }

    /// The client waits for a leader without a word.
    fn note_leaderless(&mut self) {
        let leaderless = self.shared.leaderless();
        if !leaderless.is_empty() && !self.partitions.is_empty() {
            let why = format!(
                "no broker leads the partitions {leaderless:?} of topic {}: waiting for one (are brokers down?)",
                self.source.mapping.topic
            );
            self.say(&why, "");
        }
    }

    fn note_passed(&mut self) {
        let offsets = self.trouble.passed_offsets;
        if offsets == 0 || self.trouble.passed_said.is_some_and(|at| at.elapsed() <= REPEAT_LOG_AFTER) {
            return;
        }
        let mapping = &self.source.mapping;
        tracing::info!(
            function.name = %mapping.function, kafka.topic = %mapping.topic, passed_offsets = offsets,
            "offsets were passed that hold no record (marks of transactions, aborted or compacted records): nothing is \
             lost"
        );
        self.trouble.passed_offsets = 0;
        self.trouble.passed_said = Some(Instant::now());
    }
}
