use embedded::{Broker, Data};
use lake::Lake;
use lambda_boot::Vars;
use stream::Topic;
use usage_store::Store;

/// As `trunkline init` makes them.
pub(crate) const PARTITIONS: i32 = 3;

/// Which Kafka a function works with.
#[derive(Clone, Copy)]
pub(crate) enum Kafka {
    /// The embedded broker, one for each world: it keeps its records in memory, and ends with the world.
    Embedded,
    /// Three real brokers, which acknowledge when two have a record. They are this process's: for one world only.
    Cluster,
}

/// Where usage is counted.
#[derive(Clone, Copy)]
pub(crate) enum Counters {
    Postgres,
    Cassandra,
}

impl Counters {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Postgres => "PostgreSQL",
            Self::Cassandra => "Cassandra",
        }
    }
}

/// Services with nothing in them yet, and the variables that lead there.
pub(crate) struct World {
    pub(crate) brokers: String,
    pub(crate) lake: Lake,
    pub(crate) store: Store,
    /// An empty database.
    pub(crate) database: String,
    pub(crate) vars: Vec<(&'static str, String)>,
    _broker: Option<Broker>,
}

impl World {
    pub(crate) async fn new(kafka: Kafka, counters: Counters) -> anyhow::Result<Self> {
        let broker = match kafka {
            Kafka::Embedded => Some(Broker::start(Data::Temporary).await?),
            Kafka::Cluster => None,
        };
        let brokers = match &broker {
            Some(broker) => broker.bootstrap_servers.clone(),
            None => test_support::kafka().await.bootstrap_servers.clone(),
        };
        let usage_store = match counters {
            Counters::Postgres => test_support::postgres_database().await,
            Counters::Cassandra => {
                let keyspace = test_support::topic("usage").replace('-', "_");
                format!("scylla://{}/{keyspace}", test_support::cassandra().await.address)
            }
        };
        let database = test_support::postgres_database().await;
        let bucket = test_support::object_store().await;
        let vars = vec![
            ("KAFKA_BROKERS", brokers.clone()),
            ("LAKE_BUCKET", bucket.bucket),
            ("AWS_ENDPOINT_URL_S3", bucket.endpoint),
            ("AWS_REGION", bucket.region),
            ("AWS_ACCESS_KEY_ID", bucket.access_key_id),
            ("AWS_SECRET_ACCESS_KEY", bucket.secret_access_key.expose().to_owned()),
            ("USAGE_STORE", usage_store.clone()),
            ("DATABASE_URL", database.clone()),
            ("RUST_LOG", "warn".to_owned()),
        ];
        let config: Vars = vars.iter().cloned().collect();
        let topics = Topic::ALL.map(|topic| (topic.default_name(), PARTITIONS));
        kafka_sink::admin::create_topics(&config.read()?, &topics).await?;
        let store = Store::connect(&usage_store)?;
        store.init().await?;
        for topic in ["cdr-data", "cdr-voice"] {
            store.add_lanes(1, topic, PARTITIONS).await?;
        }
        Ok(Self { brokers, lake: Lake::connect(&config.read()?), store, database, vars, _broker: broker })
    }
}
