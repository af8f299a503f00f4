//! What the loader makes of the models is what real dbt makes of them, and what the counters have counted.

mod dbt;
mod records;
mod tables;

use std::collections::HashMap;

use futures::{SinkExt, StreamExt};
use lake_loader::Request;
use lake_loader::table::LoadedTopic;
use stream::Record;
use telecom::{Category, Day, RecordType, Tariff, Zone};
use tokio_postgres::Client;
use usage_store::{LaneBatch, LaneMemory, LaneRecord, RecordRules, SourcedUsage, Store};

use crate::world::World;
use dbt::Dbt;
use records::Records;
use tables::{assert_same, texts};

/// Other prices from the second day on, with fractions that do not end.
const TARIFF: &str = r#"{"rows": [
    {"from": "1970-01-01", "voice_zar_per_minute": "1.00", "video_zar_per_minute": "1.25", "data_zar_per_gb": "49.00"},
    {"from": "2024-01-02", "voice_zar_per_minute": "0.95", "video_zar_per_minute": "1.333333", "data_zar_per_gb": "45.000001"}
]}"#;

/// Records of an object in bronze, so that each lane has several.
const OBJECT_RECORDS: usize = 2_000;

#[tokio::test]
async fn real_dbt_makes_the_same_tables() {
    let [first, second] = &records::records().await;
    let world = World::with(&[("TARIFF", TARIFF)]).await;
    let ours = &world.client;
    add_accounts(ours, first).await;
    load(&world, first).await;

    // The same records in another database.
    let theirs_url = test_support::postgres_database().await;
    lake_loader::init(&theirs_url).await.unwrap();
    let theirs = &tables::connect(&theirs_url).await;
    theirs.batch_execute(include_str!("../../../cdc-handler/src/schema.sql")).await.unwrap();
    copy_raw_rows(ours, theirs).await;
    let folder = tempfile::tempdir().unwrap();
    let dbt = Dbt { database_url: &theirs_url, folder: folder.path() };
    dbt.run(&["build"]).await;
    assert_same_tables(ours, theirs).await;

    // More messages in the same rooms, call records of later hours and late ones, more accounts: both build on what is
    // there.
    add_accounts(ours, second).await;
    load(&world, second).await;
    copy_raw_rows(ours, theirs).await;
    dbt.run(&["build"]).await;
    assert_same_tables(ours, theirs).await;

    // What came when makes no difference.
    let before = tables::rows(ours).await;
    world.ask(Request { full_refresh: true, ..Request::default() }).await.unwrap();
    for (table, rows) in tables::rows(ours).await {
        assert_same(&table, &before[&table], &rows);
    }

    usage_is_as_counted(ours, &[first, second]).await;

    dbt.run(&["docs", "generate"]).await;
    assert_eq!(undescribed(&dbt), [""; 0]);
}

/// Puts the records into the lake, and loads it.
async fn load(world: &World, records: &Records) {
    for (stream, lane, records) in records.lanes() {
        for object in records.chunks(OBJECT_RECORDS) {
            world.put(stream, lane.partition, object).await;
        }
    }
    world.load().await;
}

async fn assert_same_tables(ours: &Client, theirs: &Client) {
    assert_same("the tables' shapes", &tables::shapes(ours).await, &tables::shapes(theirs).await);
    let (ours, theirs) = (tables::rows(ours).await, tables::rows(theirs).await);
    assert_eq!(ours.keys().collect::<Vec<_>>(), theirs.keys().collect::<Vec<_>>());
    for (table, rows) in &ours {
        assert!(!rows.is_empty(), "{table} is empty: that shows nothing");
        assert_same(table, rows, &theirs[table]);
    }
}

/// Accounts of the subscribers, who write their numbers in several ways, or none.
async fn add_accounts(client: &Client, records: &Records) {
    for msisdn in records::subscribers([records]) {
        let digits = msisdn.to_string();
        let (country, rest) = digits.split_at(2);
        let id = i64::try_from(msisdn.as_u64() % 100_000_000).unwrap();
        let phone_number = match id % 5 {
            0 => None,
            1 => Some(format!("+{country} {rest}")),
            2 => Some(format!("00{country}{rest}")),
            3 => Some(format!(" {country}{rest} ")),
            _ => Some(format!("0{rest}")),
        };
        const SQL: &str = "WITH account AS (
                INSERT INTO crm_data.accounts (account_id, owner_name, phone_number, modified_ts, valid_from, source_lsn)
                VALUES ($1, 'Owner', $2, '2024-01-01 10:00+00', now(), 1) ON CONFLICT DO NOTHING
            ), address AS (
                INSERT INTO crm_data.addresses (account_id, city, modified_ts, valid_from, source_lsn)
                SELECT $1, 'Cape Town', '2024-01-02 10:00+00', now(), 1 WHERE $1 % 3 > 0 ON CONFLICT DO NOTHING
            )
            INSERT INTO crm_data.devices (device_id, account_id, device_name, device_os, modified_ts, valid_from, source_lsn)
            SELECT $1 * 10 + n, $1, 'phone', 'android', '2024-01-03 10:00+00', now(), 1 FROM generate_series(1, $1 % 4) AS n
            ON CONFLICT DO NOTHING";
        client.execute(SQL, &[&id, &phone_number]).await.unwrap();
    }
}

