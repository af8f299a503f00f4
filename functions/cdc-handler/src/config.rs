use std::fmt;

use lambda_boot::{VarError, Vars};
use serde::Deserialize;

use crate::table::{TABLES, Table};

/// The function's configuration.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where messages go that can't be used.
    pub kafka: kafka_sink::Config,
    /// Where the tables are.
    pub database: DatabaseConfig,
    /// Which topics are followed.
    pub topics: Topics,
}

/// The database's address.
#[derive(Clone, Deserialize)]
pub struct DatabaseConfig {
    /// `postgres://user:password@host/database`
    #[serde(rename = "DATABASE_URL")]
    pub url: String,
}

/// The topics of the CRM's tables.
#[derive(Clone, Debug, Deserialize)]
pub struct Topics {
    /// Debezium's `topic.prefix` and the source's schema: the table's name follows after a dot.
    #[serde(rename = "CRM_TOPIC_PREFIX", default = "prefix")]
    prefix: String,
}

fn prefix() -> String {
    "crm.crm_system".to_owned()
}

impl Config {
    /// Reads the function's variables.
    ///
    /// # Errors
    /// Naming the variable that is missing or malformed.
    pub fn from_vars(vars: &Vars) -> Result<Self, VarError> {
        Ok(Self { kafka: vars.read()?, database: vars.read()?, topics: vars.read()? })
    }
}

impl Topics {
    /// The topics, one a table.
    #[must_use]
    pub fn names(&self) -> Vec<String> {
        TABLES.iter().map(|table| format!("{}.{}", self.prefix, table.name)).collect()
    }

    /// The table of a topic, by its index.
    pub(crate) fn table(&self, topic: &str) -> Option<usize> {
        let name = topic.strip_prefix(self.prefix.as_str())?.strip_prefix('.')?;
        TABLES.iter().position(|table: &Table| table.name == name)
    }
}

/// The address has a password in it.
impl fmt::Debug for DatabaseConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("DatabaseConfig")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_topic_tells_the_table() {
        let vars = [("KAFKA_BROKERS", "a:1"), ("DATABASE_URL", "postgres://u:secret@h/d")];
        let config = Config::from_vars(&vars.into_iter().collect()).unwrap();
        assert!(!format!("{config:?}").contains("secret"));
        let topics = config.topics;
        assert_eq!(topics.names(), ["crm.crm_system.accounts", "crm.crm_system.addresses", "crm.crm_system.devices"]);
        assert_eq!(topics.table("crm.crm_system.devices"), Some(2));
        for topic in ["devices", "crm.crm_systemdevices", "crm.crm_system.orders", "crm.crm_system."] {
            assert_eq!(topics.table(topic), None);
        }
    }

    #[test]
    fn what_is_missing_is_named() {
        let missing =
            |vars: &[(&str, &str)]| Config::from_vars(&vars.iter().copied().collect()).unwrap_err().to_string();
        assert_eq!(missing(&[("KAFKA_BROKERS", "a:1")]), "DATABASE_URL is missing: set this environment variable");
        assert_eq!(missing(&[("DATABASE_URL", "x")]), "KAFKA_BROKERS is missing: set this environment variable");
    }
}
