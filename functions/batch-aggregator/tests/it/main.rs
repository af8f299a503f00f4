//! The function as the service sees it: raw events in, totals in a real database, rejected records in a real topic.

#![expect(clippy::unwrap_used, reason = "a test panics where it can't go on")]

mod binary;
mod towers;

use std::path::Path;
use std::time::Duration;

use batch_aggregator::{Config, Deps, Outcome, handle};
use bytes::Bytes;
use expect_test::{Expect, expect};
use kafka_sink::{Rejected, admin};
use lambda_boot::{Deadline, Invocation, Vars};
use telecom::{Day, Msisdn, Zone};
use test_support::{broker, postgres_database, topic};
use usage_store::{FileAccount, Store};

/// The function's surroundings, of one test's own.
struct Scene {
    store: Store,
    database: String,
    rejected_topic: String,
    vars: Vars,
}

fn event(name: &str) -> Bytes {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../events/batch-aggregator").join(name);
    std::fs::read(path.with_extension("json")).unwrap().into()
}

async fn scene() -> Scene {
    scene_on(postgres_database().await).await
}

/// With this store.
async fn scene_on(url: String) -> Scene {
    let (brokers, rejected_topic) = (broker().await, topic("rejected"));
    let store = Store::connect(&url).unwrap();
    store.init().await.unwrap();
    for topic in ["cdr-data", "cdr-voice"] {
        store.add_lanes(1, topic, 3).await.unwrap();
    }
    let vars: Vars =
        [("KAFKA_BROKERS", brokers), ("REJECTED_TOPIC", &rejected_topic), ("USAGE_STORE", &url)].into_iter().collect();
    admin::create_topics(&vars.read().unwrap(), &[(&rejected_topic, 1)]).await.unwrap();
    Scene { store, database: url, rejected_topic, vars }
}

impl Scene {
    async fn deps(&self) -> Deps {
        Deps::connect(&Config::from_vars(&self.vars).unwrap()).await.unwrap()
    }

    async fn usage(&self, msisdns: &[&str]) -> String {
        let mut shown = String::new();
        for msisdn in msisdns {
            for daily in self.store.usage_of(Msisdn::parse(msisdn).unwrap(), Day::MIN, Day::MAX).await.unwrap() {
                let totals = daily.totals;
                let (up, down) = (totals.up_bytes, totals.down_bytes);
                shown += &format!("{msisdn} {} {}: {up} up, {down} down", daily.day, daily.kind);
                shown += &format!(", {} s, {} events\n", totals.seconds, totals.events);
            }
        }
        shown
    }

    async fn accounts(&self) -> String {
        let accounts = self.store.file_accounts().await.unwrap().into_iter();
        accounts
            .map(|account| {
                let FileAccount { file, counted, duplicates, withdrawn, repeats, .. } = account;
                let taken_back = if withdrawn > 0 { format!("{withdrawn} withdrawn, ") } else { String::new() };
                let file = file.unwrap();
                format!("{file}: {counted} counted, {taken_back}{duplicates} duplicates, {repeats} repeats\n")
            })
            .collect()
    }

    /// The rejected records: key, reason, length of the raw bytes.
    async fn rejected(&self) -> Vec<String> {
        let config: kafka_sink::Config = self.vars.read().unwrap();
        let shown = |record: &test_support::Record| {
            let rejected = Rejected::from_json(record.value()).unwrap();
            assert_eq!(record.key(), rejected.key());
            format!("{} {} {} bytes", rejected.key(), rejected.reason, rejected.raw.len())
        };
        test_support::records(config.client(), &self.rejected_topic).await.iter().map(shown).collect()
    }
}

fn check_outcome(outcome: Outcome, expect: Expect) {
    let Outcome { records, counted, withdrawn, duplicates, repeats, settled, rejected, missing_offsets, tower_misses } =
        outcome;
    let taken_back = if withdrawn > 0 { format!("{withdrawn} withdrawn, ") } else { String::new() };
    expect.assert_eq(&format!(
        "{records} records: {counted} counted, {taken_back}{duplicates} duplicates, {repeats} repeats, {settled} settled, {rejected} \
         rejected, {missing_offsets} missing, {tower_misses} missed by towers"
    ));
}

