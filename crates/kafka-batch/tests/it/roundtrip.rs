use std::collections::BTreeMap;
use std::ops::Range;

use kafka_batch::{PartitionBatch, encode, parse};
use proptest::collection::{btree_map, vec};
use proptest::option;
use proptest::prelude::*;
use stream::{Header, Record};

fn bytes(len: Range<usize>) -> impl Strategy<Value = Vec<u8>> {
    vec(any::<u8>(), len)
}

fn record() -> impl Strategy<Value = Record> {
    let header = ("\\PC{0,8}", option::of(bytes(0..8))).prop_map(|(name, value)| Header { name, value });
    (any::<i64>(), option::of(bytes(0..16)), option::of(bytes(0..64)), vec(header, 0..3))
        .prop_map(|(timestamp_ms, key, value, headers)| Record { offset: 0, timestamp_ms, key, value, headers })
}

fn batches() -> impl Strategy<Value = Vec<PartitionBatch>> {
    let records = btree_map(0..i64::MAX, record(), 1..20);
    btree_map(("[a-z][a-z0-9._-]{0,8}", 0..200_i32), records, 0..6).prop_map(|batches| {
        let batch = |((topic, partition), records): ((String, i32), BTreeMap<i64, Record>)| PartitionBatch {
            topic,
            partition,
            records: records.into_iter().map(|(offset, record)| Record { offset, ..record }).collect(),
        };
        batches.into_iter().map(batch).collect()
    })
}

proptest! {
    #[test]
    fn what_is_encoded_is_parsed(batches in batches()) {
        prop_assert_eq!(parse(&encode(&batches)).unwrap(), batches);
    }

    #[test]
    fn nothing_panics(batches in batches(), at in any::<prop::sample::Index>(), byte in any::<u8>()) {
        let mut event = encode(&batches);
        let at = at.index(event.len());
        event[at] = byte;
        if let Ok(batches) = parse(&event) {
            let is_in_order = batches.iter().all(|batch| {
                !batch.records.is_empty() && batch.records.array_windows().all(|[a, b]| a.offset < b.offset)
            });
            prop_assert!(is_in_order);
        }
    }
}
