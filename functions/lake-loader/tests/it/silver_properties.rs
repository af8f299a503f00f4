//! Whatever values records have, they are the values of the rows.

use jiff::Timestamp;
use lake_loader::silver;
use lake_loader::table::LoadedTopic;
use parquet::file::reader::{FileReader as _, SerializedFileReader};
use parquet::record::Field;
use proptest::option::of;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestCaseError, TestRunner};
use serde_json::json;
use stream::Record;
use tokio_postgres::Client;

use crate::silver::{NULL, POSTGRES, columns, database, load, rows_query, texts};

/// A record, and the row that it shall be: the values on one line.
type Sample = (Record, String);

/// Two hours: the default zone's clocks are so far ahead, in all years of these times.
const EAST_US: i64 = 7_200_000_000;

/// 2100-12-31 23:59:59.999999
const LAST_EVENT_US: i64 = 4_133_980_799_999_999;

/// Text that a record may have: without control characters but the tab. None is written as empty text.
fn field() -> impl Strategy<Value = Option<String>> {
    of("[^\\p{Cc}]{1,12}\t?")
}

fn civil(microseconds: i64) -> String {
    Timestamp::from_microsecond(microseconds).unwrap().strftime("%Y-%m-%d %H:%M:%S.%6f").to_string()
}

fn shown<T: ToString>(value: &Option<T>) -> String {
    value.as_ref().map_or_else(|| NULL.to_owned(), T::to_string)
}

fn sample(offset: usize, timestamp_ms: i64, value: &serde_json::Value, row: &[String]) -> Sample {
    let offset = i64::try_from(offset).unwrap() * 3;
    let record =
        Record { offset, timestamp_ms, key: None, value: Some(value.to_string().into_bytes()), headers: Vec::new() };
    let place = ["2", "1", &offset.to_string(), &(timestamp_ms * 1_000).to_string()].join(" | ");
    (record, format!("{} | {place}", row.join(" | ")))
}

/// Half of the numbers as text.
fn number(number: u64) -> serde_json::Value {
    if number.is_multiple_of(2) { json!(number) } else { json!(number.to_string()) }
}

prop_compose! {
    fn session()(
        msisdn in 10_000..1_000_000_000_000_000_u64,
        tower: u32,
        bytes in [0..=telecom::MAX_RECORD_BYTES, 0..=telecom::MAX_RECORD_BYTES],
        usage_type in prop::sample::select(vec!["video", "audio", "image", "text", "application"]),
        texts in [field(), field()],
        time in 0..=LAST_EVENT_US,
        source in of((any::<u64>(), 1..=i64::MAX as u64)),
        timestamp_ms in 0..=LAST_EVENT_US / 1_000,
    ) -> (i64, serde_json::Value, Vec<String>) {
        let id = source.map(|(id, _)| format!("{id:016x}"));
        let line = source.map(|(_, line)| line);
        let value = json!({
            "msisdn": number(msisdn), "tower_id": number(tower.into()),
            "up_bytes": number(bytes[0]), "down_bytes": number(bytes[1]), "data_type": usage_type,
            "ip_address": texts[0].clone().unwrap_or_default(), "website_url": texts[1], "event_datetime": civil(time),
            "_source_id": id, "_source_line": line,
        });
        let row = vec![
            msisdn.to_string(), tower.to_string(), bytes[0].to_string(), bytes[1].to_string(), usage_type.to_owned(),
            shown(&texts[0]), shown(&texts[1]), time.to_string(), NULL.to_owned(), shown(&id), shown(&line),
            NULL.to_owned(),
        ];
        (timestamp_ms, value, row)
    }
}

prop_compose! {
    fn message()(
        // The first is long enough to be unique.
        ids in ["[^\\p{Cc}]{20,50}", "[^\\p{Cc}]{1,50}", "[^\\p{Cc}]{1,50}"],
        channel in "[a-z]{1,12}",
        texts in [of("[^\\p{Cc}]{1,255}"), of("[^\\p{Cc}]{1,20}")],
        sender in "[a-z]{1,20}",
        text in "[^\\p{Cc}]{1,40}[\t\n\r]?",
        times in [0..=LAST_EVENT_US, 0..=LAST_EVENT_US],
        timestamp_ms in 0..=LAST_EVENT_US / 1_000,
    ) -> (i64, serde_json::Value, Vec<String>) {
        let [message, room, customer] = ids;
        let value = json!({
            "message_id": message, "room_id": room, "room_created_at": civil(times[0]), "channel": channel,
            "customer_id": customer, "customer_name": texts[0], "phone": texts[1], "sender_type": sender,
            "message_text": text, "message_date": civil(times[1]),
        });
        let row = vec![
            message, room, times[0].to_string(), channel, customer, shown(&texts[0]), shown(&texts[1]), sender, text,
            times[1].to_string(), (times[1] - EAST_US).to_string(),
        ];
        (timestamp_ms, value, row)
    }
}

/// The rows of the objects, in the order of their offsets, as `rows_query` gives them.
fn parquet_rows(stream: LoadedTopic, records: &[Record]) -> Vec<String> {
    let mut rows = Vec::new();
    for object in silver::objects(&columns(stream, records), 0) {
        let object = object.unwrap();
        let file = SerializedFileReader::new(object.bytes).unwrap();
        assert_eq!(file.metadata().file_metadata().num_rows(), i64::try_from(object.rows).unwrap());
        for row in file.get_row_iter(None).unwrap() {
            let row = row.unwrap();
            let fields = row.get_column_iter().map(|(_, field)| match field {
                Field::Null => NULL.to_owned(),
                Field::Str(text) => text.clone(),
                Field::Long(number) | Field::TimestampMicros(number) => number.to_string(),
                Field::Int(number) => number.to_string(),
                other => panic!("{other:?} is in no column of these"),
            });
            let fields: Vec<String> = fields.collect();
            let offset: i64 = fields[fields.len() - 2].parse().unwrap();
            rows.push((offset, fields.join(" | ")));
        }
    }
    rows.sort();
    rows.into_iter().map(|(_, row)| row).collect()
}

async fn postgres_rows(client: &mut Client, stream: LoadedTopic, records: &[Record]) -> Vec<String> {
    let table = stream.table().sql_name();
    client.batch_execute(&format!("DROP TABLE IF EXISTS {table}")).await.unwrap();
    load(client, &columns(stream, records)).await;
    texts(client, &rows_query(stream, &table, &POSTGRES)).await
}

fn check(stream: LoadedTopic, samples: impl Strategy<Value = (i64, serde_json::Value, Vec<String>)>) {
    // Each case makes a table: few cases with many rows.
    let mut runner = TestRunner::new(Config { cases: 16, max_shrink_iters: 200, ..Config::default() });
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let client = std::cell::RefCell::new(runtime.block_on(database()));
    let checked = runner.run(&prop::collection::vec(samples, 0..60), |samples| {
        let samples = samples.into_iter().enumerate();
        let samples = samples.map(|(index, (timestamp_ms, value, row))| sample(index, timestamp_ms, &value, &row));
        let (records, expected): (Vec<Record>, Vec<String>) = samples.unzip();
        prop_assert_eq!(&parquet_rows(stream, &records), &expected);
        let loaded = runtime.block_on(postgres_rows(&mut client.borrow_mut(), stream, &records));
        prop_assert_eq!(&loaded, &expected);
        Ok::<(), TestCaseError>(())
    });
    checked.unwrap();
}

#[test]
fn sessions_survive() {
    check(LoadedTopic::CdrData, session());
}

#[test]
fn messages_survive() {
    check(LoadedTopic::Messages, message());
}
