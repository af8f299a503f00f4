//! What a partition remembers of its idempotent producers: a batch that comes again is not stored again, and none is
//! left out.

use std::collections::{HashMap, VecDeque};

use kafka_protocol::ResponseError;

use super::batch::Header;
use crate::broker::refusal::{Answer, Refusal};

/// A producer has at most five requests under way, so no earlier batch can come again.
const REMEMBERED_BATCHES: usize = 5;

/// A producer that was silent for so long is forgotten, as Kafka's `producer.id.expiration.ms` says.
const FORGET_AFTER_MS: i64 = 24 * 60 * 60 * 1000;

#[derive(Debug, Default)]
pub(super) struct Producers {
    by_id: HashMap<i64, Producer>,
}

#[derive(Debug)]
struct Producer {
    epoch: i16,
    /// The latest, in order; at least one.
    batches: VecDeque<Sequenced>,
    seen_ms: i64,
}

/// A batch that is in the log.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sequenced {
    first: i32,
    last: i32,
    pub(super) base_offset: i64,
    pub(super) max_timestamp: i64,
}

impl Producers {
    /// Whether a batch may be appended; a duplicate is what it was stored as.
    pub(super) fn check(&self, header: &Header) -> Answer<Option<Sequenced>> {
        let Some(producer) = header.producer().and_then(|id| self.by_id.get(&id)) else {
            // Unknown, or all that it sent has been deleted: it may go on from anywhere.
            return Ok(None);
        };
        let (epoch, first, last) = (header.producer_epoch, header.base_sequence, header.last_sequence());
        if epoch < producer.epoch {
            return Err(ResponseError::InvalidProducerEpoch.into());
        }
        if epoch > producer.epoch {
            return if first == 0 { Ok(None) } else { Err(out_of_order(first, -1)) };
        }
        if let Some(duplicate) = producer.batches.iter().find(|batch| (batch.first, batch.last) == (first, last)) {
            return Ok(Some(*duplicate));
        }
        let latest = producer.batches.back().map_or(-1, |batch| batch.last);
        if first == latest.checked_add(1).unwrap_or(0) { Ok(None) } else { Err(out_of_order(first, latest)) }
    }

    /// Remembers a batch that is in the log.
    pub(super) fn note(&mut self, header: &Header, now_ms: i64) {
        let Some(id) = header.producer() else { return };
        let epoch = header.producer_epoch;
        let producer =
            self.by_id.entry(id).or_insert_with(|| Producer { epoch, batches: VecDeque::new(), seen_ms: now_ms });
        if producer.epoch != epoch {
            *producer = Producer { epoch, batches: VecDeque::new(), seen_ms: now_ms };
        }
        producer.seen_ms = now_ms;
        producer.batches.push_back(Sequenced {
            first: header.base_sequence,
            last: header.last_sequence(),
            base_offset: header.base_offset,
            max_timestamp: header.max_timestamp,
        });
        if producer.batches.len() > REMEMBERED_BATCHES {
            producer.batches.pop_front();
        }
    }

    pub(super) fn forget_silent(&mut self, now_ms: i64) {
        self.by_id.retain(|_, producer| now_ms - producer.seen_ms < FORGET_AFTER_MS);
    }
}

fn out_of_order(first: i32, latest: i32) -> Refusal {
    let message = format!("Out of order sequence number: {first} (incoming), {latest} (current end sequence number)");
    Refusal::new(ResponseError::OutOfOrderSequenceNumber, message)
}