#[tokio::test]
async fn an_event_that_comes_twice_is_counted_once() {
    let scene = scene().await;
    let (first, second) = (scene.deps().await, scene.deps().await);
    let expects = [
        expect!["6 records: 6 counted, 0 duplicates, 0 repeats, 0 settled, 0 rejected, 0 missing, 0 missed by towers"],
        expect!["6 records: 0 counted, 0 duplicates, 0 repeats, 6 settled, 0 rejected, 0 missing, 0 missed by towers"],
        expect!["6 records: 0 counted, 0 duplicates, 0 repeats, 6 settled, 0 rejected, 0 missing, 0 missed by towers"],
    ];
    // The same process again, then another.
    for (deps, expect) in [&first, &first, &second].into_iter().zip(expects) {
        let event = kafka_batch::parse(&event("two-partitions")).unwrap();
        check_outcome(handle(deps, event, Deadline::NONE).await.unwrap(), expect);
        expect![[r#"
            27821234501 2024-01-01 data/video: 524456 up, 1236567 down, 0 s, 2 events
            27821234501 2024-01-02 data/application: 5 up, 7 down, 0 s, 1 events
            27821234500 2024-01-01 data/text: 100000 up, 200000 down, 0 s, 1 events
            27821234500 2024-01-02 data/text: 11 up, 13 down, 0 s, 1 events
            27821234503 2024-01-01 data/audio: 300000 up, 400000 down, 0 s, 1 events
        "#]]
        .assert_eq(&scene.usage(&SUBSCRIBERS).await);
        expect![[r#"
            cdr_data_20240101_120000.csv: 6 counted, 0 duplicates, 0 repeats
        "#]]
        .assert_eq(&scene.accounts().await);
    }
}

const SUBSCRIBERS: [&str; 3] = ["27821234501", "27821234500", "27821234503"];

#[tokio::test]
async fn a_file_under_another_name_is_a_duplicate() {
    let scene = scene().await;
    let deps = scene.deps().await;
    handle(&deps, kafka_batch::parse(&event("two-partitions")).unwrap(), Deadline::NONE).await.unwrap();
    for expect in [
        expect!["9 records: 1 counted, 6 duplicates, 0 repeats, 2 settled, 0 rejected, 0 missing, 0 missed by towers"],
        expect!["9 records: 0 counted, 0 duplicates, 0 repeats, 9 settled, 0 rejected, 0 missing, 0 missed by towers"],
    ] {
        let event = kafka_batch::parse(&event("redelivery-and-duplicate-file")).unwrap();
        check_outcome(handle(&deps, event, Deadline::NONE).await.unwrap(), expect);
        expect![[r#"
            27821234501 2024-01-01 data/video: 524456 up, 1236567 down, 0 s, 2 events
            27821234501 2024-01-02 data/image: 1 up, 1 down, 0 s, 1 events
            27821234501 2024-01-02 data/application: 5 up, 7 down, 0 s, 1 events
            27821234500 2024-01-01 data/text: 100000 up, 200000 down, 0 s, 1 events
            27821234500 2024-01-02 data/text: 11 up, 13 down, 0 s, 1 events
            27821234503 2024-01-01 data/audio: 300000 up, 400000 down, 0 s, 1 events
        "#]]
        .assert_eq(&scene.usage(&SUBSCRIBERS).await);
        expect![[r#"
            cdr_data_20240101_120000.csv: 6 counted, 0 duplicates, 0 repeats
            cdr_data_20240101_120500.csv: 0 counted, 6 duplicates, 0 repeats
        "#]]
        .assert_eq(&scene.accounts().await);
    }
}

#[tokio::test]
async fn rows_that_are_taken_back_leave_nothing() {
    let scene = scene().await;
    let deps = scene.deps().await;
    handle(&deps, kafka_batch::parse(&event("two-partitions")).unwrap(), Deadline::NONE).await.unwrap();
    // The same records behind themselves, with two offsets in between that no record came with.
    let mut withdrawals = kafka_batch::parse(&event("two-partitions")).unwrap();
    for record in withdrawals.iter_mut().flat_map(|partition| &mut partition.records) {
        record.offset += 5;
        record.timestamp_ms += 5;
        let row = String::from_utf8(record.value.take().unwrap()).unwrap();
        record.value = Some(row.replacen('{', r#"{"_action":"withdraw","#, 1).into_bytes());
    }
    for expect in [
        expect![
            "6 records: 0 counted, 6 withdrawn, 0 duplicates, 0 repeats, 0 settled, 0 rejected, 4 missing, 0 missed by towers"
        ],
        expect!["6 records: 0 counted, 0 duplicates, 0 repeats, 6 settled, 0 rejected, 0 missing, 0 missed by towers"],
    ] {
        check_outcome(handle(&deps, withdrawals.clone(), Deadline::NONE).await.unwrap(), expect);
        assert_eq!(scene.usage(&SUBSCRIBERS).await, "");
        expect!["cdr_data_20240101_120000.csv: 0 counted, 6 withdrawn, 0 duplicates, 0 repeats\n"]
            .assert_eq(&scene.accounts().await);
    }
}

#[tokio::test]
async fn a_function_of_another_zone_does_not_count() {
    let scene = scene().await;
    let mut config = Config::from_vars(&scene.vars).unwrap();
    config.settings.zone = Zone::named("Europe/Budapest").unwrap();
    let deps = Deps::connect(&config).await.unwrap();
    let error = handle(&deps, kafka_batch::parse(&event("two-partitions")).unwrap(), Deadline::NONE).await.unwrap_err();
    let error = format!("{error:#}");
    let expected = "the usage store counts by rules 2 in Africa/Johannesburg, and this function reads by rules 2 in Europe/Budapest";
    assert!(error.contains(expected), "{error}");
    assert_eq!(scene.usage(&SUBSCRIBERS).await, "");
}

#[tokio::test]
async fn what_can_not_be_used_is_rejected_and_the_rest_is_counted() {
    let scene = scene().await;
    let deps = scene.deps().await;
    for expect in [
        expect!["10 records: 3 counted, 0 duplicates, 0 repeats, 0 settled, 7 rejected, 0 missing, 0 missed by towers"],
        expect!["10 records: 0 counted, 0 duplicates, 0 repeats, 3 settled, 7 rejected, 0 missing, 0 missed by towers"],
    ] {
        let event = kafka_batch::parse(&event("bad-records")).unwrap();
        check_outcome(handle(&deps, event, Deadline::NONE).await.unwrap(), expect);
        expect![[r#"
            27821234505 2024-01-01 call/voice: 0 up, 0 down, 185 s, 2 events
            27821234505 2024-01-01 call/video: 0 up, 0 down, 1800 s, 1 events
        "#]]
        .assert_eq(&scene.usage(&["27821234505"]).await);
        expect![[r#"
            cdr_voice_20240101_120000.csv: 2 counted, 0 duplicates, 0 repeats
        "#]]
        .assert_eq(&scene.accounts().await);
    }
    // Rejected at least once: here twice, under the same keys.
    let rejected = scene.rejected().await;
    assert_eq!(rejected[..7], rejected[7..]);
    expect![[r#"
        cdr-voice/1/1 bad_json 24 bytes
        cdr-voice/1/2 missing_column 290 bytes
        cdr-voice/1/3 negative 317 bytes
        cdr-voice/1/4 no_value 0 bytes
        cdr-voice/1/6 unknown_type 325 bytes
        cdr-voice/1/7 day_out_of_range 316 bytes
        cdr-voice/1/8 invalid_utf8 2 bytes"#]]
    .assert_eq(&rejected[..7].join("\n"));
}

#[tokio::test]
async fn the_service_gets_an_answer_or_an_error() {
    let scene = scene().await;
    let handler = batch_aggregator::boot(scene.vars.clone()).await.unwrap();
    let invoke = async |payload: Bytes| {
        let invocation = Invocation { payload, deadline: Deadline::NONE, request_id: "test".to_owned() };
        match handler(invocation).await {
            Ok(answer) => String::from_utf8(answer.to_vec()).unwrap(),
            Err(error) => format!("{error:#}"),
        }
    };
    expect![[r#"{"batchItemFailures":[]}"#]].assert_eq(&invoke(event("two-partitions")).await);
    assert!(invoke(Bytes::from_static(b"{}")).await.starts_with("not a Lambda Kafka event"));
    let renamed = String::from_utf8(event("two-partitions").to_vec()).unwrap().replace("cdr-data", "orders");
    expect!["topic orders is neither CDR_DATA_TOPIC nor CDR_VOICE_TOPIC: check the function's trigger and variables"]
        .assert_eq(&invoke(renamed.into()).await);
    let renumbered = String::from_utf8(event("two-partitions").to_vec()).unwrap();
    let renumbered = renumbered.replace("cdr-data-2", "cdr-data-7").replace("\"partition\": 2", "\"partition\": 7");
    expect!["counting 1/cdr-data/7 from offset 0: lane 1/cdr-data/7 is unknown: run `trunkline init`; if the topic's number of partitions has changed, take a new STREAM_EPOCH"].assert_eq(&invoke(renumbered.into()).await);
}

#[tokio::test]
async fn a_store_that_is_down_fails_the_invocation() {
    let vars: Vars = [
        ("KAFKA_BROKERS", broker().await),
        // Port 9 discards: nobody listens there.
        ("USAGE_STORE", "postgres://nobody@127.0.0.1:9/none"),
    ]
    .into_iter()
    .collect();
    let deps = Deps::connect(&Config::from_vars(&vars).unwrap()).await.unwrap();
    let event = kafka_batch::parse(&event("two-partitions")).unwrap();
    let error = handle(&deps, event, Deadline::after(Duration::from_secs(60))).await.unwrap_err();
    expect!["counting 1/cdr-data/0 from offset 0: the usage store failed: error connecting to server: Connection refused (os error 111); counting 1/cdr-data/2 from offset 0: the usage store failed: error connecting to server: Connection refused (os error 111)"].assert_eq(&format!("{error:#}"));
}
