use std::collections::BTreeMap;
use std::fmt;

use rdkafka::ClientConfig;
use rdkafka::config::RDKafkaLogLevel;
use serde::Deserialize;
use stream::{Topic, Topics};

/// Where Kafka is and how to get in. Read from `KAFKA_BROKERS`, `KAFKA_TLS_CA`, `KAFKA_SASL_MECHANISM`,
/// `KAFKA_SASL_USERNAME`, `KAFKA_SASL_PASSWORD` and `REJECTED_TOPIC`.
#[derive(Clone, Debug, Deserialize)]
#[serde(try_from = "Variables")]
pub struct Config {
    brokers: String,
    security: Security,
    rejected_topic: String,
}

#[derive(Clone, Debug)]
enum Security {
    Plaintext,
    Tls { ca: Option<Ca>, sasl: Option<Sasl> },
}

/// The certificates to trust instead of the system's.
#[derive(Clone, Debug)]
enum Ca {
    File(String),
    Pem(String),
}

#[derive(Clone, Debug)]
struct Sasl {
    mechanism: String,
    username: String,
    password: Password,
}

#[derive(Clone)]
struct Password(String);

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

impl Config {
    /// A cluster without encryption and passwords, and the topic `rejected`.
    #[must_use]
    pub fn plaintext(brokers: impl Into<String>) -> Self {
        let rejected_topic = Topic::Rejected.default_name().to_owned();
        Self { brokers: brokers.into(), security: Security::Plaintext, rejected_topic }
    }

    /// The addresses, `host:port` joined by commas.
    #[must_use]
    pub fn brokers(&self) -> &str {
        &self.brokers
    }

    /// The topic of the records that can't be used.
    #[must_use]
    pub fn rejected_topic(&self) -> &str {
        &self.rejected_topic
    }

    /// What every client of this cluster needs: addresses, encryption, credentials.
    #[must_use]
    pub fn client(&self) -> ClientConfig {
        let mut client: ClientConfig = self.security().into_iter().collect();
        client
            .set("bootstrap.servers", &self.brokers)
            .set("client.id", "trunkline")
            .set("socket.keepalive.enable", "true")
            // Soon back after a broker's restart; the default lets a client sleep for up to 10 s.
            .set("reconnect.backoff.max.ms", "2000")
            // Up to the line that says that a broker has hung up.
            .set_log_level(RDKafkaLogLevel::Info);
        client
    }

    /// Encryption and credentials, as librdkafka's properties: for clients that are not of this crate. Nothing for a
    /// cluster without both.
    #[must_use]
    pub fn security(&self) -> BTreeMap<String, String> {
        let Security::Tls { ca, sasl } = &self.security else { return BTreeMap::new() };
        let ca = match ca {
            Some(Ca::File(path)) => ("ssl.ca.location", path.as_str()),
            Some(Ca::Pem(pem)) => ("ssl.ca.pem", pem.as_str()),
            // OpenSSL is linked in and knows no system's folder: librdkafka looks where systems keep theirs.
            None => ("ssl.ca.location", "probe"),
        };
        let mut properties = vec![("security.protocol", if sasl.is_some() { "sasl_ssl" } else { "ssl" }), ca];
        if let Some(Sasl { mechanism, username, password: Password(password) }) = sasl {
            properties.extend([
                ("sasl.mechanism", mechanism.as_str()),
                ("sasl.username", username),
                ("sasl.password", password),
            ]);
        }
        properties.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
    }
}

#[derive(Deserialize)]
struct Variables {
    #[serde(rename = "KAFKA_BROKERS")]
    brokers: String,
    #[serde(rename = "KAFKA_TLS_CA")]
    tls_ca: Option<String>,
    #[serde(rename = "KAFKA_SASL_MECHANISM")]
    sasl_mechanism: Option<String>,
    #[serde(rename = "KAFKA_SASL_USERNAME")]
    sasl_username: Option<String>,
    #[serde(rename = "KAFKA_SASL_PASSWORD")]
    sasl_password: Option<String>,
    #[serde(flatten)]
    topics: Topics,
}

const SASL_MECHANISMS: [&str; 3] = ["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"];

impl TryFrom<Variables> for Config {
    type Error = String;

