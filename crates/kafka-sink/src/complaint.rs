//! What librdkafka complains about, and what a person can do about it.

use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};

/// An error that librdkafka reports and recovers from by itself.
#[derive(Clone, Debug, Default)]
pub(crate) struct Complaint {
    pub(crate) kind: Kind,
    /// For the log, or the invocation's error: advice first, then librdkafka's own words.
    pub(crate) text: String,
}

/// How much waiting helps.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Brokers come back.
    #[default]
    Down,
    /// The brokers hang up before they have said anything: most likely TLS spoken to a port without it, or the other
    /// way round; perhaps a proxy whose broker is still starting.
    HangUp,
    /// Waiting does not help: wrong credentials, a certificate that can't be trusted.
    Refusal,
}

impl Complaint {
    pub(crate) fn new(error: &KafkaError, reason: &str) -> Self {
        let (kind, advice) = match error.rdkafka_error_code() {
            Some(Code::Authentication) => (
                Kind::Refusal,
                "the brokers refuse this user: check KAFKA_SASL_MECHANISM, KAFKA_SASL_USERNAME and KAFKA_SASL_PASSWORD: ",
            ),
            Some(Code::Fatal) => (Kind::Refusal, ""),
            Some(Code::SSL) if reason.contains("certificate verify failed") => (
                Kind::Refusal,
                "the brokers' certificate is not trusted: check that KAFKA_TLS_CA is its authority, and that it names the \
                 hosts of KAFKA_BROKERS: ",
            ),
            Some(Code::SSL) => (Kind::HangUp, NO_TLS_THERE),
            Some(Code::BrokerTransportFailure) if reason.contains("SSL_HANDSHAKE") => (Kind::HangUp, NO_TLS_THERE),
            // The first thing that a client asks; one with TLS has been through its handshake by then.
            Some(Code::BrokerTransportFailure) if reason.contains("APIVERSION_QUERY") && !reason.contains("ssl://") => {
                (
                    Kind::HangUp,
                    "the brokers hang up on a connection without TLS: set KAFKA_TLS_CA (and KAFKA_SASL_… where they ask for a \
                 user), or name their plaintext port in KAFKA_BROKERS: ",
                )
            }
            _ => (Kind::Down, ""),
        };
        Self { kind, text: format!("{advice}{reason}") }
    }
}

const NO_TLS_THERE: &str = "the brokers hang up on a TLS connection: name their TLS port in KAFKA_BROKERS, or unset \
                            KAFKA_TLS_CA and KAFKA_SASL_… for brokers without TLS: ";
