use std::fmt;

use lambda_boot::{InlineOrFile, VarError, Vars};
use serde::Deserialize;
use stream::{Epoch, Topics};
use telecom::{Tariff, Zone};

/// The function's configuration.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where bronze is, and silver goes.
    pub lake: lake::Config,
    /// The warehouse.
    pub database: DatabaseConfig,
    /// What is loaded, and how.
    pub settings: Settings,
    /// The topics' names.
    pub topics: Topics,
    /// The stream epoch that is loaded.
    pub epoch: Epoch,
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

/// Some seconds' work, so that a run that ends early has lost no more; and few enough transactions for a month.
fn chunk_records() -> u64 {
    200_000
}

impl Config {
    /// Reads the function's variables.
    ///
    /// # Errors
    /// Naming the variable that is missing or malformed.
    pub fn from_vars(vars: &Vars) -> Result<Self, VarError> {
        Ok(Self {
            lake: vars.read()?,
            database: vars.read()?,
            settings: vars.read()?,
            topics: vars.read()?,
            epoch: vars.read()?,
        })
    }
}

/// The address has a password in it.
impl fmt::Debug for DatabaseConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("DatabaseConfig")
    }
}
