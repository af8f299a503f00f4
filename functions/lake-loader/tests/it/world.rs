//! The loader's surroundings, of one test's own: a lake, a warehouse, and what lies in bronze.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Arc;

use futures::TryStreamExt;
use lake::Lake;
use lake::bronze;
use lake_loader::table::LoadedTopic;
use lake_loader::{Config, Deps, Event, Report, Request, handle};
use lambda_boot::{Deadline, Vars};
use stream::{Lane, Record};
use tokio_postgres::{Client, NoTls};

/// 2024-01-01 10:00 UTC.
pub(crate) const START_MS: i64 = 1_704_103_200_000;
pub(crate) const HOUR_MS: i64 = 3_600_000;

pub(crate) struct World {
    pub(crate) vars: BTreeMap<&'static str, String>,
    pub(crate) deps: Arc<Deps>,
    pub(crate) lake: Lake,
    pub(crate) client: Client,
}

impl World {
    /// With more variables than the places.
    pub(crate) async fn with(vars: &[(&'static str, &str)]) -> Self {
        let store = test_support::object_store().await;
        let lake = BTreeMap::from([
            ("LAKE_BUCKET", store.bucket),
            ("AWS_ENDPOINT_URL_S3", store.endpoint),
            ("AWS_REGION", store.region),
            ("AWS_ACCESS_KEY_ID", store.access_key_id),
            ("AWS_SECRET_ACCESS_KEY", store.secret_access_key.expose().to_owned()),
        ]);
        Self::on(lake, vars).await
    }

    /// On a lake that is there, with a warehouse of its own.
    pub(crate) async fn on(lake: BTreeMap<&'static str, String>, more: &[(&'static str, &str)]) -> Self {
        let url = test_support::postgres_database().await;
        lake_loader::init(&url).await.unwrap();
        let (client, connection) = tokio_postgres::connect(&url, NoTls).await.unwrap();
        tokio::spawn(connection);
        client.batch_execute(include_str!("../../../cdc-handler/src/schema.sql")).await.unwrap();
        let mut vars = lake;
        vars.insert("DATABASE_URL", url);
        vars.extend(more.iter().map(|(name, value)| (*name, (*value).to_owned())));
        let config = Config::from_vars(&Vars::from_iter(vars.clone())).unwrap();
        Self { deps: Arc::new(Deps::connect(&config).unwrap()), lake: Lake::connect(&config.lake), vars, client }
    }

    pub(crate) async fn new() -> Self {
        Self::with(&[]).await
    }

    /// Puts records into bronze, as one object.
    pub(crate) async fn put(&self, stream: LoadedTopic, partition: i32, records: &[Record]) {
        let lane = Lane { epoch: 1, topic: stream.topic().default_name().to_owned(), partition };
        bronze::write(&self.lake, &lane, records, None).await.unwrap();
    }

    /// Puts records where versions before this one put them: by the hour of the first one's timestamp.
    pub(crate) async fn put_by_hour(&self, stream: LoadedTopic, partition: i32, records: &[Record]) {
        let lane = Lane { epoch: 1, topic: stream.topic().default_name().to_owned(), partition };
        // The lines are the same; they are written elsewhere and copied.
        let elsewhere = Lane { epoch: 0, ..lane.clone() };
        bronze::write(&self.lake, &elsewhere, records, None).await.unwrap();
        let [first, .., last] = [&records[0], &records[records.len() - 1]];
        let written = bronze::segments(&self.lake, &elsewhere, first.offset, 1).await.unwrap();
        let bytes = self.lake.get_stream(&written[0].key).await.unwrap().into_bytes().await.unwrap();
        self.lake.delete(&written[0].key).await.unwrap();
        let key = bronze::by_hour::key(&lane, first.offset, first.timestamp_ms);
        self.lake.put_if_absent(&key, bytes, &[("last-offset", &last.offset.to_string())]).await.unwrap();
    }

    pub(crate) async fn load(&self) -> Report {
        self.ask(Request::default()).await.unwrap()
    }

    pub(crate) async fn ask(&self, request: Request) -> anyhow::Result<Report> {
        handle(&self.deps, Event::Load(request), Deadline::NONE).await
    }

    /// The first column of a query's answer, as text.
    pub(crate) async fn texts(&self, query: &str) -> Vec<String> {
        let rows = self.client.query(&format!("SELECT t::text FROM ({query}) AS t"), &[]).await.unwrap();
        rows.iter().map(|row| row.get(0)).collect()
    }

    /// The names of the silver objects, and their bytes.
    pub(crate) async fn silver(&self) -> BTreeMap<String, Vec<u8>> {
        let mut objects = BTreeMap::new();
        let keys: Vec<_> = self.lake.list("silver/").map_ok(|listed| listed.key).try_collect().await.unwrap();
        for key in keys {
            let bytes = self.lake.get_stream(&key).await.unwrap().into_bytes().await.unwrap();
            objects.insert(key, bytes.to_vec());
        }
        objects
    }
}

/// A report without what differs from run to run.
pub(crate) fn shown(report: &Report) -> String {
    let mut text = format!("{:?}", report.status);
    if let Some(left) = &report.left {
        write!(text, ", left: {left}").unwrap();
    }
    for stream in report.streams.iter().filter(|stream| stream.chunks > 0) {
        write!(
            text,
            "\n{}: {} chunks, {} records = {} accepted + {} duplicates + {} rejected{}; gap {}; {} new rows",
            stream.table,
            stream.chunks,
            stream.records,
            stream.accepted,
            stream.duplicates,
            stream.rejected,
            if stream.withdrawn > 0 { format!(" + {} withdrawn", stream.withdrawn) } else { String::new() },
            stream.gap_offsets,
            stream.stored
        )
        .unwrap();
    }
    text + "\n"
}

pub(crate) fn record(offset: i64, timestamp_ms: i64, value: impl Into<Vec<u8>>) -> Record {
    Record { offset, timestamp_ms, key: None, value: Some(value.into()), headers: Vec::new() }
}

/// A data session, the row `line` of a file.
pub(crate) fn session(offset: i64, source: u64, line: u64, time: &str) -> Record {
    let value = format!(
        r#"{{"msisdn":"27821234567","tower_id":"1","up_bytes":"{line}","down_bytes":"1000","data_type":"video","event_datetime":"{time}","_source_file":"cdr_data_20240101_100000.csv","_record_type":"data","_source_id":"{source:016x}","_source_line":{line}}}"#
    );
    record(offset, START_MS + offset, value)
}

/// What takes that row back.
pub(crate) fn withdrawal(offset: i64, source: u64, line: u64, time: &str) -> Record {
    withdrawn(session(offset, source, line, time))
}

/// What takes a row back is the row, and says so.
pub(crate) fn withdrawn(row: Record) -> Record {
    let value = String::from_utf8(row.value.unwrap()).unwrap();
    let value = format!(r#"{},"_action":"withdraw"}}"#, value.strip_suffix('}').unwrap());
    Record { value: Some(value.into_bytes()), ..row }
}

/// A message of a room.
pub(crate) fn message(offset: i64, timestamp_ms: i64, id: &str, room: &str) -> Record {
    let value = format!(
        r#"{{"message_id":"{id}","room_id":"{room}","room_created_at":"2024-01-01 09:00:00","channel":"whatsapp","customer_id":"c-{room}","customer_name":"Thandi","phone":"27821234567","sender_type":"customer","message_text":"{id} in {room} at {offset}","message_date":"2024-01-01 12:00:00"}}"#
    );
    record(offset, timestamp_ms, value)
}
