use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use expect_test::expect;
use futures::FutureExt;
use local_runtime::event::kafka::MAX_PAYLOAD_BYTES;
use local_runtime::{EventSource, MappingState, Progress, SourceConfig};
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::FutureRecord;
use test_support::eventually;
use tokio::sync::Notify;

use crate::fixture::{
    PATIENCE, Recorder, committed, invoker, mapping_template, produce, producer, start, status, topic,
};

const EVERYTHING: &str = "StartingPosition: TRIM_HORIZON";

#[tokio::test(flavor = "multi_thread")]
async fn failing_invocations_lose_nothing_and_keep_the_order() {
    let topic = topic(3).await;
    produce(&topic, 3, 400, 50).await;
    let recorder = Recorder::default();
    let template = mapping_template(&topic, &format!("{EVERYTHING}, BatchSize: 250"));
    let runtime = start(&template, recorder.invoker(|before| before % 2 == 1)).await;
    eventually(PATIENCE, async || status(&runtime).records == 1_200).await;
    let status = status(&runtime);
    runtime.shutdown().await;

    let expected: Vec<i64> = (0..400).collect();
    for (partition, offsets) in recorder.accepted() {
        assert_eq!(offsets, expected, "partition {partition}");
    }
    assert_eq!(committed(&topic, 3).await, [Some(400); 3]);
    assert_eq!((status.lag(), status.state), (Some(0), MappingState::Running));
    let seen = recorder.seen();
    assert_eq!((seen.len() as u64, seen.len() as u64 / 2), (status.batches + status.failures, status.failures));
    // A failed batch came again as it was, and no batch was larger than asked for.
    for pair in seen.chunks(2) {
        assert_eq!(pair[0].payload, pair[1].payload);
        assert!(pair[0].positions().len() <= 250);
    }
    assert!(
        seen.iter().any(|seen| seen.event()["records"].as_object().unwrap().len() > 1),
        "no batch of two partitions"
    );
}

/// The mapping of everything in `topic`, to be driven by hand.
pub(crate) async fn source(topic: &str) -> SourceConfig {
    SourceConfig {
        mapping: mapping_template(topic, EVERYTHING).mappings.remove(0),
        brokers: test_support::broker().await.to_owned(),
        properties: Vec::new(),
        max_payload_bytes: MAX_PAYLOAD_BYTES,
    }
}

