use http_api::auth::Authenticator;
use minijinja::Environment;
use postgres_pool::{Names, Pool};
use telecom::Tariff;

use crate::config::Config;
use crate::markup;

/// What the warehouse is called where it fails.
const NAMES: Names = Names { variable: "DATABASE_URL", service: "the warehouse" };

/// What a request needs.
pub struct Deps {
    pub(crate) warehouse: Pool,
    /// The cluster whose lag is shown.
    pub(crate) kafka: Option<kafka_sink::Config>,
    pub(crate) templates: Environment<'static>,
    pub(crate) tariff: Tariff,
    pub(crate) users: Authenticator,
}

impl Deps {
    /// The warehouse is connected to when it is first asked. Users in a secret are read when the first request comes.
    ///
    /// # Errors
    /// When the warehouse's address or a template is malformed.
    pub fn connect(config: &Config) -> anyhow::Result<Self> {
        Ok(Self {
            warehouse: Pool::new(&config.database_url, NAMES)?,
            kafka: config.kafka.clone(),
            templates: markup::templates()?,
            tariff: config.tariff.clone(),
            users: Authenticator::new(config.users.clone()),
        })
    }
}
