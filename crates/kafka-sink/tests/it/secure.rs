//! SASL and TLS, on a real cluster.

use expect_test::{Expect, expect};
use kafka_sink::admin::create_topics;
use kafka_sink::{Config, Sink};
use lambda_boot::Vars;

use crate::{PATIENCE, read_from};

/// A certificate authority that signed nothing.
const ANOTHER_CA: &str = "\
-----BEGIN CERTIFICATE-----
MIIBhjCCAS2gAwIBAgIUGpe5ui1DWmZV559FDnc1vt0j6nYwCgYIKoZIzj0EAwIw
GDEWMBQGA1UEAwwNc29tZWJvZHkgZWxzZTAgFw0yNjExMjExMTE3MDlaGA8yMTI2
MTAyODExMTcwOVowGDEWMBQGA1UEAwwNc29tZWJvZHkgZWxzZTBZMBMGByqGSM49
AgEGCCqGSM49AwEHA0IABI4/EzRm1S773lGljduhFF1rypaI5Ip4XyuQiUwSo8T0
RvfflB0u8W/XFi9HMeV1TCh/fFRxJ1QjQv6/ztJ0vgijUzBRMB0GA1UdDgQWBBR8
7XLRxl53reK+dPpRWPuV/7LDcDAfBgNVHSMEGDAWgBR87XLRxl53reK+dPpRWPuV
/7LDcDAPBgNVHRMBAf8EBTADAQH/MAoGCCqGSM49BAMCA0cAMEQCIF9Vxd342tur
wMBwJOmnagFnuNiJv4EXPXlyMxEk8M4gAiAm4YrUExK5r3MTjPFFJHNE1QUTI06f
uAvf0xdy9L4+3g==
-----END CERTIFICATE-----
";

/// The cluster over SASL and TLS, with other values for some variables; an empty one is unset.
async fn config(changed: &[(&str, &str)]) -> Config {
    let kafka = test_support::kafka().await;
    let vars: Vars = [
        ("KAFKA_BROKERS", kafka.sasl_bootstrap_servers.as_str()),
        ("KAFKA_TLS_CA", kafka.ca_pem.to_str().unwrap()),
        ("KAFKA_SASL_MECHANISM", "SCRAM-SHA-512"),
        ("KAFKA_SASL_USERNAME", &kafka.user),
        ("KAFKA_SASL_PASSWORD", kafka.password.expose()),
    ]
    .into_iter()
    .chain(changed.iter().copied())
    .collect();
    vars.read().unwrap()
}

const NO_SASL: [(&str, &str); 3] =
    [("KAFKA_SASL_MECHANISM", ""), ("KAFKA_SASL_USERNAME", ""), ("KAFKA_SASL_PASSWORD", "")];

#[tokio::test]
async fn records_go_through_sasl_and_tls() {
    const RECORDS: usize = 5_000;
    let pem = std::fs::read_to_string(&test_support::kafka().await.ca_pem).unwrap();
    // The authority as a file and as text.
    for config in [config(&[]).await, config(&[("KAFKA_TLS_CA", &pem)]).await] {
        let topic = test_support::topic("secure");
        create_topics(&config, &[(&topic, 3)]).await.unwrap();
        create_topics(&config, &[(&topic, 3)]).await.unwrap();
        let sink = Sink::new(&config).unwrap();
        let mut session = sink.session().unwrap();
        for number in 0..RECORDS {
            session.send(&topic, &(number % 17).to_be_bytes(), number.to_string().as_bytes()).await.unwrap();
        }
        session.flush(Some(PATIENCE)).await.unwrap();
        let values = read_from(&config, &topic).await;
        let mut numbers: Vec<usize> = values.concat().iter().map(|value| value.parse().unwrap()).collect();
        numbers.sort_unstable();
        assert_eq!(numbers, (0..RECORDS).collect::<Vec<_>>());
    }
}

/// What the admin and the sink say: the advice, without librdkafka's own words behind it.
async fn check(changed: &[(&str, &str)], expect: Expect) {
    let config = config(changed).await;
    let advice = |error: String| {
        let (advice, _) = error.split_once(": sasl_ssl://").or(error.split_once(": ssl://")).unwrap_or_else(|| {
            // Plaintext has no scheme.
            error.split_once(": 127.0.0.1:").unwrap_or((&error, ""))
        });
        advice.to_owned()
    };
    let admin = async {
        advice(
            tokio::time::timeout(PATIENCE, create_topics(&config, &[("t", 3)])).await.unwrap().unwrap_err().to_string(),
        )
    };
    let sink = async {
        let sink = Sink::new(&config).unwrap();
        let mut session = sink.session().unwrap();
        let sent = session.send("t", b"k", b"v").await;
        // No time of its own: it must fail by itself.
        let flushed = async { if sent.is_ok() { session.flush(None).await } else { sent } };
        advice(tokio::time::timeout(PATIENCE, flushed).await.unwrap().unwrap_err().to_string())
    };
    let (admin, sink) = tokio::join!(admin, sink);
    assert_eq!(sink, format!("Kafka did not take a record: {admin}"));
    expect.assert_eq(&admin);
}

#[tokio::test]
async fn a_wrong_password_fails_and_says_what_to_check() {
    check(
        &[("KAFKA_SASL_PASSWORD", "wrong")],
        expect![
            "the brokers refuse this user: check KAFKA_SASL_MECHANISM, KAFKA_SASL_USERNAME and KAFKA_SASL_PASSWORD"
        ],
    )
    .await;
}

#[tokio::test]
async fn a_certificate_of_another_authority_fails_and_says_what_to_check() {
    check(
        &[("KAFKA_TLS_CA", ANOTHER_CA)],
        expect![
            "the brokers' certificate is not trusted: check that KAFKA_TLS_CA is its authority, and that it names the hosts of KAFKA_BROKERS"
        ],
    )
    .await;
}

#[tokio::test]
async fn without_a_ca_the_systems_own_are_trusted_and_this_one_is_not() {
    check(
        &[("KAFKA_TLS_CA", "")],
        expect![
            "the brokers' certificate is not trusted: check that KAFKA_TLS_CA is its authority, and that it names the hosts of KAFKA_BROKERS"
        ],
    )
    .await;
}

#[tokio::test]
async fn plaintext_to_a_tls_port_fails_and_says_what_to_check() {
    check(
        &[&NO_SASL[..], &[("KAFKA_TLS_CA", "")]].concat(),
        expect![
            "the brokers hang up on a connection without TLS: set KAFKA_TLS_CA (and KAFKA_SASL_… where they ask for a user), or name their plaintext port in KAFKA_BROKERS"
        ],
    )
    .await;
}

#[tokio::test]
async fn tls_to_a_plaintext_port_fails_and_says_what_to_check() {
    let plaintext = &test_support::kafka().await.bootstrap_servers;
    check(
        &[("KAFKA_BROKERS", plaintext)],
        expect![
            "the brokers hang up on a TLS connection: name their TLS port in KAFKA_BROKERS, or unset KAFKA_TLS_CA and KAFKA_SASL_… for brokers without TLS"
        ],
    )
    .await;
}