    fn try_from(vars: Variables) -> Result<Self, String> {
        let is_address = |broker: &str| {
            broker.trim().rsplit_once(':').is_some_and(|(host, port)| !host.is_empty() && port.parse::<u16>().is_ok())
        };
        if !vars.brokers.split(',').all(is_address) {
            return Err("KAFKA_BROKERS is malformed: expected host:port, several joined by commas".into());
        }
        let sasl = match (vars.sasl_mechanism, vars.sasl_username, vars.sasl_password) {
            (None, None, None) => None,
            (Some(mechanism), Some(username), Some(password)) => {
                if !SASL_MECHANISMS.contains(&mechanism.as_str()) {
                    return Err(format!("KAFKA_SASL_MECHANISM is malformed: one of {}", SASL_MECHANISMS.join(", ")));
                }
                Some(Sasl { mechanism, username, password: Password(password) })
            }
            _ => {
                return Err(
                    "KAFKA_SASL_MECHANISM, KAFKA_SASL_USERNAME and KAFKA_SASL_PASSWORD belong together: set all \
                            three or none"
                        .into(),
                );
            }
        };
        let ca = match vars.tls_ca {
            Some(pem) if pem.contains("-----BEGIN") => Some(Ca::Pem(pem)),
            Some(path) => {
                std::fs::File::open(&path).map_err(|error| {
                    format!("KAFKA_TLS_CA is neither PEM text nor a file that can be read: {path}: {error}")
                })?;
                Some(Ca::File(path))
            }
            None => None,
        };
        let security = match (ca, sasl) {
            (None, None) => Security::Plaintext,
            _ if !cfg!(feature = "tls") => {
                return Err("KAFKA_TLS_CA and KAFKA_SASL_MECHANISM need a build with TLS: build with the feature \
                            kafka-sink/tls, or unset them"
                    .into());
            }
            (ca, sasl) => Security::Tls { ca, sasl },
        };
        Ok(Self { brokers: vars.brokers, security, rejected_topic: vars.topics[Topic::Rejected].to_owned() })
    }
}

#[cfg(test)]
mod tests {
    use expect_test::{Expect, expect};
    use lambda_boot::Vars;

    use super::*;

    fn check(vars: &[(&str, &str)], expect: Expect) {
        let vars: Vars = vars.iter().copied().collect();
        match vars.read::<Config>() {
            Ok(config) => expect.assert_eq(&format!("{config:?}")),
            Err(error) => expect.assert_eq(&error.to_string()),
        }
    }

    #[test]
    fn says_which_variable_is_wrong() {
        check(
            &[("KAFKA_BROKERS", "a:9092, b:9092")],
            expect![[r#"Config { brokers: "a:9092, b:9092", security: Plaintext, rejected_topic: "rejected" }"#]],
        );
        check(&[], expect!["KAFKA_BROKERS is missing: set this environment variable"]);
        check(
            &[("KAFKA_BROKERS", "broker")],
            expect!["KAFKA_BROKERS is malformed: expected host:port, several joined by commas"],
        );
        check(
            &[("KAFKA_BROKERS", "a:1"), ("KAFKA_SASL_USERNAME", "u")],
            expect![
                "KAFKA_SASL_MECHANISM, KAFKA_SASL_USERNAME and KAFKA_SASL_PASSWORD belong together: set all three or none"
            ],
        );
        let sasl = |mechanism| {
            [
                ("KAFKA_BROKERS", "a:1"),
                ("KAFKA_SASL_MECHANISM", mechanism),
                ("KAFKA_SASL_USERNAME", "u"),
                ("KAFKA_SASL_PASSWORD", "secret"),
            ]
        };
        check(
            &sasl("GSSAPI"),
            expect!["KAFKA_SASL_MECHANISM is malformed: one of PLAIN, SCRAM-SHA-256, SCRAM-SHA-512"],
        );
        check(
            &[("KAFKA_BROKERS", "a:1"), ("KAFKA_TLS_CA", "/there/is/none.pem")],
            expect![
                "KAFKA_TLS_CA is neither PEM text nor a file that can be read: /there/is/none.pem: No such file or directory (os error 2)"
            ],
        );
        if cfg!(feature = "tls") {
            check(
                &sasl("PLAIN"),
                expect![[
                    r#"Config { brokers: "a:1", security: Tls { ca: None, sasl: Some(Sasl { mechanism: "PLAIN", username: "u", password: *** }) }, rejected_topic: "rejected" }"#
                ]],
            );
        } else {
            check(
                &sasl("PLAIN"),
                expect![
                    "KAFKA_TLS_CA and KAFKA_SASL_MECHANISM need a build with TLS: build with the feature kafka-sink/tls, or unset them"
                ],
            );
        }
    }
}
