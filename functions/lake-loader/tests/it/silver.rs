//! Records become the same rows in PostgreSQL and in Parquet, and other programs read both.

use std::fmt::Write as _;
use std::path::Path;
use std::process::Command;

use expect_test::{Expect, expect};
use lake_loader::rows::{self, Columns, Identity, Load};
use lake_loader::silver;
use lake_loader::table::{Column, Kind, LoadedTopic, Origin};
use stream::{Lane, Record};
use telecom::{EventTime, Zone};
use tokio_postgres::{Client, NoTls};

const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../..");

fn record(offset: i64, value: &str) -> Record {
    let timestamp_ms = 1_704_104_130_000 + offset;
    Record { offset, timestamp_ms, key: None, value: Some(value.into()), headers: Vec::new() }
}

fn lane(stream: LoadedTopic) -> Lane {
    Lane { epoch: 2, topic: stream.topic().default_name().to_owned(), partition: 1 }
}

pub(crate) fn columns(stream: LoadedTopic, records: &[Record]) -> Columns {
    let mut columns = Columns::new(stream, &lane(stream));
    for record in records {
        columns.push(&rows::read(stream, record, &Zone::default()).unwrap());
    }
    columns
}

/// What topics may hold: everything given, as little as possible, and awkward values; events of several hours.
fn samples(stream: LoadedTopic) -> Vec<Record> {
    match stream {
        LoadedTopic::CdrData => vec![
            record(
                0,
                r#"{"msisdn":"+27821234567","tower_id":"1523","up_bytes":"523456","down_bytes":"1234567","data_type":"video","ip_address":"41.202.45.12","website_url":"https://example.com/?q='%\"\u20ac","event_datetime":"2024-01-01 10:15:30.000001","_source_file":"cdr_data_20240101_101530.csv","_ingestion_timestamp":"2024-12-07T15:23:45.123456","_record_type":"data","_source_id":"00ff00ff00ff00ff","_source_line":17}"#,
            ),
            record(
                2,
                r#"{"msisdn":12345,"tower_id":4294967295,"up_bytes":0,"down_bytes":10000000000000,"data_type":"text","event_datetime":"2100-12-31 23:59:59"}"#,
            ),
            Record {
                timestamp_ms: -1,
                ..record(
                    3,
                    r#"{"msisdn":27821234567,"tower_id":0,"up_bytes":1,"down_bytes":2,"data_type":"audio","ip_address":"","website_url":"a\tb,c\\N","event_datetime":"2024-01-01T08:59:59Z"}"#,
                )
            },
        ],
        LoadedTopic::CdrVoice => vec![
            record(
                5,
                r#"{"msisdn":"0027821234567","tower_id":"1","call_type":"voice","dest_nr":"112","call_duration_sec":"60","start_time":"2024-01-01 10:15:30","_source_file":"cdr_voice_20240101_101530.csv.gz","_source_id":"00ff00ff00ff00ff","_source_line":9223372036854775807}"#,
            ),
            record(
                6,
                r#"{"msisdn":"27821234567","tower_id":"1","call_type":"video","call_duration_sec":"86400","start_time":"1970-01-01 00:00:00","dest_nr":null}"#,
            ),
        ],
        LoadedTopic::Messages => vec![
            record(
                1,
                r#"{"message_id":"m-1","room_id":"r-1","room_created_at":"2024-01-01 09:00:00","channel":"whatsapp","customer_id":"c-1","customer_name":"Thandi O'Neil","phone":"+27821234567","sender_type":"customer","message_text":"Hello\n\"you\", 🙂 \\N","message_date":"2024-01-01 09:00:01.5"}"#,
            ),
            record(
                2,
                r#"{"message_id":"m-2","room_id":"r-1","room_created_at":"2024-01-01 09:00:00","channel":"whatsapp","customer_id":"c-1","customer_name":null,"sender_type":"agent","message_text":"Hi","message_date":"2024-01-01T07:10:00Z"}"#,
            ),
        ],
        LoadedTopic::Rejected => vec![
            record(
                3,
                r#"{"reason":"bad_msisdn","detail":"msisdn: none","rows":1,"file":{"name":"cdr_data_20240101_101530.csv","source_id":"00ff00ff00ff00ff","line":4,"object":"landing/cdr_data_20240101_101530.csv","from_byte":1,"to_byte":2},"raw":"AP9h","truncated":false}"#,
            ),
            Record {
                key: Some("landed-files/2/5".into()),
                timestamp_ms: -1,
                ..record(
                    4,
                    r#"{"reason":"bad_announcement","detail":"not an announcement","rows":0,"kafka":{"topic":"landed-files","partition":2,"offset":5},"raw":"","truncated":true}"#,
                )
            },
        ],
    }
}