/// Steps until `wanted` has been done; nothing else may be committed on the way.
pub(crate) fn step_until(source: &mut EventSource, wanted: Progress) {
    let deadline = Instant::now() + PATIENCE;
    loop {
        match source.step() {
            progress if progress == wanted => return,
            Progress::Idle(until) => std::thread::park_timeout(until.saturating_duration_since(Instant::now())),
            progress @ (Progress::Committed(_) | Progress::Failed) => panic!("{progress:?} before {wanted:?}"),
            _ => {}
        }
        assert!(Instant::now() < deadline, "no {wanted:?}; {:?}", source.status());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_committed_before_the_function_has_succeeded() {
    let topic = topic(1).await;
    produce(&topic, 1, 10, 10).await;
    let release = Arc::new(Notify::new());
    let waits = Arc::clone(&release);
    let invoker = invoker(move |_| {
        let waits = Arc::clone(&waits);
        async move {
            waits.notified().await;
            Ok(Bytes::new())
        }
        .boxed()
    });
    let source = source(&topic).await;
    let runtime = tokio::runtime::Handle::current();
    let drive = move || {
        let mut source = EventSource::open(source, invoker);
        step_until(&mut source, Progress::Invoked(10));
        for _ in 0..20 {
            assert!(matches!(source.step(), Progress::Idle(_) | Progress::Gathered));
        }
        // Where it has begun, and no more.
        assert_eq!(runtime.block_on(committed(&topic, 1)), [Some(0)]);
        assert_eq!(source.status().lag(), Some(10));
        release.notify_one();
        step_until(&mut source, Progress::Committed(10));
        assert_eq!(source.status().lag(), Some(0));
        assert_eq!(runtime.block_on(committed(&topic, 1)), [Some(10)]);
    };
    tokio::task::spawn_blocking(drive).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_goes_on_where_the_last_run_committed() {
    let topic = topic(2).await;
    produce(&topic, 2, 300, 20).await;
    let template = mapping_template(&topic, &format!("{EVERYTHING}, BatchSize: 40"));
    let first = Recorder::default();
    // From the tenth batch on everything fails: the end comes in the middle.
    let runtime = start(&template, first.invoker(|before| before < 10)).await;
    eventually(PATIENCE, async || status(&runtime).failures > 0).await;
    runtime.shutdown().await;
    let reached: Vec<i64> =
        (0..2).map(|partition| first.accepted().get(&partition).map_or(0, |offsets| offsets.len() as i64)).collect();
    let offsets = committed(&topic, 2).await;
    assert_eq!(offsets.iter().map(|offset| offset.unwrap_or(0)).collect::<Vec<_>>(), reached);

    let second = Recorder::default();
    let runtime = start(&template, second.invoker(|_| true)).await;
    eventually(PATIENCE, async || status(&runtime).lag() == Some(0)).await;
    runtime.shutdown().await;
    for partition in 0..2 {
        let began = reached[usize::try_from(partition).unwrap()];
        let found = second.accepted().remove(&partition).unwrap_or_default();
        assert_eq!(found, (began..300).collect::<Vec<_>>(), "partition {partition}");
    }
    assert_eq!(committed(&topic, 2).await, [Some(300), Some(300)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_is_never_larger_than_the_service_allows() {
    let topic = topic(1).await;
    produce(&topic, 1, 12, 900_000).await;
    let recorder = Recorder::default();
    let runtime =
        start(&mapping_template(&topic, &format!("{EVERYTHING}, BatchSize: 10000")), recorder.invoker(|_| true)).await;
    eventually(PATIENCE, async || status(&runtime).records == 12).await;
    runtime.shutdown().await;
    assert_eq!(recorder.accepted()[&0], (0..12).collect::<Vec<_>>());
    // 900 kB are 1.2 MB in base64: five make 6 MB.
    let sizes: Vec<_> =
        recorder.seen().iter().map(|seen| (seen.positions().len(), seen.payload.len() <= 6 * 1024 * 1024)).collect();
    assert!(sizes.iter().all(|(_, fits)| *fits), "{sizes:?}");
    assert_eq!(sizes.iter().map(|(records, _)| records).max(), Some(&5), "{sizes:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_waits_for_its_window() {
    let topic = topic(1).await;
    let recorder = Recorder::default();
    let properties = format!("{EVERYTHING}, BatchSize: 100, MaximumBatchingWindowInSeconds: 1");
    let runtime = start(&mapping_template(&topic, &properties), recorder.invoker(|_| true)).await;
    eventually(PATIENCE, async || status(&runtime).state == MappingState::Running).await;
    let began = Instant::now();
    produce(&topic, 1, 7, 10).await;
    eventually(PATIENCE, async || status(&runtime).records == 7).await;
    assert!(recorder.seen()[0].at - began >= Duration::from_secs(1));
    // A full batch does not wait.
    produce(&topic, 1, 100, 10).await;
    eventually(PATIENCE, async || status(&runtime).records == 107).await;
    runtime.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_event_carries_everything_of_a_record() {
    let topic = topic(2).await;
    let producer = producer().await;
    let headers = OwnedHeaders::new()
        .insert(Header { key: "codec", value: Some(&[0_u8, 127, 128, 255][..]) })
        .insert(Header { key: "codec", value: Some(&b""[..]) });
    let full =
        FutureRecord::to(&topic).partition(0).key("key").payload("value").timestamp(1_700_000_000_123).headers(headers);
    producer.send(full, PATIENCE).await.unwrap();
    let tombstone = FutureRecord::<str, str>::to(&topic).partition(1).key("gone").timestamp(1_700_000_000_124);
    producer.send(tombstone, PATIENCE).await.unwrap();
    let recorder = Recorder::default();
    let runtime = start(&mapping_template(&topic, EVERYTHING), recorder.invoker(|_| true)).await;
    eventually(PATIENCE, async || status(&runtime).records == 2).await;
    runtime.shutdown().await;
    let text: Vec<_> = recorder.seen().iter().map(|seen| String::from_utf8(seen.payload.to_vec()).unwrap()).collect();
    let text = text.join("\n").replace(&topic, "TOPIC").replace(test_support::broker().await, "BROKER");
    expect![[r#"{"eventSource":"SelfManagedKafka","bootstrapServers":"BROKER","records":{"TOPIC-0":[{"topic":"TOPIC","partition":0,"offset":0,"timestamp":1700000000123,"timestampType":"CREATE_TIME","key":"a2V5","value":"dmFsdWU=","headers":[{"codec":[0,127,-128,-1]},{"codec":[]}]}],"TOPIC-1":[{"topic":"TOPIC","partition":1,"offset":0,"timestamp":1700000000124,"timestampType":"CREATE_TIME","key":"Z29uZQ==","value":null,"headers":[]}]}}"#]].assert_eq(&text);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_panic_or_a_timeout_is_a_failed_invocation() {
    let topic = topic(1).await;
    produce(&topic, 1, 5, 10).await;
    let calls = Arc::new(AtomicUsize::new(0));
    let invoker = invoker(move |_| match calls.fetch_add(1, Ordering::Relaxed) {
        0 => panic!("outside of the future"),
        1 => async { panic!("inside of the future") }.boxed(),
        2 => std::future::pending().boxed(),
        _ => async { Ok(Bytes::new()) }.boxed(),
    });
    let mut template = mapping_template(&topic, EVERYTHING);
    template.mappings[0].timeout = Duration::from_secs(2);
    let runtime = start(&template, invoker).await;
    eventually(PATIENCE, async || status(&runtime).records == 5).await;
    assert_eq!(status(&runtime).failures, 3);
    runtime.shutdown().await;
    assert_eq!(committed(&topic, 1).await, [Some(5)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn two_runtimes_share_the_partitions_and_lose_nothing() {
    let topic = topic(4).await;
    let template = mapping_template(&topic, &format!("{EVERYTHING}, BatchSize: 20, MaximumBatchingWindowInSeconds: 0"));
    let recorder = Recorder::default();
    let first = start(&template, recorder.invoker(|before| before % 5 != 3)).await;
    eventually(PATIENCE, async || status(&first).partitions.len() == 4).await;
    produce(&topic, 4, 200, 10).await;
    let second = start(&template, recorder.invoker(|before| before % 5 != 3)).await;
    eventually(PATIENCE, async || status(&first).partitions.len() == 2 && status(&second).partitions.len() == 2).await;
    produce(&topic, 4, 200, 10).await;
    eventually(PATIENCE, async || status(&first).lag() == Some(0) && status(&second).lag() == Some(0)).await;
    first.shutdown().await;
    eventually(PATIENCE, async || status(&second).partitions.len() == 4).await;
    produce(&topic, 4, 50, 10).await;
    eventually(PATIENCE, async || committed(&topic, 4).await == [Some(450); 4]).await;
    second.shutdown().await;
    for (partition, mut offsets) in recorder.accepted() {
        offsets.sort_unstable();
        offsets.dedup();
        assert_eq!(offsets, (0..450).collect::<Vec<_>>(), "partition {partition}");
    }
}

/// With its function failing and the next batch full, a mapping pauses its partitions.
#[tokio::test(flavor = "multi_thread")]
async fn a_partition_that_was_paused_goes_on_after_a_rebalance() {
    let topic = topic(2).await;
    produce(&topic, 2, 200, 10).await;
    let template = mapping_template(&topic, &format!("{EVERYTHING}, BatchSize: 20, MaximumBatchingWindowInSeconds: 0"));
    let (recorder, is_well) = (Recorder::default(), Arc::new(AtomicBool::new(false)));
    let answers = {
        let is_well = Arc::clone(&is_well);
        recorder.invoker(move |_| is_well.load(Ordering::SeqCst))
    };
    let first = start(&template, Arc::clone(&answers)).await;
    eventually(PATIENCE, async || status(&first).failures >= 3).await;
    let second = start(&template, answers).await;
    eventually(PATIENCE, async || status(&first).partitions.len() == 1 && status(&second).partitions.len() == 1).await;
    is_well.store(true, Ordering::SeqCst);
    eventually(PATIENCE, async || committed(&topic, 2).await == [Some(200); 2]).await;
    first.shutdown().await;
    second.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_function_keeps_its_place_in_the_group() {
    let topic = topic(1).await;
    produce(&topic, 1, 500, 10).await;
    let recorder = Recorder::default();
    let seen = recorder.invoker(|_| true);
    // Each invocation takes longer than it takes until the partitions are paused.
    let slow = invoker(move |invocation| {
        let call = local_runtime::Call::new("f", invocation.payload, Duration::from_secs(9));
        let answer = seen.invoke(call);
        async move {
            tokio::time::sleep(Duration::from_millis(1_300)).await;
            Ok(answer.await?)
        }
        .boxed()
    });
    // A window that no full batch waits for: only full ones come.
    let properties = format!("{EVERYTHING}, BatchSize: 100, MaximumBatchingWindowInSeconds: 60");
    let runtime = start(&mapping_template(&topic, &properties), slow).await;
    eventually(PATIENCE, async || status(&runtime).records == 500).await;
    runtime.shutdown().await;
    assert_eq!(recorder.accepted()[&0], (0..500).collect::<Vec<_>>());
    assert_eq!(recorder.seen().len(), 5);
}
