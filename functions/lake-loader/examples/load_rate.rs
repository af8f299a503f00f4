//! How fast a day is loaded and modelled, how long a run takes that finds nothing, and whether an hour costs more when
//! there is more before it. Prints what it ran on. `load_rate BINARY HOURS…`: the function's own binary, which runs as
//! the service runs it; one more hour after so many, instead of a day.

#![expect(clippy::print_stdout, reason = "an example prints what it measures")]

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime};

use ::stream::{Lane, Record};
use anyhow::{Context, ensure};
use bytes::Bytes;
use futures::{StreamExt, TryStreamExt, stream};
use generator::{Destination, FileSink, Options, Put};
use jiff::civil::DateTime;
use lake::Lake;
use lake::bronze;
use lake_loader::table::LoadedTopic;
use lake_loader::{Config, Report};
use lambda_boot::Vars;
use telecom::csv::{Header, Provenance, Scratch};
use telecom::{FileName, RecordType, SourceId, Zone};
use test_support::Sandbox;
use tokio_postgres::NoTls;

/// The prod profile's day: 5 lines of each type a second.
const LINES_PER_SECOND: u32 = 5;
const SUBSCRIBERS: u32 = 50_000;
const DAY_HOURS: i64 = 24;
const START: DateTime = DateTime::constant(2024, 1, 1, 0, 0, 0, 0);
/// The same in Johannesburg, in milliseconds since 1970.
const START_MS: i64 = 1_704_060_000_000;
const HOUR_MS: i64 = 3_600_000;
/// As `trunkline init` makes topics, and the template lake-writer's window.
const PARTITIONS: u64 = 3;
const WINDOW_MS: i64 = 60_000;
const PUTS_IN_FLIGHT: usize = 8;
/// What triggers a load, and the template's Timeout.
const SCHEDULE: &str = include_str!("../../../events/lake-loader/schedule.json");
const TIMEOUT: Duration = Duration::from_secs(900);

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let mut args = std::env::args().skip(1);
    let binary = PathBuf::from(args.next().context("usage: load_rate BINARY HOURS…")?);
    let histories: Vec<i64> = args.map(|hours| hours.parse()).collect::<Result<_, _>>()?;
    println!("{} on {}", binary.display(), machine().await?);
    if histories.is_empty() {
        day(&binary).await?;
    }
    for hours in histories {
        hour_after(&binary, hours).await?;
    }
    Ok(())
}

async fn day(binary: &Path) -> anyhow::Result<()> {
    let mut world = World::new(binary).await?;
    let mut bronze = Bronze::new(&world.lake, DAY_HOURS).await?;
    let rows = bronze.hours(0..DAY_HOURS).await?;
    world.accounts(&bronze.subscribers()).await?;
    let objects = bronze.objects;
    let (day, seconds) = world.load().await?;
    ensure!(day.streams.iter().map(|stream| stream.stored).sum::<u64>() == rows, "rows are missing: {day:?}");
    println!("a day: {rows} rows of {objects} objects loaded and modelled in {seconds:.1} s");
    for model in day.models.iter().filter(|model| model.duration_ms >= 500) {
        println!("    {:<40} {:>9} rows {:>6} ms", model.name, model.rows, model.duration_ms);
    }
    let (_, seconds) = world.load().await?;
    println!("nothing new: {seconds:.2} s");
    println!("peak memory: {} MB", world.function.peak_memory_bytes()? / 1_000_000);
    Ok(())
}

async fn hour_after(binary: &Path, history: i64) -> anyhow::Result<()> {
    let mut world = World::new(binary).await?;
    let mut bronze = Bronze::new(&world.lake, history + 1).await?;
    let before = bronze.hours(0..history).await?;
    world.accounts(&bronze.subscribers()).await?;
    world.load().await?;
    let rows = bronze.hours(history..history + 1).await?;
    let (report, seconds) = world.load().await?;
    let models: u64 = report.models.iter().map(|model| model.duration_ms).sum();
    println!(
        "one hour more ({rows} rows) after {history} hours ({before} rows): {seconds:.2} s; the models' times add up to {models} ms"
    );
    for model in report.models.iter().filter(|model| model.duration_ms >= 200) {
        println!("    {:<40} {:>9} rows {:>6} ms", model.name, model.rows, model.duration_ms);
    }
    Ok(())
}

struct World {
    url: String,
    lake: Lake,
    function: Sandbox,
}