pub(crate) async fn database() -> Client {
    let (client, connection) = tokio_postgres::connect(&test_support::postgres_database().await, NoTls).await.unwrap();
    tokio::spawn(connection);
    client.batch_execute("CREATE SCHEMA cdr_data; CREATE SCHEMA raw").await.unwrap();
    client
}

const BATCH_ID: i64 = 42;

pub(crate) async fn load(client: &mut Client, columns: &Columns) -> u64 {
    let table = columns.stream().table();
    client.batch_execute(&table.ddl()).await.unwrap();
    let loaded_at = EventTime::parse("2024-01-02 03:04:05.678", &Zone::default()).unwrap();
    let transaction = client.transaction().await.unwrap();
    let load = Load { batch_id: BATCH_ID, loaded_at };
    let copied = columns.copy(&transaction, &table.sql_name(), load).await.unwrap();
    transaction.commit().await.unwrap();
    copied
}

/// How a missing value is shown.
pub(crate) const NULL: &str = "∅";

/// How a database writes what others write otherwise.
pub(crate) struct Dialect {
    bytes: fn(&str) -> String,
    microseconds: fn(&str) -> String,
}

pub(crate) const POSTGRES: Dialect = Dialect {
    bytes: |name| format!("encode({name}, 'hex')"),
    microseconds: |name| format!("cast(extract(epoch FROM {name}) * 1000000 AS bigint)"),
};

const DUCKDB: Dialect =
    Dialect { bytes: |name| format!("lower(hex({name}))"), microseconds: |name| format!("epoch_us({name})") };

/// Asks for each row of a stream's table on one line, in its offset's order; NULL is [`NULL`].
pub(crate) fn rows_query(stream: LoadedTopic, from: &str, dialect: &Dialect) -> String {
    let column = |column: &Column| {
        let name = format!("\"{}\"", column.name);
        let value = match column.kind {
            Kind::Bytes => (dialect.bytes)(&name),
            Kind::CivilTime | Kind::Moment => (dialect.microseconds)(&name),
            Kind::Boolean => format!("cast({name} AS integer)"),
            Kind::Text | Kind::Integer | Kind::BigInt => name,
        };
        format!("coalesce(cast({value} AS varchar), '{NULL}')")
    };
    let columns: Vec<String> = stream.table().record_columns().map(column).collect();
    format!("SELECT concat_ws(' | ', {}) FROM {from} ORDER BY kafka_offset", columns.join(", "))
}

pub(crate) async fn texts(client: &Client, query: &str) -> Vec<String> {
    client.query(query, &[]).await.unwrap().iter().map(|row| row.get(0)).collect()
}

fn write_silver(folder: &Path, columns: &Columns) -> Vec<String> {
    let objects = silver::objects(columns, 0).map(|object| {
        let object = object.unwrap();
        let path = folder.join(&object.key);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, &object.bytes).unwrap();
        format!("{}: {}", object.key, object.rows)
    });
    objects.collect()
}

