//! What is wrong between a mapping and its brokers, and what to look at.

use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};

/// One sentence that stays the same while the trouble does. `complaint` is what the client last said in its own words.
pub(super) fn describe(error: &KafkaError, complaint: &str, brokers: &str, topic: &str) -> String {
    let Some(code) = error.rdkafka_error_code() else { return format!("Kafka says: {error}") };
    let is_down =
        matches!(code, Code::AllBrokersDown | Code::BrokerTransportFailure | Code::Resolve | Code::OperationTimedOut);
    match code {
        Code::UnknownTopicOrPartition | Code::UnknownTopic => {
            format!("topic {topic} does not exist: waiting for it")
        }
        Code::Authentication => {
            format!("the Kafka brokers at {brokers} refuse the user or the password: check both; trying again")
        }
        _ if code == Code::SSL || is_down && complaint.contains("SSL_HANDSHAKE") => format!(
            "no TLS connection to the Kafka brokers at {brokers}: check the certificate authority, the hosts' names and \
             that this is the TLS port; trying again"
        ),
        // In the first thing that a client asks; one with TLS has been through its handshake by then.
        _ if is_down && complaint.contains("APIVERSION_QUERY") && !complaint.contains("ssl://") => {
            format!(
                "the Kafka brokers at {brokers} hang up on a connection without TLS: do they ask for it? Trying again"
            )
        }
        _ if is_down => format!("no Kafka broker answers at {brokers}: waiting for it"),
        _ => format!("Kafka says: {error}"),
    }
}