impl World {
    async fn new(binary: &Path) -> anyhow::Result<Self> {
        let store = test_support::object_store().await;
        let url = test_support::postgres_database().await;
        lake_loader::init(&url).await?;
        let vars = [
            ("LAKE_BUCKET", store.bucket.as_str()),
            ("AWS_ENDPOINT_URL_S3", &store.endpoint),
            ("AWS_REGION", &store.region),
            ("AWS_ACCESS_KEY_ID", &store.access_key_id),
            ("AWS_SECRET_ACCESS_KEY", store.secret_access_key.expose()),
            ("DATABASE_URL", &url),
        ];
        let config = Config::from_vars(&Vars::from_iter(vars))?;
        let function = Sandbox::start(binary, vars).await?;
        let world = Self { lake: Lake::connect(&config.lake), function, url: url.clone() };
        world.execute(include_str!("../../cdc-handler/src/schema.sql")).await?;
        Ok(world)
    }

    async fn execute(&self, sql: &str) -> anyhow::Result<()> {
        let (client, connection) = tokio_postgres::connect(&self.url, NoTls).await?;
        let connection = tokio::spawn(connection);
        client.batch_execute(sql).await?;
        drop(client);
        Ok(connection.await??)
    }

    /// An account for each subscriber, as the CRM has them.
    async fn accounts(&self, subscribers: &BTreeSet<String>) -> anyhow::Result<()> {
        let numbers = subscribers.iter().map(String::as_str).collect::<Vec<_>>().join(",");
        self.execute(&format!(
            "INSERT INTO crm_data.accounts (account_id, owner_name, email, phone_number, modified_ts, valid_from, source_lsn)
            SELECT n, 'Customer ' || n, 'customer' || n || '@example.com', number, '2024-01-01', '2024-01-01', 1
            FROM unnest(string_to_array('{numbers}', ',')) WITH ORDINALITY AS a (number, n)"
        ))
        .await
    }

    async fn load(&mut self) -> anyhow::Result<(Report, f64)> {
        let began = Instant::now();
        let answer = self.function.invoke(SCHEDULE, TIMEOUT).await?;
        Ok((serde_json::from_slice(&answer)?, began.elapsed().as_secs_f64()))
    }
}

async fn machine() -> anyhow::Result<String> {
    let (client, connection) = tokio_postgres::connect(&test_support::postgres_database().await, NoTls).await?;
    let connection = tokio::spawn(connection);
    let postgres: String = client.query_one("SHOW server_version", &[]).await?.get(0);
    drop(client);
    connection.await??;
    Ok(format!("{}; PostgreSQL {postgres} and the object store on the same machine", test_support::machine()?))
}

/// Call records of the generator, as file-to-topic publishes them and lake-writer puts them: an object a minute and
/// partition.
struct Bronze {
    lake: Lake,
    /// By hour.
    files: BTreeMap<i64, Vec<(String, Bytes)>>,
    lanes: Vec<LaneLog>,
    subscribers: BTreeSet<String>,
    objects: usize,
}

struct LaneLog {
    lane: Lane,
    next: i64,
    records: Vec<Record>,
}

impl Bronze {
    /// With the files of so many hours, of which none lies in bronze yet.
    async fn new(lake: &Lake, hours: i64) -> anyhow::Result<Self> {
        let lane = |stream: LoadedTopic, partition: u64| LaneLog {
            lane: Lane { epoch: 1, topic: stream.topic().default_name().to_owned(), partition: partition as i32 },
            next: 0,
            records: Vec::new(),
        };
        let lanes = [LoadedTopic::CdrData, LoadedTopic::CdrVoice]
            .into_iter()
            .flat_map(|stream| (0..PARTITIONS).map(move |partition| lane(stream, partition)))
            .collect();
        Ok(Self { lake: lake.clone(), files: files(hours).await?, lanes, subscribers: BTreeSet::new(), objects: 0 })
    }

    /// Puts these hours. Returns how many rows they have.
    async fn hours(&mut self, hours: std::ops::Range<i64>) -> anyhow::Result<u64> {
        let mut rows = 0;
        for hour in hours {
            for (name, content) in self.files.remove(&hour).unwrap_or_default() {
                rows += self.file(hour, &name, &content)?;
            }
            self.put().await?;
        }
        Ok(rows)
    }

    fn subscribers(&self) -> BTreeSet<String> {
        self.subscribers.clone()
    }

