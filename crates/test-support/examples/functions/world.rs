use embedded::{Broker, Data};
use lake::Lake;
use lambda_boot::Vars;
use usage_store::Store;

/// As `trunkline init` makes them.
pub(crate) const PARTITIONS: i32 = 3;

const TOPICS: [&str; 4] = ["landed-files", "cdr-data", "cdr-voice", "rejected"];

/// Services with nothing in them yet, and the variables that lead there. The broker ends with it, for the memory's sake.
pub(crate) struct World {
    pub(crate) broker: Broker,
    pub(crate) lake: Lake,
    pub(crate) store: Store,
    pub(crate) vars: Vec<(&'static str, String)>,
}

impl World {
    pub(crate) async fn new() -> anyhow::Result<Self> {
        let broker = Broker::start(Data::Temporary).await?;
        let bucket = test_support::object_store().await;
        let database = test_support::postgres_database().await;
        let vars = vec![
            ("KAFKA_BROKERS", broker.bootstrap_servers.clone()),
            ("LAKE_BUCKET", bucket.bucket),
            ("AWS_ENDPOINT_URL_S3", bucket.endpoint),
            ("AWS_REGION", bucket.region),
            ("AWS_ACCESS_KEY_ID", bucket.access_key_id),
            ("AWS_SECRET_ACCESS_KEY", bucket.secret_access_key.expose().to_owned()),
            ("USAGE_STORE", database.clone()),
            ("RUST_LOG", "warn".to_owned()),
        ];
        let config: Vars = vars.iter().cloned().collect();
        kafka_sink::admin::create_topics(&config.read()?, &TOPICS.map(|topic| (topic, PARTITIONS))).await?;
        let store = Store::connect(&database)?;
        store.init().await?;
        for topic in ["cdr-data", "cdr-voice"] {
            store.add_lanes(1, topic, PARTITIONS).await?;
        }
        Ok(Self { broker, lake: Lake::connect(&config.read()?), store, vars })
    }
}
