//! `trunkline load --now` on a real Kafka cluster: everything that can be read is loaded, whatever clocks and transactions do;
//! what is not is named.

use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions, AlterConfig, ResourceSpecifier};
use rdkafka::client::DefaultClientContext;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};

use crate::world::World;

const HOUR_MS: i64 = 3_600_000;
/// 2099-01-01.
const FAR_AHEAD_MS: i64 = 4_070_908_800_000;
const WITHIN: Duration = Duration::from_secs(60);

const SESSION: &str = r#"{"msisdn":"27820000001","tower_id":7,"up_bytes":1,"down_bytes":2,"data_type":"video","event_datetime":"2024-03-01 10:00:00"}"#;
const CALL: &str = r#"{"msisdn":"27820000001","tower_id":7,"call_type":"voice","call_duration_sec":60,"start_time":"2024-03-01 10:00:00"}"#;
const MESSAGE: &str = r#"{"message_id":"m-1","room_id":"r-1","room_created_at":"2024-03-01T08:00:00Z","channel":"whatsapp","customer_id":"c-1","sender_type":"customer","message_text":"hello","message_date":"2024-03-01T08:00:00Z"}"#;

/// What producers do, and what comes of it.
impl World {
    fn client(&self) -> ClientConfig {
        let mut client = ClientConfig::new();
        client.set("bootstrap.servers", &self.kafka.bootstrap_servers);
        client
    }

    /// Lets producers' clocks say what they like, as Kafka before 4.0 does.
    async fn take_any_time(&self, topics: &[&str]) {
        let admin: AdminClient<DefaultClientContext> = self.client().create().expect("a client");
        let far = i64::MAX.to_string();
        let config =
            |topic| AlterConfig::new(ResourceSpecifier::Topic(topic)).set("message.timestamp.after.max.ms", &far);
        let configs: Vec<_> = topics.iter().copied().map(config).collect();
        for altered in admin.alter_configs(&configs, &AdminOptions::new()).await.expect("an answer") {
            altered.expect("a changed topic");
        }
    }

    fn produce(&self, topic: &str, partition: i32, timestamp_ms: i64, value: &str) {
        let producer: BaseProducer = self.client().create().expect("a producer");
        let record = BaseRecord::<str, str>::to(topic).partition(partition).timestamp(timestamp_ms).payload(value);
        producer.send(record).expect("room");
        producer.flush(WITHIN).expect("delivered");
    }

    /// A transaction with a record in each partition.
    fn transaction(&self, topic: &str, value: &str, is_committed: bool) {
        let id = test_support::topic("transaction");
        let producer: BaseProducer = self.client().set("transactional.id", id).create().expect("a producer");
        producer.init_transactions(WITHIN).expect("a coordinator");
        producer.begin_transaction().expect("a beginning");
        for partition in 0..3 {
            producer.send(BaseRecord::<str, str>::to(topic).partition(partition).payload(value)).expect("room");
        }
        producer.flush(WITHIN).expect("delivered");
        if is_committed {
            producer.commit_transaction(WITHIN).expect("committed");
        } else {
            producer.abort_transaction(WITHIN).expect("aborted");
        }
    }

    async fn rows(&self) -> String {
        let names = postgres_pool::Names { variable: "DATABASE_URL", service: "the warehouse" };
        let pool = postgres_pool::Pool::new(&self.database, names).expect("an address");
        let sql = "SELECT concat_ws(' ', (SELECT count(*) FROM cdr_data.data), (SELECT count(*) FROM cdr_data.voice),
            (SELECT count(*) FROM raw.messages), (SELECT sum(events) FROM prepared_layers.daily_usage),
            (SELECT sum(gap_offsets) FROM ops.chunks))";
        pool.query(sql, &[]).await.expect("rows")[0].get(0)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn everything_that_can_be_read_is_loaded_or_named() {
    let world = World::start(&[]).await;
    world.take_any_time(&["cdr-data", "cdr-voice", "chat-messages"]).await;
    let (up, _) = world.up();
    let now_ms = i64::try_from(std::time::UNIX_EPOCH.elapsed().expect("a clock").as_millis()).expect("a time");

    // Records from 2099 and two years ago, then others of now; a lane that is 48 hours behind.
    world.produce("cdr-data", 0, FAR_AHEAD_MS, SESSION);
    for _ in 0..60 {
        world.produce("cdr-data", 0, now_ms, SESSION);
    }
    for _ in 0..3 {
        world.produce("cdr-voice", 2, now_ms - 2 * 365 * 24 * HOUR_MS, CALL);
    }
    world.produce("chat-messages", 1, now_ms - 48 * HOUR_MS, MESSAGE);
    // Marks between records, and aborted ones at the end.
    world.transaction("cdr-voice", CALL, true);
    world.transaction("cdr-voice", CALL, false);
    world.transaction("cdr-data", SESSION, false);
    let printed = world.trunkline(&["load", "--now"]).succeeds();
    assert!(!printed.contains("NOT LOADED"), "{printed}");
    assert_eq!(world.rows().await, "61 6 1 67 0");

    // A mark has a record behind it, and is an offset without one; loaded in another run, nothing is missing either.
    world.transaction("cdr-voice", CALL, true);
    world.trunkline(&["load", "--now"]).succeeds();
    assert_eq!(world.rows().await, "61 9 1 70 9");

    // Nobody takes it into the lake any more.
    drop(up);
    world.produce("cdr-voice", 1, now_ms, CALL);
    let mut load = world.trunkline(&["load", "--now"]);
    assert!(!load.ends().success(), "{}", load.printed());
    let named = "NOT LOADED: topic cdr-voice, partition 1: loaded up to offset 5, and its records end at 7";
    assert!(load.printed().contains(named), "{}", load.printed());
    assert_eq!(world.rows().await, "61 9 1 70 9");
}
