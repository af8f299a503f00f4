use std::net::TcpListener;
use std::time::{Duration, Instant};

use local_runtime::{MappingState, Options, Runtime};
use test_support::eventually;

use crate::fixture::{PATIENCE, Recorder, create, mapping_template, produce, start, status, topic};

#[tokio::test(flavor = "multi_thread")]
async fn latest_begins_at_the_end() {
    let topic = topic(1).await;
    produce(&topic, 1, 30, 10).await;
    let recorder = Recorder::default();
    let runtime = start(&mapping_template(&topic, "StartingPosition: LATEST"), recorder.invoker(|_| true)).await;
    eventually(PATIENCE, async || status(&runtime).lag() == Some(0)).await;
    produce(&topic, 1, 5, 10).await;
    eventually(PATIENCE, async || status(&runtime).records == 5).await;
    runtime.shutdown().await;
    assert_eq!(recorder.accepted()[&0], (30..35).collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_timestamp_begins_at_the_first_record_from_then_on() {
    let topic = topic(1).await;
    produce(&topic, 1, 20, 10).await;
    // Kafka's timestamps are whole milliseconds.
    let began = Instant::now();
    eventually(PATIENCE, async || began.elapsed() > Duration::from_millis(20)).await;
    let then = jiff::Timestamp::now().as_millisecond();
    produce(&topic, 1, 5, 10).await;
    let recorder = Recorder::default();
    let properties =
        format!("StartingPosition: AT_TIMESTAMP, StartingPositionTimestamp: {}.{:03}", then / 1_000, then % 1_000);
    let runtime = start(&mapping_template(&topic, &properties), recorder.invoker(|_| true)).await;
    eventually(PATIENCE, async || status(&runtime).records == 5).await;
    runtime.shutdown().await;
    assert_eq!(recorder.accepted()[&0], (20..25).collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_topic_is_said_and_waited_for() {
    let topic = test_support::topic("later");
    let recorder = Recorder::default();
    let runtime = start(&mapping_template(&topic, "StartingPosition: LATEST"), recorder.invoker(|_| true)).await;
    let wanted = MappingState::Waiting(format!("topic {topic} does not exist: waiting for it"));
    eventually(PATIENCE, async || status(&runtime).state == wanted).await;
    create(&topic, 1).await;
    eventually(PATIENCE, async || status(&runtime).state == MappingState::Running).await;
    produce(&topic, 1, 5, 10).await;
    eventually(PATIENCE, async || status(&runtime).records == 5).await;
    runtime.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broker_that_is_down_is_said_and_there_is_an_end_all_the_same() {
    // A port on which nobody listens.
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let brokers = format!("127.0.0.1:{port}");
    let template = mapping_template("t", "StartingPosition: LATEST");
    let recorder = Recorder::default();
    let options = Options { brokers: Some(brokers.clone()), ..Options::default() };
    let runtime = Runtime::start(&template, recorder.invoker(|_| true), options).await.unwrap();
    let wanted = MappingState::Waiting(format!("no Kafka broker answers at {brokers}: waiting for it"));
    eventually(PATIENCE, async || status(&runtime).state == wanted).await;
    tokio::time::timeout(PATIENCE, runtime.shutdown()).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_invocation_that_never_ends_does_not_hold_up_the_end() {
    let topic = topic(1).await;
    produce(&topic, 1, 5, 10).await;
    let stuck = crate::fixture::invoker(|_| Box::pin(std::future::pending()));
    let runtime = start(&mapping_template(&topic, "StartingPosition: TRIM_HORIZON"), stuck).await;
    eventually(PATIENCE, async || status(&runtime).state == MappingState::Running).await;
    tokio::time::timeout(PATIENCE, runtime.shutdown()).await.unwrap();
}
