use std::fmt;

use lambda_boot::{VarError, Vars};
use serde::Deserialize;

/// The function's configuration.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where the topics are.
    pub kafka: kafka_sink::Config,
    /// Where it is known what is published.
    pub lake: lake::Config,
    /// Where usage is counted.
    pub store: StoreConfig,
    /// Which topics are counted.
    pub stream: Stream,
}

/// The usage store's address.
#[derive(Clone, Deserialize)]
pub struct StoreConfig {
    /// `scylla://user:password@host:9042/keyspace` or `postgres://user:password@host/database`.
    #[serde(rename = "USAGE_STORE")]
    pub url: String,
}

/// What is counted.
#[derive(Clone, Debug, Deserialize)]
pub struct Stream {
    /// The stream epoch.
    #[serde(rename = "STREAM_EPOCH", default = "first_epoch")]
    pub epoch: u32,
    /// The topic of data records.
    #[serde(rename = "CDR_DATA_TOPIC", default = "cdr_data")]
    pub cdr_data: String,
    /// The topic of voice records.
    #[serde(rename = "CDR_VOICE_TOPIC", default = "cdr_voice")]
    pub cdr_voice: String,
}

fn first_epoch() -> u32 {
    1
}

fn cdr_data() -> String {
    "cdr-data".to_owned()
}

fn cdr_voice() -> String {
    "cdr-voice".to_owned()
}

impl Config {
    /// Reads the function's variables.
    ///
    /// # Errors
    /// Naming the variable that is missing or malformed.
    pub fn from_vars(vars: &Vars) -> Result<Self, VarError> {
        Ok(Self { kafka: vars.read()?, lake: vars.read()?, store: vars.read()?, stream: vars.read()? })
    }
}

/// The address has a password in it.
impl fmt::Debug for StoreConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("StoreConfig")
    }
}
