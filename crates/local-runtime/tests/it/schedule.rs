use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use expect_test::expect;
use futures::FutureExt;
use local_runtime::{Options, Runtime, Template};
use test_support::eventually;

use crate::fixture::{PATIENCE, Recorder, invoker};

fn template(events: &str) -> Template {
    let text = format!("Resources: {{F: {{Type: 'AWS::Serverless::Function', Properties: {{Events: {{{events}}}}}}}}}");
    Template::parse(&text, &BTreeMap::new()).unwrap()
}

/// For the function of [`template`], and for one that isn't there.
fn every(time: Duration) -> BTreeMap<String, Duration> {
    BTreeMap::from([("f".to_owned(), time), ("other".to_owned(), Duration::ZERO)])
}

#[tokio::test]
async fn a_rate_fires_at_the_start_and_then_as_often_as_told() {
    let template =
        template("E: {Type: ScheduleV2, Properties: {ScheduleExpression: rate(1 day), Input: '{\"job\":1}'}}");
    let recorder = Recorder::default();
    let runtime = Runtime::start(&template, recorder.invoker(|_| true), Options::default()).await.unwrap();
    eventually(PATIENCE, async || !recorder.seen().is_empty()).await;
    runtime.shutdown().await;
    assert_eq!(recorder.seen().len(), 1);
    assert_eq!(recorder.seen()[0].payload, "{\"job\":1}");

    let recorder = Recorder::default();
    let options = Options { schedule_every: every(Duration::from_millis(20)), ..Options::default() };
    let began = Instant::now();
    // A failure changes nothing.
    let runtime = Runtime::start(&template, recorder.invoker(|before| before != 1), options).await.unwrap();
    eventually(PATIENCE, async || recorder.seen().len() >= 4).await;
    runtime.shutdown().await;
    assert!(recorder.seen()[3].at - began >= Duration::from_millis(60));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_schedule_never_overlaps_itself() {
    let template = template("E: {Type: Schedule, Properties: {Schedule: rate(1 minute)}}");
    let (running, most, fired) =
        (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let counts = (Arc::clone(&running), Arc::clone(&most), Arc::clone(&fired));
    let slow = invoker(move |_| {
        let (running, most, fired) = counts.clone();
        async move {
            most.fetch_max(running.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
            tokio::time::sleep(Duration::from_millis(30)).await;
            running.fetch_sub(1, Ordering::SeqCst);
            fired.fetch_add(1, Ordering::SeqCst);
            Ok("{}".into())
        }
        .boxed()
    });
    let options = Options { schedule_every: every(Duration::from_millis(1)), ..Options::default() };
    let runtime = Runtime::start(&template, slow, options).await.unwrap();
    eventually(PATIENCE, async || fired.load(Ordering::SeqCst) >= 5).await;
    runtime.shutdown().await;
    assert_eq!(most.load(Ordering::SeqCst), 1);
}

#[test]
fn default_payloads_are_those_of_the_services() {
    let mut shown = String::new();
    for events in [
        "Nightly: {Type: ScheduleV2, Properties: {Name: n, ScheduleExpression: rate(1 day)}}",
        "Nightly: {Type: Schedule, Properties: {Schedule: rate(1 day)}}",
    ] {
        let schedule = template(events).schedules.remove(0);
        let event =
            local_runtime::event::schedule::event(&schedule, "2024-01-02T03:04:05.678Z".parse().unwrap(), "id-1");
        shown.push_str(std::str::from_utf8(&event).unwrap());
        shown.push('\n');
    }
    expect![[r#"
        {"account":"000000000000","detail":"{}","detail-type":"Scheduled Event","id":"id-1","region":"us-east-1","resources":["arn:aws:scheduler:us-east-1:000000000000:schedule/default/n"],"source":"aws.scheduler","time":"2024-01-02T03:04:05Z","version":"0"}
        {"account":"000000000000","detail":{},"detail-type":"Scheduled Event","id":"id-1","region":"us-east-1","resources":["arn:aws:events:us-east-1:000000000000:rule/Nightly"],"source":"aws.events","time":"2024-01-02T03:04:05Z","version":"0"}
    "#]].assert_eq(&shown);
}
