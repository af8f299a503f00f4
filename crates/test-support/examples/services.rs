//! Starts the real services, prints how long each took and where it is, and ends them at the end of standard input (Ctrl-D).
//! For trying Trunkline by hand on what its users have; README.md says more.
#![expect(clippy::print_stdout, reason = "it is a program for people")]

use std::time::Instant;

use test_support::Cassandra;
use tokio::io::AsyncReadExt as _;

/// Prints how long it took.
async fn timed<T>(name: &str, start: impl Future<Output = T>) -> T {
    let began = Instant::now();
    let service = start.await;
    println!("{name}: ready after {:.1} s", began.elapsed().as_secs_f64());
    service
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let kafka = timed("kafka", test_support::kafka()).await;
    println!("  PLAINTEXT  {}", kafka.bootstrap_servers);
    println!("  SASL_SSL   {}", kafka.sasl_bootstrap_servers);
    println!("             SCRAM-SHA-512 {} {}", kafka.user, kafka.password.expose());
    println!("             CA {}", kafka.ca_pem.display());

    let cassandra = timed("cassandra", test_support::cassandra_with_password()).await;
    println!("  scylla://{}:{}@{}/KEYSPACE", Cassandra::USER, Cassandra::PASSWORD, cassandra.address);

    let url = timed("postgresql", test_support::postgres_logical_database()).await;
    println!("  {url}");

    let sshd = timed("sshd", test_support::sshd()).await;
    println!("  {}@{}:{} {}", sshd.user, sshd.host, sshd.port, sshd.password.expose());
    println!("  folder {}\n  key {}", sshd.remote_path, sshd.private_key.display());
    for key in &sshd.host_keys {
        println!("  {key}");
    }

    let store = timed("s3", test_support::object_store()).await;
    println!("  {} {} bucket {}", store.endpoint, store.region, store.bucket);
    println!("  {} {}", store.access_key_id, store.secret_access_key.expose());

    println!("Ctrl-D ends them.");
    tokio::io::stdin().read_to_end(&mut Vec::new()).await?;
    Ok(())
}
