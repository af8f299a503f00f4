//! The project's `cases/lake`: what lies there is loaded step by step, as one hour after the other would.

use std::path::Path;

use lake_loader::Status;
use lake_loader::table::LoadedTopic;
use serde::Deserialize;
use serde_json::Value;
use stream::Record;
use tokio_postgres::{Client, NoTls};

use crate::world::{HOUR_MS, World};

/// A line of a case's file.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    topic: String,
    partition: i32,
    offset: i64,
    /// How old the record says that it is; what is negative lies ahead.
    age_hours: f64,
    key: String,
    value: Value,
}

fn read(case: &str, step: &str) -> Vec<Line> {
    let path = format!("{}/../../cases/lake/{case}/{step}.jsonl", env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(Path::new(&path)).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// Puts each partition's records into bronze, once as it is written today and once as version 0.1 did, by the hour.
async fn put(world: &World, case: &str, step: &str, is_by_hour: bool) {
    let now_ms = i64::try_from(std::time::UNIX_EPOCH.elapsed().unwrap().as_millis()).unwrap();
    for line in read(case, step) {
        #[expect(clippy::cast_possible_truncation, reason = "hours, a few")]
        let age_ms = (line.age_hours * HOUR_MS as f64) as i64;
        let record = Record {
            offset: line.offset,
            timestamp_ms: now_ms - age_ms,
            key: Some(line.key.into_bytes()),
            value: Some(serde_json::to_vec(&line.value).unwrap()),
            headers: Vec::new(),
        };
        let stream = LoadedTopic::ALL.into_iter().find(|stream| stream.topic().default_name() == line.topic).unwrap();
        if is_by_hour {
            world.put_by_hour(stream, line.partition, &[record]).await;
        } else {
            world.put(stream, line.partition, &[record]).await;
        }
    }
}

async fn load(world: &World, case: &str, step: &str, is_by_hour: bool) {
    put(world, case, step, is_by_hour).await;
    assert_eq!(world.load().await.status, Status::Succeeded, "{case} {step}");
}

async fn connect(world: &World) -> Client {
    let (client, connection) = tokio_postgres::connect(&world.vars["DATABASE_URL"], NoTls).await.unwrap();
    tokio::spawn(connection);
    client
}

#[tokio::test]
async fn no_clock_and_no_partition_hides_a_record() {
    for is_by_hour in [false, true] {
        for (case, query, right) in [
            ("late-partition", "SELECT message_id FROM raw.messages ORDER BY 1", "(m-1) (m-2)"),
            ("clock-ahead", "SELECT count(*) FROM cdr_data.data", "(4)"),
        ] {
            let world = World::new().await;
            load(&world, case, "1-first", is_by_hour).await;
            load(&world, case, "2-then", is_by_hour).await;
            assert_eq!(world.texts(query).await.join(" "), right, "{case}");
        }
    }
}

#[tokio::test]
async fn what_others_made_stays() {
    let world = World::new().await;
    load(&world, "grants-dropped", "1-first", false).await;
    let reader = test_support::topic("reader").replace('-', "_");
    let made = format!(
        "CREATE ROLE {reader}; GRANT USAGE ON SCHEMA analytics TO {reader};
         GRANT SELECT ON ALL TABLES IN SCHEMA analytics TO {reader};
         CREATE SCHEMA theirs; CREATE VIEW theirs.rooms AS SELECT * FROM analytics.response_times"
    );
    world.client.batch_execute(&made).await.unwrap();
    load(&world, "grants-dropped", "2-then", false).await;
    world.client.batch_execute(&format!("SET ROLE {reader}; SELECT * FROM analytics.response_times")).await.unwrap();
    world.client.batch_execute("RESET ROLE; SELECT * FROM theirs.rooms").await.unwrap();
    let dropped = format!("DROP OWNED BY {reader}; DROP ROLE {reader}");
    world.client.batch_execute(&dropped).await.unwrap();
}

#[tokio::test]
async fn an_idle_reader_stops_nobody() {
    let world = World::new().await;
    load(&world, "idle-reader", "1-first", false).await;
    let (idle, other) = (connect(&world).await, connect(&world).await);
    let read = "SELECT * FROM prepared_layers.crm_customers";
    idle.batch_execute(&format!("BEGIN; {read}")).await.unwrap();
    load(&world, "idle-reader", "2-then", false).await;
    other.batch_execute(read).await.unwrap();
    assert_eq!(world.texts("SELECT count(*) FROM cdr_data.data").await.join(" "), "(4)");
    idle.batch_execute(&format!("{read}; COMMIT")).await.unwrap();
}

#[tokio::test]
async fn a_response_in_new_york_takes_two_minutes() {
    for step in ["autumn", "spring"] {
        let world = World::with(&[("OPERATOR_TIMEZONE", "America/New_York")]).await;
        load(&world, "response-time-new-york", step, false).await;
        let took = "SELECT response_seconds FROM analytics.response_times";
        assert_eq!(world.texts(took).await.join(" "), "(120)", "{step}");
    }
}
