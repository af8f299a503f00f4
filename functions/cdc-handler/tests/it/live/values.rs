//! Values as the real connector writes them, with each of its settings: what is here is what the source has, or rejected by
//! the column's name.

use std::collections::BTreeMap;

use expect_test::expect;
use kafka_batch::PartitionBatch;
use kafka_sink::Rejected;
use stream::Record;
use test_support::{Kafka, eventually};
use tokio_postgres::Client;

use super::{PATIENCE, Place, connect, count};
use crate::scene::Scene;

/// Tables whose columns have other types than the CRM's.
const TABLES: &str = "
CREATE SCHEMA crm_system;
CREATE TABLE crm_system.accounts (account_id int PRIMARY KEY, owner_name text DEFAULT 'nobody', email double precision,
    phone_number numeric, modified_ts timestamp DEFAULT now());
CREATE TABLE crm_system.addresses (account_id bigint PRIMARY KEY, street_address bytea, city interval, state bit(3),
    postal_code int, country text[], modified_ts date DEFAULT now());
CREATE TABLE crm_system.devices (device_id smallint PRIMARY KEY, account_id numeric, device_name jsonb, device_type uuid,
    device_os time, modified_ts timestamp(3) DEFAULT now());
";

/// A row for each value, which has other columns' defaults: once before the connector comes, and once after.
const VALUES: [(&str, &str, &[&str]); 16] = [
    ("accounts", "modified_ts", &MOMENTS),
    ("accounts", "owner_name", &["NULL", "''", "'null'", "'  Zoë '", "'YWJj'"]),
    ("accounts", "email", &["27821234567", "'NaN'", "1e300"]),
    ("accounts", "phone_number", &["27821234567", "12.30", "-0.0000001", "1e30"]),
    (
        "addresses",
        "modified_ts",
        &["'2024-03-01'", "'9999-12-31'", "'1582-10-15'", "'infinity'", "'-infinity'", "'0044-03-15 BC'"],
    ),
    ("addresses", "street_address", &["'abc'", "''"]),
    ("addresses", "city", &["'1 day 02:03:04'"]),
    ("addresses", "state", &["b'101'"]),
    ("addresses", "postal_code", &["8001", "-1"]),
    ("addresses", "country", &["ARRAY['ZA', 'NA']"]),
    ("devices", "modified_ts", &MOMENTS),
    ("devices", "account_id", &["9", "9223372036854775807", "1.5"]),
    ("devices", "device_name", &[r#"'{"a": [1, "x"]}'"#]),
    ("devices", "device_type", &["'00000000-0000-0000-0000-000000000001'"]),
    ("devices", "device_os", &["'10:00:00.123456'"]),
    ("accounts", "modified_ts", &["NULL"]),
];

/// No `timestamp` that microseconds since 1970 can't hold: Debezium writes `infinity` for it.
const MOMENTS: [&str; 10] = [
    "'2024-03-01 10:00:00.123456'",
    "'9999-12-31 23:59:59.999999'",
    "'1972-06-01'",
    "'1969-12-31 23:59:59.9999'",
    "'infinity'",
    "'-infinity'",
    "'0044-03-15 10:00:00 BC'",
    "'4713-01-01 BC'",
    "'290000-12-31 23:59:59'",
    "'1582-10-10 00:00:00'",
];

/// Settings of the connector beside the project's own, by a name for people.
const MODES: [(&str, &[(&str, &str)]); 7] = [
    ("connector.json", &[]),
    ("adaptive, precise", &[("time.precision.mode", "adaptive"), ("decimal.handling.mode", "precise")]),
    (
        "adaptive_time_microseconds, interval string",
        &[("time.precision.mode", "adaptive_time_microseconds"), ("interval.handling.mode", "string")],
    ),
    ("connect, double", &[("time.precision.mode", "connect"), ("decimal.handling.mode", "double")]),
    ("microseconds", &[("time.precision.mode", "microseconds")]),
    ("nanoseconds", &[("time.precision.mode", "nanoseconds")]),
    ("structured", &[("time.precision.mode", "structured")]),
];

/// What milliseconds make of a time.
const OF_MILLISECONDS: &str = "connect,";

/// The first key of the rows that are streamed.
const STREAMED: usize = 1_000;

async fn insert(source: &Client, first_key: usize) {
    let rows = VALUES.iter().flat_map(|(table, column, values)| values.iter().map(move |value| (table, column, value)));
    for (number, (table, column, value)) in rows.enumerate() {
        let key = if *table == "devices" { "device_id" } else { "account_id" };
        let sql = format!("INSERT INTO crm_system.{table} ({key}, {column}) VALUES ({}, {value})", first_key + number);
        source.batch_execute(&sql).await.unwrap();
    }
}

/// What a connector with these settings tells, in tables of its own.
async fn tell(kafka: &Kafka, place: &Place) -> Scene {
    let scene = Scene::with(&[("CRM_TOPIC_PREFIX", &format!("{}.crm_system", place.prefix))]).await;
    for (table, ..) in super::TABLES {
        let topic = place.topic(table);
        let records = messages(kafka, &topic).await;
        let mut partitions: BTreeMap<i32, Vec<Record>> = BTreeMap::new();
        for record in records {
            let (key, value) = (record.key().as_bytes().to_vec(), record.value().to_vec());
            partitions.entry(record.partition).or_default().push(Record {
                offset: record.offset,
                timestamp_ms: 0,
                key: Some(key),
                value: Some(value),
                headers: Vec::new(),
            });
        }
        let batch = |(partition, records)| PartitionBatch { topic: topic.clone(), partition, records };
        scene.handle(partitions.into_iter().map(batch).collect()).await;
    }
    scene
}

async fn messages(kafka: &Kafka, topic: &str) -> Vec<test_support::Record> {
    test_support::records(kafka_sink::Config::plaintext(&kafka.bootstrap_servers).client(), topic).await
}

/// How the values of a column went: so many are right, so many rejected for a reason.
type Summary = BTreeMap<String, BTreeMap<String, u64>>;

/// Compares value by value. What is neither the source's nor rejected by the column's name is wrong.
async fn compare(mode: &str, source: &Client, scene: &Scene) -> Summary {
    let config: kafka_sink::Config = scene.vars.read().unwrap();
    let rejections = test_support::records(config.client(), &scene.rejected_topic).await;
    let rejections: Vec<_> = rejections.iter().map(|record| Rejected::from_json(record.value()).unwrap()).collect();
    let mut summary = Summary::new();
    let rows =
        VALUES.iter().flat_map(|(table, column, values)| values.iter().map(move |value| (*table, *column, *value)));
    for (number, (table, column, value)) in rows.enumerate() {
        let key_column = if table == "devices" { "device_id" } else { "account_id" };
        for (key, told) in [(number, "snapshot"), (number + STREAMED, "stream")] {
            let here =
                format!("SELECT coalesce({}, 'NULL') FROM crm_data.{table} WHERE {key_column} = {key}", text(column));
            let expected = expected(mode, column);
            let there =
                format!("SELECT coalesce({expected}, 'NULL') FROM crm_system.{table} WHERE {key_column} = {key}");
            let there: String = source.query_one(&there, &[]).await.unwrap().get(0);
            let is_of_row = |rejected: &&Rejected<'_>| {
                let message: serde_json::Value = serde_json::from_slice(&rejected.raw).unwrap();
                message["payload"]["source"]["table"] == table && message["payload"]["after"][key_column] == key
            };
            let outcome = match (scene.texts(&here).await.first(), rejections.iter().find(is_of_row)) {
                (Some(here), None) if *here == there => "right".to_owned(),
                (None, Some(rejected)) if is_by_name(rejected, column) => {
                    format!("{} ({told})", rejected.reason)
                }
                (here, rejected) => panic!(
                    "{mode}: {table}.{column} {value} by the {told} is {there} in the source and {here:?} here: {:?}",
                    rejected.map(|rejected| &rejected.detail)
                ),
            };
            *summary.entry(format!("{table}.{column}")).or_default().entry(outcome).or_default() += 1;
        }
    }
    summary
}

/// Every row has a time, too.
fn is_by_name(rejected: &Rejected<'_>, column: &str) -> bool {
    rejected.detail.starts_with(column) || rejected.detail.starts_with("modified_ts")
}

/// A value here, as text.
fn text(column: &str) -> String {
    format!("{column}::text")
}

/// What it is to be, by the source's value.
fn expected(mode: &str, column: &str) -> String {
    match column {
        "modified_ts" if mode.starts_with(OF_MILLISECONDS) => {
            "(CASE WHEN isfinite(modified_ts) THEN date_trunc('milliseconds', modified_ts::timestamp) \
             ELSE modified_ts::timestamp END AT TIME ZONE 'UTC')::text"
                .to_owned()
        }
        "modified_ts" => "(modified_ts::timestamp AT TIME ZONE 'UTC')::text".to_owned(),
        _ => text(column),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_value_is_right_or_rejected_whatever_the_connectors_settings_are() {
    let (kafka, url) = tokio::join!(test_support::kafka(), test_support::postgres_logical_database());
    let source = connect(&url).await;
    source.batch_execute(TABLES).await.unwrap();
    source.batch_execute("SET timezone = 'UTC'").await.unwrap();
    insert(&source, 0).await;

    let mut places = Vec::new();
    let mut debezium = None;
    for (_, settings) in MODES {
        let place = Place::new(kafka).await;
        match &debezium {
            None => debezium = Some(place.follow(kafka, &url, settings).await),
            Some(debezium) => debezium.add(&place.connector(settings)).await,
        }
        places.push(place);
    }
    // Each slot must be there before what it is to tell.
    let slots =
        "FROM pg_replication_slots WHERE active AND database = current_database() AND confirmed_flush_lsn IS NOT NULL";
    eventually(PATIENCE, async || count(&source, slots).await == MODES.len() as i64).await;
    let rows: usize = VALUES.iter().map(|(_, _, values)| values.len()).sum();
    let told = async |place: &Place| {
        let mut told = 0;
        for (table, ..) in super::TABLES {
            told += messages(kafka, &place.topic(table)).await.len();
        }
        told
    };
    for place in &places {
        eventually(PATIENCE, async || told(place).await == rows).await;
    }
    insert(&source, STREAMED).await;

    // Of the other settings, what is another with them than with the project's.
    let (mut shown, mut usual) = (String::new(), Summary::new());
    for ((mode, _), place) in MODES.iter().zip(&places) {
        eventually(PATIENCE, async || told(place).await == 2 * rows).await;
        let scene = tell(kafka, place).await;
        scene.database.batch_execute("SET timezone = 'UTC'").await.unwrap();
        shown += &format!("{mode}\n");
        let summary = compare(mode, &source, &scene).await;
        for (column, outcomes) in summary.iter().filter(|(column, outcomes)| usual.get(*column) != Some(outcomes)) {
            let outcomes: Vec<_> = outcomes.iter().map(|(outcome, count)| format!("{count} {outcome}")).collect();
            shown += &format!("  {column}: {}\n", outcomes.join(", "));
        }
        if usual.is_empty() {
            usual = summary;
        }
    }
    expect![[r#"
        connector.json
          accounts.email: 3 bad_text (snapshot), 3 bad_text (stream)
          accounts.modified_ts: 22 right
          accounts.owner_name: 10 right
          accounts.phone_number: 8 right
          addresses.city: 1 bad_text (snapshot), 1 bad_text (stream)
          addresses.country: 1 bad_text (snapshot), 1 bad_text (stream)
          addresses.modified_ts: 1 bad_time (snapshot), 11 right
          addresses.postal_code: 4 right
          addresses.state: 1 bad_text (snapshot), 1 bad_text (stream)
          addresses.street_address: 2 bad_text (snapshot), 2 bad_text (stream)
          devices.account_id: 1 bad_number (snapshot), 1 bad_number (stream), 4 right
          devices.device_name: 2 right
          devices.device_os: 1 bad_text (snapshot), 1 bad_text (stream)
          devices.device_type: 2 right
          devices.modified_ts: 20 right
        adaptive, precise
          accounts.phone_number: 4 bad_text (snapshot), 4 bad_text (stream)
          devices.account_id: 3 bad_number (snapshot), 3 bad_number (stream)
        adaptive_time_microseconds, interval string
        connect, double
          accounts.phone_number: 4 bad_text (snapshot), 4 bad_text (stream)
          devices.account_id: 3 bad_number (snapshot), 3 bad_number (stream)
        microseconds
        nanoseconds
          accounts.modified_ts: 6 bad_time (snapshot), 6 bad_time (stream), 10 right
          devices.modified_ts: 5 bad_time (snapshot), 5 bad_time (stream), 10 right
        structured
          accounts.modified_ts: 10 bad_time (snapshot), 10 bad_time (stream), 2 right
          accounts.owner_name: 5 bad_time (snapshot), 5 bad_time (stream)
          accounts.phone_number: 4 bad_time (snapshot), 4 bad_time (stream)
          addresses.modified_ts: 6 bad_time (snapshot), 6 bad_time (stream)
          addresses.postal_code: 2 bad_time (snapshot), 2 bad_time (stream)
          devices.account_id: 1 bad_number (snapshot), 1 bad_number (stream), 2 bad_time (snapshot), 2 bad_time (stream)
          devices.device_name: 1 bad_time (snapshot), 1 bad_time (stream)
          devices.device_type: 1 bad_time (snapshot), 1 bad_time (stream)
          devices.modified_ts: 10 bad_time (snapshot), 10 bad_time (stream)
    "#]]
    .assert_eq(&shown);
    debezium.unwrap().stop().await;
}