    fn file(&mut self, hour: i64, name: &str, content: &[u8]) -> anyhow::Result<u64> {
        let name = FileName::parse(name)?;
        let of_type = match name.record_type() {
            RecordType::Data => 0,
            RecordType::Voice => PARTITIONS,
        };
        let mut lines = content.split(|&byte| byte == b'\n').filter(|line| !telecom::csv::is_blank(line));
        let header = lines.next().context("a file has a header")?;
        let header = Header::parse(header, name.record_type()).map_err(|fault| anyhow::anyhow!("{fault:?}"))?;
        let source = SourceId(hash(content).to_be_bytes());
        let provenance = Provenance::new(name, source, SystemTime::UNIX_EPOCH);
        let mut scratch = Scratch::default();
        let mut rows = 0;
        for (line, number) in lines.zip(1..) {
            let row = header.parse_row(line, &Zone::default(), &mut scratch);
            let row = row.map_err(|fault| anyhow::anyhow!("{fault:?}"))?;
            let mut value = Vec::new();
            row.write_json(&mut value, &provenance, number);
            let key = row.msisdn().digits().to_string();
            let lane = &mut self.lanes[(of_type + hash(&key) % PARTITIONS) as usize];
            // As if the hour's records came evenly: three lanes of a type share them.
            let in_hour =
                lane.records.len() as i64 * HOUR_MS * PARTITIONS as i64 / (3_600 * i64::from(LINES_PER_SECOND));
            lane.records.push(Record {
                offset: lane.next,
                timestamp_ms: START_MS + hour * HOUR_MS + in_hour.min(HOUR_MS - 1),
                key: Some(key.clone().into_bytes()),
                value: Some(value),
                headers: Vec::new(),
            });
            lane.next += 1;
            self.subscribers.insert(key);
            rows += 1;
        }
        Ok(rows)
    }

    async fn put(&mut self) -> anyhow::Result<()> {
        let mut batches = Vec::new();
        for lane in &mut self.lanes {
            let records = std::mem::take(&mut lane.records);
            let windows = records.chunk_by(|a, b| a.timestamp_ms / WINDOW_MS == b.timestamp_ms / WINDOW_MS);
            batches.extend(windows.map(|window| (lane.lane.clone(), window.to_vec())));
        }
        self.objects += batches.len();
        let puts = batches.into_iter().map(|(lane, records)| {
            let lake = self.lake.clone();
            async move { bronze::write(&lake, &lane, &records, None).await }
        });
        stream::iter(puts).buffer_unordered(PUTS_IN_FLIGHT).try_for_each(async |_| Ok(())).await?;
        Ok(())
    }
}

/// So many hours' files, by hour.
async fn files(hours: i64) -> anyhow::Result<BTreeMap<i64, Vec<(String, Bytes)>>> {
    let folder = tempfile::tempdir()?;
    let options = Options {
        seconds: 3_600 * hours.unsigned_abs(),
        lines_per_second: LINES_PER_SECOND,
        subscribers: SUBSCRIBERS,
        start: START,
        index: folder.path().join("index"),
        manifest: folder.path().join("manifest"),
        ..Options::default()
    };
    let files = Files::default();
    let destination = Destination::files(files.clone());
    generator::run(&options, &destination, &generator::progress_bar()).await?;
    let mut files = std::mem::take(&mut *files.0.lock().map_err(|_| anyhow::anyhow!("a file's put has panicked"))?);
    files.sort_unstable();
    let mut by_hour: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for file in files {
        // cdr_data_YYYYMMDD_HHMMSS.csv: when its first record was made.
        let time = file.0.trim_end_matches(".csv").rsplitn(3, '_').take(2).collect::<Vec<_>>();
        let [time, date] = time[..] else { anyhow::bail!("{} is no name of a file of the generator", file.0) };
        let made = DateTime::strptime("%Y%m%d %H%M%S", format!("{date} {time}"))?;
        let hour = made.duration_since(START).as_hours();
        by_hour.entry(hour.min(hours - 1)).or_default().push(file);
    }
    Ok(by_hour)
}

#[derive(Clone, Default)]
struct Files(Arc<Mutex<Vec<(String, Bytes)>>>);

impl FileSink for Files {
    fn place(&self) -> String {
        "memory".to_owned()
    }

    fn put<'a>(&'a self, name: &'a str, content: Bytes) -> Put<'a> {
        Box::pin(async move {
            self.0
                .lock()
                .map_err(|_| anyhow::anyhow!("another file's put has panicked"))?
                .push((name.to_owned(), content));
            Ok(())
        })
    }
}

fn hash(of: impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    of.hash(&mut hasher);
    hasher.finish()
}
