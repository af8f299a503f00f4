//! The services of the tests, on 127.0.0.1 until Ctrl-C: Kafka, OpenSSH's server, Cassandra, PostgreSQL and S3, and the
//! parameters for `trunkline` that name them. For following `docs/own-services.md` without services of one's own.
//!
//! `cargo run --ignore-rust-version -p test-support --example services > services.parameters`
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "prints text for people")]

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let (kafka, sshd, cassandra, bucket, database) = tokio::join!(
        test_support::kafka(),
        test_support::sshd(),
        test_support::cassandra(),
        test_support::object_store(),
        test_support::postgres_database(),
    );
    for (name, value) in [
        ("KafkaBrokers", kafka.sasl_bootstrap_servers.as_str()),
        ("KafkaSaslMechanism", "SCRAM-SHA-512"),
        ("KafkaSaslUsername", &kafka.user),
        ("KafkaSaslPassword", kafka.password.expose()),
        ("KafkaTlsCa", &kafka.ca_pem.display().to_string()),
        ("SftpHost", &sshd.host),
        ("SftpPort", &sshd.port.to_string()),
        ("SftpUser", &sshd.user),
        ("SftpPassword", sshd.password.expose()),
        ("SftpHostKey", &sshd.host_keys[0]),
        ("SftpRemotePath", &sshd.remote_path),
        ("LakeBucket", &bucket.bucket),
        ("LakeEndpoint", &bucket.endpoint),
        ("UsageStore", &format!("scylla://{}/usage", cassandra.address)),
        ("DatabaseUrl", &database),
        ("AWS_REGION", &bucket.region),
        ("AWS_ACCESS_KEY_ID", &bucket.access_key_id),
        ("AWS_SECRET_ACCESS_KEY", bucket.secret_access_key.expose()),
    ] {
        println!("{name}={value}");
    }
    eprintln!("Kafka without encryption: {}", kafka.bootstrap_servers);
    eprintln!("The SFTP user's key: {}", sshd.private_key.display());
    eprintln!("Serving. Ctrl-C ends everything.");
    tokio::signal::ctrl_c().await?;
    Ok(())
}
