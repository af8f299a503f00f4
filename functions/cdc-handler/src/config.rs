use std::collections::BTreeSet;
use std::fmt;

use lambda_boot::{VarError, Vars};
use serde::Deserialize;

use crate::table::{Column, TABLES, Table};

/// The function's configuration.
#[derive(Clone, Debug)]
pub struct Config {
    /// The topic for unusable messages.
    pub kafka: kafka_sink::Config,
    /// Where the tables are.
    pub database: DatabaseConfig,
    /// Which topics are followed.
    pub topics: Topics,
    /// Which columns may be missing.
    pub optional: OptionalColumns,
}

/// Columns that the source may not have or not send: if a message lacks one, it is NULL.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct OptionalColumns {
    #[serde(rename = "CRM_OPTIONAL_COLUMNS", default)]
    names: Names,
}

/// `table.column`, joined by commas.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(try_from = "String")]
struct Names(BTreeSet<String>);

impl TryFrom<String> for Names {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let names = text.split(',').map(|name| name.trim().to_owned());
        let is_known = |name: &str| {
            let known = |table: &Table| table.columns.iter().any(|column| is_named(name, table, column));
            TABLES.iter().any(known)
        };
        names.map(|name| if is_known(&name) { Ok(name) } else { Err(unknown()) }).collect::<Result<_, _>>().map(Self)
    }
}

fn is_named(name: &str, table: &Table, column: &Column) -> bool {
    name.split_once('.') == Some((table.name, column.name))
}

fn unknown() -> String {
    let columns =
        TABLES.iter().flat_map(|table| table.columns.iter().map(|column| format!("{}.{}", table.name, column.name)));
    format!("a name is none of {}", columns.collect::<Vec<_>>().join(", "))
}

impl OptionalColumns {
    pub(crate) fn has(&self, table: &Table, column: &Column) -> bool {
        self.names.0.iter().any(|name| is_named(name, table, column))
    }
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
        Ok(Self { kafka: vars.read()?, database: vars.read()?, topics: vars.read()?, optional: vars.read()? })
    }
}

impl Topics {
    /// The topics, one a table.
    #[must_use]
    pub fn names(&self) -> Vec<String> {
        TABLES.iter().map(|table| format!("{}.{}", self.prefix, table.name)).collect()
    }

    /// The source's schema.
    pub(crate) fn schema(&self) -> &str {
        self.prefix.rsplit_once('.').map_or(&self.prefix, |(_, schema)| schema)
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
    fn columns_may_be_missing() {
        let read = |names: &str| {
            let vars = [("KAFKA_BROKERS", "a:1"), ("DATABASE_URL", "x"), ("CRM_OPTIONAL_COLUMNS", names)];
            Config::from_vars(&vars.into_iter().collect())
        };
        let optional = read("accounts.email, devices.device_os").unwrap().optional;
        let named = TABLES.iter().flat_map(|table| table.columns.iter().filter(|column| optional.has(table, column)));
        assert_eq!(named.map(|column| column.name).collect::<Vec<_>>(), ["email", "device_os"]);
        assert!(read("").unwrap().optional.names.0.is_empty());
        for wrong in ["email", "accounts.account_id", "accounts.email,", "orders.email"] {
            let error = read(wrong).unwrap_err().to_string();
            assert!(
                error.starts_with("CRM_OPTIONAL_COLUMNS is malformed: ") && error.contains("accounts.email"),
                "{error}"
            );
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
