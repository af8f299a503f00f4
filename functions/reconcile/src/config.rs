use std::fmt;

use lambda_boot::{VarError, Vars};
use serde::Deserialize;
use stream::{Epoch, Topics};

/// The function's configuration.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where the topics are.
    pub kafka: kafka_sink::Config,
    /// Where it is known what is published.
    pub lake: lake::Config,
    /// Where usage is counted.
    pub store: StoreConfig,
    /// The topics' names.
    pub topics: Topics,
    /// The stream epoch that they are counted in.
    pub epoch: Epoch,
}

/// The usage store's address.
#[derive(Clone, Deserialize)]
pub struct StoreConfig {
    /// `scylla://user:password@host:9042/keyspace` or `postgres://user:password@host/database`.
    #[serde(rename = "USAGE_STORE")]
    pub url: String,
}

impl Config {
    /// Reads the function's variables.
    ///
    /// # Errors
    /// Naming the variable that is missing or malformed.
    pub fn from_vars(vars: &Vars) -> Result<Self, VarError> {
        Ok(Self {
            kafka: vars.read()?,
            lake: vars.read()?,
            store: vars.read()?,
            topics: vars.read()?,
            epoch: vars.read()?,
        })
    }
}

/// The address has a password in it.
impl fmt::Debug for StoreConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("StoreConfig")
    }
}
