//! Moments at random, from PostgreSQL's first to its last, in every way in which Debezium writes them: PostgreSQL itself says
//! what they are.

use kafka_batch::PartitionBatch;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde_json::{Value, json};
use stream::Record;

use crate::scene::Scene;

const SEED: u64 = 1;
const MOMENTS: usize = 3_000;

/// Microseconds from 2000 on, which PostgreSQL counts by itself.
const FIRST: i64 = -211_813_488_000_000_000;
const LAST: i64 = 9_223_371_331_199_999_999;
/// What lies between 1970 and 2000.
const TO_2000: i128 = 946_684_800_000_000;

/// At all sizes, around what is special.
fn moment(random: &mut ChaCha8Rng) -> i64 {
    let middle = [FIRST, LAST, 0, -946_684_800_000_000, 252_455_529_600_000_000, -63_082_281_600_000_000];
    let moment = match random.random_range(0..3) {
        0 => random.random_range(FIRST..=LAST),
        1 => random.random_range(-10_000_000_000_000_000..10_000_000_000_000_000),
        _ => middle[random.random_range(0..middle.len())]
            .saturating_add(random.random_range(-100_000..100_000) * random.random_range(1..1_000_000)),
    };
    // Mostly with all digits, at times with fewer.
    let digits = [1, 1, 1_000, 1_000_000, 86_400_000_000][random.random_range(0..5)];
    (moment.clamp(FIRST, LAST) / digits * digits).max(FIRST)
}

/// The moment as PostgreSQL and, by Java's rules, Debezium write it; `u` is microseconds from 2000 on.
const WRITTEN: &str = "
SELECT moment::text,
    to_char(year, CASE WHEN year > 9999 THEN 'SG000000' WHEN year < 0 THEN 'SG0000' ELSE 'FM0000' END)
        || to_char(moment AT TIME ZONE 'UTC', '-MM-DD\"T\"HH24:MI:SS.US\"Z\"'),
    to_json(moment)#>>'{}'
FROM unnest($1::bigint[]) WITH ORDINALITY AS given (u, n),
    LATERAL (SELECT timestamptz '2000-01-01 00:00+00' + make_interval(days => (u / 86400000000)::int)
        + u % 86400000000 * interval '1 microsecond' AS moment) AS at,
    LATERAL (SELECT extract(year FROM moment AT TIME ZONE 'UTC')::bigint AS signed) AS years,
    LATERAL (SELECT CASE WHEN signed < 0 THEN signed + 1 ELSE signed END AS year) AS java
ORDER BY n";

/// In which ways a moment can be written, with its schema.
fn ways(u: i64, java: &str, postgresql: &str) -> Vec<(Value, Value)> {
    let micros = i128::from(u) + TO_2000;
    let named = |name: &str| json!({"type": if name.contains("Iso") || name.contains("Zoned") { "string" } else { "int64" }, "name": name});
    let mut ways = vec![
        (named("io.debezium.time.ZonedTimestamp"), json!(java)),
        (named("io.debezium.time.IsoTimestamp"), json!(java)),
        (json!({"type": "string"}), json!(postgresql)),
        (Value::Null, json!(postgresql)),
    ];
    if let Ok(micros) = i64::try_from(micros) {
        ways.push((named("io.debezium.time.MicroTimestamp"), json!(micros)));
    }
    if let Ok(nanos) = i64::try_from(micros * 1_000) {
        ways.push((named("io.debezium.time.NanoTimestamp"), json!(nanos)));
    }
    if micros % 1_000 == 0 {
        let millis = i64::try_from(micros / 1_000).unwrap();
        ways.push((named("io.debezium.time.Timestamp"), json!(millis)));
        ways.push((named("org.apache.kafka.connect.data.Timestamp"), json!(millis)));
    }
    if micros % 86_400_000_000 == 0 {
        let days = i64::try_from(micros / 86_400_000_000).unwrap();
        ways.push((named("io.debezium.time.Date"), json!(days)));
        ways.push((named("io.debezium.time.IsoDate"), json!(format!("{}Z", &java[..java.find('T').unwrap()]))));
    }
    ways
}

fn record(key: i64, schema: &Value, value: &Value) -> Record {
    let after =
        json!({"account_id": key, "owner_name": null, "email": null, "phone_number": null, "modified_ts": value});
    let payload = json!({"op": "u", "source": {"table": "accounts", "lsn": key + 1, "ts_ms": 0}, "after": after});
    let message = if schema.is_null() {
        payload
    } else {
        let mut field = schema.clone();
        field["field"] = json!("modified_ts");
        let rows = json!({"type": "struct", "field": "after", "fields": [field]});
        json!({"schema": {"type": "struct", "fields": [rows]}, "payload": payload})
    };
    let bytes = |json: &Value| Some(json.to_string().into_bytes());
    let key_bytes = bytes(&json!({"account_id": key}));
    Record { offset: key, timestamp_ms: 0, key: key_bytes, value: bytes(&message), headers: Vec::new() }
}

#[tokio::test]
async fn a_moment_is_what_postgresql_says_in_whatever_way_it_is_written() {
    let scene = Scene::new().await;
    // Other settings than usual: nothing depends on them.
    let name: String = scene.database.query_one("SELECT current_database()", &[]).await.unwrap().get(0);
    let settings = format!(
        "ALTER DATABASE {name} SET datestyle = 'SQL, DMY'; ALTER DATABASE {name} SET timezone = 'Asia/Kathmandu'"
    );
    scene.database.batch_execute(&settings).await.unwrap();
    scene.database.batch_execute("SET datestyle = 'ISO'; SET timezone = 'UTC'").await.unwrap();

    let mut random = ChaCha8Rng::seed_from_u64(SEED);
    let moments: Vec<_> = (0..MOMENTS).map(|_| moment(&mut random)).collect();
    let written = scene.database.query(WRITTEN, &[&moments]).await.unwrap();
    let mut expected = Vec::new();
    let mut records = Vec::new();
    for (u, row) in moments.iter().zip(&written) {
        let (is, java, postgresql): (String, String, String) = (row.get(0), row.get(1), row.get(2));
        for (schema, value) in ways(*u, &java, &postgresql) {
            let key = records.len() as i64;
            expected.push((is.clone(), format!("{schema} {value}")));
            records.push(record(key, &schema, &value));
        }
    }
    for records in records.chunks(5_000) {
        let batch =
            PartitionBatch { topic: "crm.crm_system.accounts".to_owned(), partition: 0, records: records.to_vec() };
        // Twice: the second time what was read from the table is compared with what comes.
        for is_first in [true, false] {
            let outcome = scene.handle(vec![batch.clone()]).await;
            assert_eq!((outcome.rejected, outcome.versions > 0), (0, is_first), "seed {SEED}");
        }
    }
    let here = scene.texts("SELECT modified_ts::text FROM crm_data.accounts ORDER BY account_id").await;
    assert_eq!(here.len(), expected.len());
    for (here, (is, way)) in here.iter().zip(&expected) {
        assert_eq!(here, is, "seed {SEED}: {way}");
    }
    assert!(expected.iter().filter(|(is, _)| is.ends_with("BC")).count() > 1_000);
}