/// The first column of each query's answer, from one process of DuckDB in this folder.
fn duckdb(folder: &Path, queries: &[String]) -> Vec<Vec<String>> {
    const SCRIPT: &str = "import duckdb, json, sys
duckdb.execute(\"SET TimeZone = 'UTC'\")
print(json.dumps([[row[0] for row in duckdb.execute(query).fetchall()] for query in sys.argv[1:]]))";
    let output = Command::new(format!("{ROOT}/crates/test-support/services/tools.sh"))
        .args(["duckdb-python", "-c", SCRIPT])
        .args(queries)
        .current_dir(folder)
        .output()
        .expect("tools.sh runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

fn parquet(stream: LoadedTopic) -> String {
    let folder = stream.table().silver;
    // Without the types, it makes text or numbers of the hours, as they happen to be.
    format!("read_parquet('silver/{folder}/*/*/*.parquet', hive_types = {{'date': DATE, 'hour': INTEGER}})")
}

#[tokio::test]
async fn the_same_rows_are_in_postgresql_and_in_parquet() {
    let mut client = database().await;
    let folder = tempfile::tempdir().unwrap();
    let mut queries = Vec::new();
    let mut loaded = Vec::new();
    for stream in LoadedTopic::ALL {
        let columns = columns(stream, &samples(stream));
        assert_eq!(load(&mut client, &columns).await, columns.len() as u64);
        loaded.push(texts(&client, &rows_query(stream, &stream.table().sql_name(), &POSTGRES)).await);
        write_silver(folder.path(), &columns);
        queries.push(rows_query(stream, &parquet(stream), &DUCKDB));
    }
    assert_eq!(duckdb(folder.path(), &queries), loaded);
    let mut all = String::new();
    for (stream, rows) in LoadedTopic::ALL.into_iter().zip(loaded) {
        write!(all, "{}\n  {}\n", stream.as_str(), rows.join("\n  ")).unwrap();
    }
    expect![[r#"
        cdr_data
          27821234567 | 1523 | 523456 | 1234567 | video | 41.202.45.12 | https://example.com/?q='%"€ | 1704104130000001 | cdr_data_20240101_101530.csv | 00ff00ff00ff00ff | 17 | 1733585025123456 | 2 | 1 | 0 | 1704104130000000
          12345 | 4294967295 | 0 | 10000000000000 | text | ∅ | ∅ | 4133980799000000 | ∅ | ∅ | ∅ | ∅ | 2 | 1 | 2 | 1704104130002000
          27821234567 | 0 | 1 | 2 | audio | ∅ | a	b,c\N | 1704106799000000 | ∅ | ∅ | ∅ | ∅ | 2 | 1 | 3 | ∅
        cdr_voice
          27821234567 | 1 | voice | 112 | 60 | 1704104130000000 | cdr_voice_20240101_101530.csv.gz | 00ff00ff00ff00ff | 9223372036854775807 | ∅ | 2 | 1 | 5 | 1704104130005000
          27821234567 | 1 | video | ∅ | 86400 | 0 | ∅ | ∅ | ∅ | ∅ | 2 | 1 | 6 | 1704104130006000
        messages
          m-1 | r-1 | 1704099600000000 | whatsapp | c-1 | Thandi O'Neil | +27821234567 | customer | Hello
        "you", 🙂 \N | 1704099601500000 | 1704092401500000 | 2 | 1 | 1 | 1704104130001000
          m-2 | r-1 | 1704099600000000 | whatsapp | c-1 | ∅ | ∅ | agent | Hi | 1704100200000000 | 1704093000000000 | 2 | 1 | 2 | 1704104130002000
        rejected
          00ff00ff00ff00ff/4 | bad_msisdn | msisdn: none | 1 | cdr_data_20240101_101530.csv | 00ff00ff00ff00ff | 4 | ∅ | ∅ | ∅ | 0 | 00ff61 | 1704111330003000 | 2 | 1 | 3 | 1704104130003000
          landed-files/2/5 | bad_announcement | not an announcement | 0 | ∅ | ∅ | ∅ | landed-files | 2 | 5 | 1 |  | ∅ | 2 | 1 | 4 | ∅
    "#]].assert_eq(&all);
    let load = "SELECT concat_ws(' | ', message_id, batch_id, upload_date) FROM raw.messages ORDER BY 1";
    expect![[r#"
        m-1 | 42 | 2024-01-02 03:04:05.678
        m-2 | 42 | 2024-01-02 03:04:05.678"#]]
    .assert_eq(&texts(&client, load).await.join("\n"));
}

#[test]
fn types_and_hours_are_those_of_the_lake() {
    let folder = tempfile::tempdir().unwrap();
    let mut found = String::new();
    for stream in LoadedTopic::ALL {
        let columns = columns(stream, &samples(stream));
        for object in write_silver(folder.path(), &columns) {
            writeln!(found, "{object}").unwrap();
        }
    }
    let describe = |stream| {
        let from = parquet(stream);
        format!("SELECT concat_ws(' ', column_name, column_type) FROM (DESCRIBE SELECT * FROM {from})")
    };
    let mut queries = Vec::from(LoadedTopic::ALL.map(describe));
    queries.push(format!(
        "SELECT concat_ws(' ', date, hour, event_datetime) FROM {} ORDER BY 1",
        parquet(LoadedTopic::CdrData)
    ));
    queries.push(
        "SELECT concat_ws(' ', name, repetition_type, type, logical_type) FROM parquet_schema('silver/cdr_voice/date=2024-01-01/*/*.parquet')".to_owned(),
    );
    for answer in duckdb(folder.path(), &queries) {
        writeln!(found, "{}\n", answer.join("\n")).unwrap();
    }
    expect![[r#"
        silver/cdr_data/date=2024-01-01/hour=10/cdr-data-2-1-00000000000000000000.parquet: 2
        silver/cdr_data/date=2100-12-31/hour=23/cdr-data-2-1-00000000000000000000.parquet: 1
        silver/cdr_voice/date=1970-01-01/hour=00/cdr-voice-2-1-00000000000000000000.parquet: 1
        silver/cdr_voice/date=2024-01-01/hour=10/cdr-voice-2-1-00000000000000000000.parquet: 1
        silver/messages/date=2024-01-01/hour=09/chat-messages-2-1-00000000000000000000.parquet: 2
        silver/rejected/date=1970-01-01/hour=00/rejected-2-1-00000000000000000000.parquet: 1
        silver/rejected/date=2024-01-01/hour=12/rejected-2-1-00000000000000000000.parquet: 1
        msisdn VARCHAR
        tower_id BIGINT
        up_bytes BIGINT
        down_bytes BIGINT
        data_type VARCHAR
        ip_address VARCHAR
        website_url VARCHAR
        event_datetime TIMESTAMP
        source_file VARCHAR
        source_id VARCHAR
        source_line BIGINT
        ingested_at TIMESTAMP WITH TIME ZONE
        kafka_epoch BIGINT
        kafka_partition INTEGER
        kafka_offset BIGINT
        kafka_timestamp TIMESTAMP WITH TIME ZONE
        date DATE
        hour INTEGER

        msisdn VARCHAR
        tower_id BIGINT
        call_type VARCHAR
        dest_nr VARCHAR
        call_duration_sec BIGINT
        start_time TIMESTAMP
        source_file VARCHAR
        source_id VARCHAR
        source_line BIGINT
        ingested_at TIMESTAMP WITH TIME ZONE
        kafka_epoch BIGINT
        kafka_partition INTEGER
        kafka_offset BIGINT
        kafka_timestamp TIMESTAMP WITH TIME ZONE
        date DATE
        hour INTEGER

        message_id VARCHAR
        room_id VARCHAR
        room_created_at TIMESTAMP
        channel VARCHAR
        customer_id VARCHAR
        customer_name VARCHAR
        phone VARCHAR
        sender_type VARCHAR
        message_text VARCHAR
        message_date TIMESTAMP
        message_at TIMESTAMP WITH TIME ZONE
        kafka_epoch BIGINT
        kafka_partition INTEGER
        kafka_offset BIGINT
        kafka_timestamp TIMESTAMP WITH TIME ZONE
        date DATE
        hour INTEGER

        key VARCHAR
        reason VARCHAR
        detail VARCHAR
        rows BIGINT
        file_name VARCHAR
        source_id VARCHAR
        line BIGINT
        topic VARCHAR
        partition INTEGER
        offset BIGINT
        is_truncated BOOLEAN
        raw BLOB
        rejected_at TIMESTAMP
        kafka_epoch BIGINT
        kafka_partition INTEGER
        kafka_offset BIGINT
        kafka_timestamp TIMESTAMP WITH TIME ZONE
        date DATE
        hour INTEGER

        2024-01-01 10 2024-01-01 10:15:30.000001
        2024-01-01 10 2024-01-01 10:59:59
        2100-12-31 23 2100-12-31 23:59:59

        cdr_voice
        msisdn REQUIRED BYTE_ARRAY StringType()
        tower_id OPTIONAL INT64
        call_type REQUIRED BYTE_ARRAY StringType()
        dest_nr OPTIONAL BYTE_ARRAY StringType()
        call_duration_sec REQUIRED INT64
        start_time REQUIRED INT64 TimestampType(isAdjustedToUTC=0, unit=TimeUnit(MILLIS=<null>, MICROS=MicroSeconds(), NANOS=<null>))
        source_file OPTIONAL BYTE_ARRAY StringType()
        source_id OPTIONAL BYTE_ARRAY StringType()
        source_line OPTIONAL INT64
        ingested_at OPTIONAL INT64 TimestampType(isAdjustedToUTC=1, unit=TimeUnit(MILLIS=<null>, MICROS=MicroSeconds(), NANOS=<null>))
        kafka_epoch REQUIRED INT64
        kafka_partition REQUIRED INT32
        kafka_offset REQUIRED INT64
        kafka_timestamp OPTIONAL INT64 TimestampType(isAdjustedToUTC=1, unit=TimeUnit(MILLIS=<null>, MICROS=MicroSeconds(), NANOS=<null>))

    "#]].assert_eq(&found);
}

#[test]
fn the_same_rows_give_the_same_bytes() {
    for stream in LoadedTopic::ALL {
        let write = || -> Vec<_> {
            let objects =
                silver::objects(&columns(stream, &samples(stream)), 7).map(Result::unwrap).collect::<Vec<_>>();
            objects.into_iter().map(|object| (object.key, object.bytes)).collect()
        };
        assert_eq!(write(), write());
    }
}

#[tokio::test]
async fn tables_are_made_again_without_harm_and_all_is_commented() {
    let mut client = database().await;
    for stream in LoadedTopic::ALL {
        let table = stream.table();
        load(&mut client, &columns(stream, &samples(stream))).await;
        client.batch_execute(&table.ddl()).await.unwrap();
        let query = "SELECT obj_description($1::text::regclass, 'pg_class')";
        let comment: Option<String> = client.query_one(query, &[&table.sql_name()]).await.unwrap().get(0);
        assert_eq!(comment.as_deref(), Some(table.comment));
        let query =
            "SELECT attname::text, format_type(atttypid, NULL), NOT attnotnull, col_description(attrelid, attnum)
            FROM pg_attribute WHERE attrelid = $1::text::regclass AND attnum > 0 ORDER BY attnum";
        let rows = client.query(query, &[&table.sql_name()]).await.unwrap();
        assert_eq!(rows.len(), table.columns.len());
        for (row, column) in rows.iter().zip(table.columns) {
            let found: (String, String, bool, Option<String>) = (row.get(0), row.get(1), row.get(2), row.get(3));
            let kind = column.kind.sql().replace("timestamptz", "timestamp with time zone");
            let kind = if kind == "timestamp" { "timestamp without time zone".to_owned() } else { kind };
            assert_eq!(found, (column.name.to_owned(), kind, column.is_nullable, Some(column.comment.to_owned())));
        }
    }
}

fn check_unusable(stream: LoadedTopic, record: &Record, expected: Expect) {
    let unusable = rows::read(stream, record, &Zone::default()).unwrap_err();
    expected.assert_eq(&format!("{}: {unusable}", unusable.reason));
}

#[test]
fn what_cannot_be_used_says_why() {
    for stream in LoadedTopic::ALL {
        check_unusable(stream, &Record { value: None, ..record(0, "") }, expect!["no_value: the message has no value"]);
    }
    check_unusable(
        LoadedTopic::CdrData,
        &record(0, r#"{"msisdn":"1"}"#),
        expect!["missing_column: tower_id is missing"],
    );
    check_unusable(
        LoadedTopic::CdrVoice,
        &samples(LoadedTopic::CdrData)[0],
        expect!["wrong_record_type: _record_type is not that of the topic"],
    );
    check_unusable(
        LoadedTopic::Messages,
        &record(0, r#"{"message_id":1}"#),
        expect!["not_text: message_id is not text: write it in quotes"],
    );
    check_unusable(
        LoadedTopic::Rejected,
        &record(0, "{}"),
        expect!["bad_rejected: it is not the JSON of a rejected record"],
    );
    let [ref good, ..] = samples(LoadedTopic::Rejected)[..] else { unreachable!() };
    check_unusable(
        LoadedTopic::Rejected,
        &Record { key: Some(b"\xff".into()), ..good.clone() },
        expect!["bad_rejected: its key is not UTF-8"],
    );
    check_unusable(
        LoadedTopic::Rejected,
        &Record { key: Some(vec![b'a'; 513]), ..good.clone() },
        expect!["bad_rejected: it has no key, or one that is too long"],
    );
    let with = |from: &str, to: &str| {
        let value = String::from_utf8(good.value.clone().unwrap()).unwrap();
        record(0, &value.replacen(from, to, 1))
    };
    check_unusable(
        LoadedTopic::Rejected,
        &with("bad_msisdn", "a\\u0000"),
        expect!["bad_rejected: a text of it has a NUL, which PostgreSQL cannot hold"],
    );
    check_unusable(
        LoadedTopic::Rejected,
        &with(r#""rows":1"#, r#""rows":9223372036854775808"#),
        expect!["bad_rejected: a number of it is too large"],
    );
}

fn check_identity(stream: LoadedTopic, record: &Record, expected: Expect) {
    let row = rows::read(stream, record, &Zone::default()).unwrap();
    let identity = match row.identity() {
        Identity::Line { source, line } => format!("line {line} of {source}"),
        Identity::Key(key) => format!("key {key}"),
        Identity::Position => format!("offset {}", row.offset()),
    };
    expected.assert_eq(&identity);
}

#[test]
fn a_row_is_known_by_its_identity() {
    check_identity(LoadedTopic::CdrData, &samples(LoadedTopic::CdrData)[0], expect!["line 17 of 00ff00ff00ff00ff"]);
    check_identity(LoadedTopic::CdrData, &samples(LoadedTopic::CdrData)[1], expect!["offset 2"]);
    check_identity(LoadedTopic::Messages, &samples(LoadedTopic::Messages)[0], expect!["key m-1"]);
    check_identity(LoadedTopic::Rejected, &samples(LoadedTopic::Rejected)[0], expect!["key 00ff00ff00ff00ff/4"]);
    check_identity(LoadedTopic::Rejected, &samples(LoadedTopic::Rejected)[1], expect!["key landed-files/2/5"]);
}

/// A column of PostgreSQL alone is filled by the load, and every stream has them.
#[test]
fn a_batch_is_known_only_where_it_is_loaded() {
    for stream in LoadedTopic::ALL {
        let by_load = stream.table().columns.iter().filter(|column| column.origin != Origin::Record);
        let by_load: Vec<_> = by_load.map(|column| column.name).collect();
        assert_eq!(by_load.last(), Some(&"batch_id"), "{}", stream.as_str());
    }
}
