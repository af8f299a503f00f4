use std::net::{Ipv4Addr, SocketAddr};

use expect_test::{Expect, expect};
use lambda_boot::Deadline;
use sftp::{Credentials, HostKey};
use sftp_poll::{Config, Deps, Event, Report, handle};
use tokio::net::{TcpListener, TcpStream};

use crate::{Fixture, HOUR};

async fn failing(config: &Config) -> String {
    let deps = Deps::connect(config).await.unwrap();
    format!("{:#}", handle(&deps, Event::Poll, Deadline::NONE).await.unwrap_err())
}

#[tokio::test]
async fn a_service_that_refuses_is_named() {
    let fixture = Fixture::start().await;
    fixture.deliver("cdr_data_20240101_000000.csv", b"x", HOUR);
    let check = async |change: fn(&mut Config), expect: Expect| {
        let mut config = fixture.config.clone();
        change(&mut config);
        let right = fixture.config.sftp.host_key.to_string();
        expect.assert_eq(&failing(&config).await.replace(&right, "SHA256:<the server's>"));
    };
    check(
        |config| config.sftp.credentials = Credentials::Password("wrong".to_owned()),
        expect!["the SFTP server refuses the user trunkline: check SFTP_USER and SFTP_PASSWORD or SFTP_PRIVATE_KEY"],
    )
    .await;
    check(
        |config| {
            let other = "SHA256:uNiVztksCsDhcc0u9e8BrrOXAgUOJSkGPEVnqUwmKPA";
            config.sftp.host_key = HostKey::try_from(other.to_owned()).unwrap();
        },
        expect!["the SFTP server's host key is SHA256:<the server's>, but SFTP_HOST_KEY says SHA256:uNiVztksCsDhcc0u9e8BrrOXAgUOJSkGPEVnqUwmKPA: ask its operator which one is right, and set SFTP_HOST_KEY only then"],
    )
    .await;
    check(|config| config.sftp.port = 1, expect!["the SFTP server can't be reached at 127.0.0.1:1: Connection refused (os error 111); check SFTP_HOST and SFTP_PORT, or wait for it"]).await;
    check(|config| config.sftp.remote_path = "/elsewhere".to_owned(), expect!["the SFTP server has no /elsewhere"])
        .await;
    check(|config| config.lake.secret_access_key = "wrong".to_owned(), expect!["listing announced/: SignatureDoesNotMatch; check the AWS_* credentials and what they may do with the bucket"]).await;
    // Nothing of all this has done any harm.
    assert_eq!(fixture.poll().await, Report { landed: 1, announced: 1, ..Report::default() });
}

#[tokio::test]
async fn the_connection_is_lost_in_the_middle_of_a_file() {
    let fixture = Fixture::start().await;
    let name = "cdr_data_20240101_000000.csv";
    fixture.deliver(name, &vec![b'x'; 12 << 20], HOUR);
    let mut config = fixture.config.clone();
    // Enough for the folder's listing and a part of the file.
    let server = format!("{}:{}", config.sftp.host, config.sftp.port).parse().unwrap();
    config.sftp.port = short_cable(server, 9 << 20).await;
    let error = failing(&config).await;
    assert!(error.starts_with("polling failed after 0 files were announced (failures: 1): copying"), "{error}");
    assert!(error.contains("the connection to the SFTP server was lost"), "{error}");
    assert!(fixture.lake.head(&lake::names::landing(name)).await.unwrap().is_none());
    assert_eq!(fixture.poll().await, Report { landed: 1, announced: 1, ..Report::default() });
}

/// A way to the server that breaks after so many bytes from there.
async fn short_cable(server: SocketAddr, bytes: u64) -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        use tokio::io::AsyncReadExt;
        let (mut near, _) = listener.accept().await.unwrap();
        let mut far = TcpStream::connect(server).await.unwrap();
        let ((mut near_in, mut near_out), (far_in, mut far_out)) = (near.split(), far.split());
        let mut back = far_in.take(bytes);
        tokio::select! {
            ended = tokio::io::copy(&mut back, &mut near_out) => drop(ended),
            ended = tokio::io::copy(&mut near_in, &mut far_out) => drop(ended),
        }
    });
    port
}

#[tokio::test]
async fn kafka_does_not_answer_in_time() {
    let fixture = Fixture::start().await;
    fixture.deliver("cdr_data_20240101_000000.csv", b"x", HOUR);
    let config = Config { kafka: kafka_sink::Config::plaintext("127.0.0.1:1"), ..fixture.config.clone() };
    let deps = Deps::connect(&config).await.unwrap();
    // Just enough time to begin a copy.
    let deadline = Deadline::after(std::time::Duration::from_secs(11));
    let error = handle(&deps, Event::Poll, deadline).await.unwrap_err();
    expect!["polling failed after 0 files were announced (failures: 1): landed files could not be announced: 1 records were not acknowledged by Kafka in time"].assert_eq(&format!("{error:#}"));
    // It has landed, and is announced when Kafka is back, though the server has it no more.
    std::fs::remove_file(fixture.path("cdr_data_20240101_000000.csv")).unwrap();
    assert_eq!(fixture.poll().await, Report { recovered: 1, announced: 1, ..Report::default() });
}
