use std::fmt;

use lambda_boot::{VarError, Vars};
use serde::Deserialize;
use telecom::{RecordType, Zone};

/// The function's configuration.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where rejected records go.
    pub kafka: kafka_sink::Config,
    /// Where usage is counted.
    pub store: StoreConfig,
    /// Which topics are counted, and how.
    pub stream: Stream,
}

/// The usage store's address.
#[derive(Clone, Deserialize)]
pub struct StoreConfig {
    /// `scylla://user:password@host:9042/keyspace` or `postgres://user:password@host/database`.
    #[serde(rename = "USAGE_STORE")]
    pub url: String,
}

/// What is in the topics.
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
    /// The operator's zone.
    #[serde(rename = "OPERATOR_TIMEZONE", default)]
    pub zone: Zone,
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
        Ok(Self { kafka: vars.read()?, store: vars.read()?, stream: vars.read()? })
    }
}

impl Stream {
    /// What the records of a topic are.
    pub(crate) fn record_type(&self, topic: &str) -> Option<RecordType> {
        if topic == self.cdr_data {
            Some(RecordType::Data)
        } else if topic == self.cdr_voice {
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
            Ok(config) => expect.assert_eq(&format!("{:?} {:?}", config.store, config.stream)),
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
        let stream = Config::from_vars(&vars.into_iter().collect()).unwrap().stream;
        assert_eq!(stream.epoch, 1);
        assert_eq!(stream.record_type("cdr-data"), Some(RecordType::Data));
        assert_eq!(stream.record_type("calls"), Some(RecordType::Voice));
        assert_eq!(stream.record_type("cdr-voice"), None);
    }
}
