use std::fmt;

use lambda_boot::{VarError, Vars};
use serde::Deserialize;
use stream::{Epoch, Topic, Topics};
use telecom::{RecordType, Zone};

/// The function's configuration.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where rejected records go.
    pub kafka: kafka_sink::Config,
    /// Where usage is counted.
    pub store: StoreConfig,
    /// The stream epoch that is counted.
    pub epoch: Epoch,
    /// The function's own variables.
    pub settings: Settings,
}

/// The usage store's address.
#[derive(Clone, Deserialize)]
pub struct StoreConfig {
    /// `scylla://user:password@host:9042/keyspace` or `postgres://user:password@host/database`.
    #[serde(rename = "USAGE_STORE")]
    pub url: String,
}

/// The function's own variables.
#[derive(Clone, Debug, Deserialize)]
pub struct Settings {
    /// The topics' names.
    #[serde(flatten)]
    pub topics: Topics,
    /// The operator's zone.
    #[serde(rename = "OPERATOR_TIMEZONE", default)]
    pub zone: Zone,
}

impl Config {
    /// Reads the function's variables.
    ///
    /// # Errors
    /// Naming the variable that is missing or malformed.
    pub fn from_vars(vars: &Vars) -> Result<Self, VarError> {
        Ok(Self { kafka: vars.read()?, store: vars.read()?, epoch: vars.read()?, settings: vars.read()? })
    }
}

impl Settings {
    /// What the records of a topic are.
    pub(crate) fn record_type(&self, topic: &str) -> Option<RecordType> {
        if topic == &self.topics[Topic::CdrData] {
            Some(RecordType::Data)
        } else if topic == &self.topics[Topic::CdrVoice] {
            Some(RecordType::Voice)
        } else {
            None
        }
    }
}

/// The address has a password in it.
impl fmt::Debug for StoreConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("StoreConfig")
    }
}

#[cfg(test)]
mod tests {
    use expect_test::{Expect, expect};

    use super::*;

    fn check(vars: &[(&str, &str)], expect: Expect) {
        match Config::from_vars(&vars.iter().copied().collect()) {
            Ok(config) => expect.assert_eq(&format!("{:?} {:?}", config.store, config.settings)),
            Err(error) => expect.assert_eq(&error.to_string()),
        }
    }

    #[test]
    fn needs_kafka_and_a_store() {
        let (brokers, store) = (("KAFKA_BROKERS", "a:9092"), ("USAGE_STORE", "postgres://u:secret@h/d"));
        check(&[store], expect!["KAFKA_BROKERS is missing: set this environment variable"]);
        check(&[brokers], expect!["USAGE_STORE is missing: set this environment variable"]);
        check(
            &[brokers, store, ("STREAM_EPOCH", "0x1")],
            expect!["STREAM_EPOCH is malformed: invalid digit found in string"],
        );
        check(
            &[brokers, store, ("OPERATOR_TIMEZONE", "Mars")],
            expect![[
                r#"OPERATOR_TIMEZONE is malformed: there is no time zone "Mars": use a name of the IANA database, such as Africa/Johannesburg"#
            ]],
        );
    }

    #[test]
    fn a_topic_tells_the_record_type() {
        let vars = [("KAFKA_BROKERS", "a:1"), ("USAGE_STORE", "postgres://h/d"), ("CDR_VOICE_TOPIC", "calls")];
        let config = Config::from_vars(&vars.into_iter().collect()).unwrap();
        assert_eq!(config.epoch.number, 1);
        let settings = config.settings;
        assert_eq!(settings.record_type("cdr-data"), Some(RecordType::Data));
        assert_eq!(settings.record_type("calls"), Some(RecordType::Voice));
        assert_eq!(settings.record_type("cdr-voice"), None);
    }
}
