use std::fmt;

use lambda_boot::{InlineOrFile, VarError, Vars};
use serde::Deserialize;
use telecom::{Tariff, Zone};

use crate::table::Stream;

/// The function's configuration.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where bronze is, and silver goes.
    pub lake: lake::Config,
    /// The warehouse.
    pub database: DatabaseConfig,
    /// What is loaded, and how.
    pub settings: Settings,
    /// The streams' topics.
    pub topics: [(Stream, String); Stream::ALL.len()],
}

/// The warehouse's address.
#[derive(Clone, Deserialize)]
pub struct DatabaseConfig {
    /// `postgres://user:password@host/database`
    #[serde(rename = "DATABASE_URL")]
    pub url: String,
}

/// The function's own variables.
#[derive(Clone, Debug, Deserialize)]
pub struct Settings {
    /// The stream epoch.
    #[serde(rename = "STREAM_EPOCH", default = "first_epoch")]
    pub epoch: u32,
    /// The operator's zone.
    #[serde(rename = "OPERATOR_TIMEZONE", default)]
    pub zone: Zone,
    /// The prices.
    #[serde(rename = "TARIFF", default)]
    pub tariff: InlineOrFile<Tariff>,
    /// The most records of a chunk: what is loaded in one transaction.
    #[serde(rename = "LOAD_CHUNK_RECORDS", default = "chunk_records")]
    pub chunk_records: u64,
}

fn first_epoch() -> u32 {
    1
}

/// Some seconds' work, so that a run that ends early has lost no more; and few enough transactions for a month.
fn chunk_records() -> u64 {
    200_000
}

/// The topics that are loaded, as the variables name them.
pub fn topics(vars: &Vars) -> [(Stream, String); Stream::ALL.len()] {
    Stream::ALL.map(|stream| {
        let topic = vars.get(stream.topic_variable()).unwrap_or(stream.default_topic());
        (stream, topic.to_owned())
    })
}

impl Config {
    /// Reads the function's variables.
    ///
    /// # Errors
    /// Naming the variable that is missing or malformed.
    pub fn from_vars(vars: &Vars) -> Result<Self, VarError> {
        let topics = topics(vars);
        Ok(Self { lake: vars.read()?, database: vars.read()?, settings: vars.read()?, topics })
    }
}

/// The address has a password in it.
impl fmt::Debug for DatabaseConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("DatabaseConfig")
    }
}