/// Makes the tables that the models read equal.
async fn copy_raw_rows(from: &Client, to: &Client) {
    let loaded = LoadedTopic::ALL.into_iter().flat_map(LoadedTopic::tables).map(lake_loader::table::Table::sql_name);
    let crm = ["accounts", "addresses", "devices"].map(|table| format!("crm_data.{table}"));
    for table in loaded.into_iter().chain(crm).chain(["ops.tariff".to_owned()]) {
        to.batch_execute(&format!("TRUNCATE {table}")).await.unwrap();
        let rows = from.copy_out(&format!("COPY {table} TO STDOUT (FORMAT binary)")).await.unwrap();
        let sink = to.copy_in(&format!("COPY {table} FROM STDIN (FORMAT binary)")).await.unwrap();
        let (mut rows, mut sink) = (std::pin::pin!(rows), std::pin::pin!(sink));
        while let Some(chunk) = rows.next().await {
            sink.feed(chunk.unwrap()).await.unwrap();
        }
        sink.finish().await.unwrap();
    }
}

/// Daily usage and cost are what the usage API answers from the counters, for every subscriber.
async fn usage_is_as_counted(warehouse: &Client, parts: &[&Records]) {
    let store = Store::connect(&test_support::postgres_database().await).unwrap();
    store.init().await.unwrap();
    for (topic, _) in RECORD_TYPES {
        store.add_lanes(records::EPOCH, topic, records::PARTITIONS).await.unwrap();
    }
    let mut withdrawn = 0;
    let mut memories: HashMap<_, LaneMemory> = HashMap::new();
    for (stream, lane, records) in parts.iter().flat_map(|records| records.lanes()) {
        let Some((_, record_type)) = RECORD_TYPES.iter().find(|(topic, _)| *topic == stream.topic().default_name())
        else {
            continue;
        };
        let memory = memories.entry((stream, lane.partition)).or_default();
        let usage = |record: &Record| {
            let record = telecom::json::parse(record.value.as_ref().unwrap(), *record_type, &Zone::default()).unwrap();
            SourcedUsage { event: record.event, source: record.source, action: record.action, tower: None }
        };
        let record = |record: &Record| {
            let (offset, timestamp_ms) = (record.offset, record.timestamp_ms);
            LaneRecord { offset, timestamp_ms, usage: Some(usage(record)) }
        };
        let batch = LaneBatch::new(lane, RecordRules::default(), records.iter().map(record).collect()).unwrap();
        withdrawn += store.count(memory, &batch).await.unwrap().withdrawn;
    }
    assert!(withdrawn > 100, "{withdrawn} rows are too few");

    let tariff = Tariff::parse(TARIFF).unwrap();
    let (mut usage, mut costs) = (Vec::new(), Vec::new());
    for msisdn in records::subscribers(parts.iter().copied()) {
        let mut rows = store.usage_of(msisdn, Day::MIN, Day::MAX).await.unwrap();
        rows.sort_by_key(|row| row.day);
        usage.extend(rows.iter().map(|row| {
            let (category, totals) = (row.kind.category(), row.totals);
            format!(
                "{msisdn} {} {category} {} {} {} {} {}",
                row.day,
                row.kind.usage_type(),
                totals.events,
                totals.up_bytes,
                totals.down_bytes,
                totals.seconds
            )
        }));
        costs.extend(rows.chunk_by(|a, b| a.day == b.day).map(|rows| {
            let cost = |categories: &[Category]| {
                let rows = rows.iter().filter(|row| categories.contains(&row.kind.category()));
                tariff.cost(rows.clone().next().map_or(Day::MIN, |row| row.day), rows.map(|row| (row.kind, row.totals)))
            };
            let (data, calls) = (cost(&[Category::Data]), cost(&[Category::Call]));
            format!("{msisdn} {} {data} {calls} {}", rows[0].day, cost(&Category::ALL))
        }));
    }
    usage.sort_unstable();
    costs.sort_unstable();
    let stored =
        "SELECT concat_ws(' ', msisdn, day, category, usage_type, events, up_bytes, down_bytes, seconds) COLLATE \"C\"
        FROM prepared_layers.daily_usage WHERE events > 0 ORDER BY 1";
    assert_same("daily usage", &texts(warehouse, stored).await, &usage);
    let stored = "SELECT concat_ws(' ', msisdn, day, data_cost_zar, call_cost_zar, cost_zar) COLLATE \"C\"
        FROM prepared_layers.daily_cost
        WHERE (msisdn, day) IN (SELECT msisdn, day FROM prepared_layers.daily_usage WHERE events > 0) ORDER BY 1";
    assert_same("daily cost", &texts(warehouse, stored).await, &costs);
}

/// What is counted, by its topic.
const RECORD_TYPES: [(&str, RecordType); 2] = [("cdr-data", RecordType::Data), ("cdr-voice", RecordType::Voice)];

/// The models, and their columns, of which the documentation says nothing.
fn undescribed(dbt: &Dbt<'_>) -> Vec<String> {
    let (manifest, catalog) = (dbt.artifact("manifest.json"), dbt.artifact("catalog.json"));
    let is_described = |value: &serde_json::Value| value["description"].as_str().is_some_and(|text| !text.is_empty());
    let mut undescribed = Vec::new();
    for (id, table) in catalog["nodes"].as_object().unwrap() {
        let model = &manifest["nodes"][id];
        if !is_described(model) {
            undescribed.push(id.clone());
        }
        let columns = table["columns"].as_object().unwrap().keys();
        let missing = columns.filter(|column| !is_described(&model["columns"][column.as_str()]));
        undescribed.extend(missing.map(|column| format!("{id}.{column}")));
    }
    undescribed
}
