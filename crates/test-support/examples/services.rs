//! Starts the real services, prints the parameters of `trunkline` that name them (and, on standard error, how long each took),
//! and ends them at Ctrl-C. For trying Trunkline by hand on what its users have, as `docs/own-services.md` does.
//!
//! `cargo run -p test-support --example services > services.parameters`
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "it is a program for people")]

use std::time::Instant;

/// Says how long it took.
async fn timed<T>(name: &str, start: impl Future<Output = T>) -> T {
    let began = Instant::now();
    let service = start.await;
    eprintln!("{name}: ready after {:.1} s", began.elapsed().as_secs_f64());
    service
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let kafka = timed("kafka", test_support::kafka()).await;
    let cassandra = timed("cassandra", test_support::cassandra()).await;
    let database = timed("postgresql", test_support::postgres_logical_database()).await;
    let sshd = timed("sshd", test_support::sshd()).await;
    let bucket = timed("s3", test_support::object_store()).await;
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
    eprintln!("kafka, without encryption and login: {}", kafka.bootstrap_servers);
    eprintln!("sshd, the user's key: {}", sshd.private_key.display());
    eprintln!("Ctrl-C ends them.");
    tokio::signal::ctrl_c().await?;
    Ok(())
}
