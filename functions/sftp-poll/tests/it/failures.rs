use std::time::Duration;

use expect_test::{Expect, expect};
use futures::future;
use lake::Digest;
use lake::names;
use lambda_boot::Deadline;
use sftp::{Credentials, HostKey};
use sftp_poll::{Config, Deps, Event, Report, handle};
use test_support::{Line, eventually};

use crate::{Fixture, HOUR, PATIENCE, folders, piece};

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
        let right = fixture.config.servers[0].sftp.host_key.to_string();
        expect.assert_eq(&failing(&config).await.replace(&right, "SHA256:<the server's>"));
    };
    check(
        |config| config.servers[0].sftp.credentials = Credentials::Password("wrong".to_owned()),
        expect!["the SFTP server refuses the user trunkline: check SFTP_USER and SFTP_PASSWORD or SFTP_PRIVATE_KEY"],
    )
    .await;
    check(
        |config| {
            let other = "SHA256:uNiVztksCsDhcc0u9e8BrrOXAgUOJSkGPEVnqUwmKPA";
            config.servers[0].sftp.host_key = HostKey::try_from(other.to_owned()).unwrap();
        },
        expect!["the SFTP server's host key is SHA256:<the server's>, but SFTP_HOST_KEY says SHA256:uNiVztksCsDhcc0u9e8BrrOXAgUOJSkGPEVnqUwmKPA: ask its operator which one is right, and set SFTP_HOST_KEY only then"],
    )
    .await;
    check(|config| config.servers[0].sftp.port = 1, expect!["the SFTP server can't be reached at 127.0.0.1:1: Connection refused (os error 111); check SFTP_HOST and SFTP_PORT, or wait for it"]).await;
    check(
        |config| config.servers[0].sftp.remote_path = folders("/elsewhere"),
        expect!["the SFTP server has no /elsewhere"],
    )
    .await;
    check(|config| config.lake.secret_access_key = "wrong".to_owned(), expect!["reading format.json: SignatureDoesNotMatch; check the AWS_* credentials and what they may do with the bucket"]).await;
    // Nothing of all this has done any harm.
    assert_eq!(fixture.poll().await, Report { landed: 1, announced: 1, ..Report::default() });
}

#[tokio::test]
async fn the_connection_is_lost_in_the_middle_of_a_file() {
    for fixture in Fixture::on_each().await {
        let name = "cdr_data_20240101_000000.csv";
        let content: Vec<u8> = (0..12_u32 << 20).map(|i| (i.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
        fixture.deliver(name, &content, HOUR);
        let line = fixture.line(Line::default()).await;
        let deps = Deps::connect(&fixture.over(&line)).await.unwrap();
        // Enough for the folder's listing and a part of the file.
        line.cut_after(10 << 20);
        let error = format!("{:#}", handle(&deps, Event::Poll, Deadline::NONE).await.unwrap_err());
        assert!(error.starts_with("polling failed after 0 files were announced (failures: 1): copying"), "{error}");
        assert!(error.contains("the connection to the SFTP server was lost"), "{error}");
        assert!(fixture.lake.head(&names::landing(&piece(name))).await.unwrap().is_none());
        // The same process, over the same line, a minute later.
        let report = handle(&deps, Event::Poll, Deadline::NONE).await.unwrap();
        assert_eq!(report, Report { landed: 1, announced: 1, ..Report::default() });
        assert_eq!(fixture.objects().await[&names::landing(&piece(name))], Digest::of(&content).to_string());
        assert_eq!(fixture.announced().await, [name]);
    }
}

#[tokio::test]
async fn the_server_falls_silent_in_the_middle_of_a_file() {
    for fixture in Fixture::on_each().await {
        let name = "cdr_data_20240101_000000.csv";
        fixture.deliver(name, &vec![b'x'; 6 << 20], HOUR);
        // A second and a half for the file, at the least.
        let line = fixture.line(Line { bytes_per_second: Some(4 << 20), ..Line::default() }).await;
        let deps = Deps::connect(&fixture.over(&line)).await.unwrap();
        let falling_silent = async || {
            let note = names::unannounced(&piece(name));
            eventually(PATIENCE, async || fixture.lake.head(&note).await.unwrap().is_some()).await;
            line.stall();
            // From here on, this test's clock goes to the next moment that somebody waits for.
            tokio::time::pause();
            future::pending::<()>().await;
        };
        let silent = async |deadline| {
            let result = tokio::select! {
                result = handle(&deps, Event::Poll, deadline) => result,
                () = falling_silent() => unreachable!("it pends"),
            };
            tokio::time::resume();
            line.resume();
            result
        };
        let error = format!("{:#}", silent(Deadline::NONE).await.unwrap_err());
        assert!(error.contains("the connection to the SFTP server was lost while"), "{error}");
        // It is not waited for until the invocation is killed: the copy is given up for the next one.
        fixture.lake.delete(&names::unannounced(&piece(name))).await.unwrap();
        let report = silent(Deadline::after(Duration::from_secs(40))).await.unwrap();
        assert_eq!(report, Report { deferred: 1, ..Report::default() });
        assert!(fixture.lake.head(&names::landing(&piece(name))).await.unwrap().is_none());
        // The server speaks again.
        let report = handle(&deps, Event::Poll, Deadline::NONE).await.unwrap();
        assert_eq!(report, Report { landed: 1, announced: 1, ..Report::default() });
        assert_eq!(fixture.announced().await, [name]);
    }
}

#[tokio::test]
async fn kafka_does_not_answer_in_time() {
    let fixture = Fixture::start().await;
    fixture.deliver("cdr_data_20240101_000000.csv", b"x", HOUR);
    let config = Config { kafka: kafka_sink::Config::plaintext("127.0.0.1:1"), ..fixture.config.clone() };
    let deps = Deps::connect(&config).await.unwrap();
    // Time enough to begin a copy.
    let deadline = Deadline::after(Duration::from_secs(15));
    let error = handle(&deps, Event::Poll, deadline).await.unwrap_err();
    expect!["polling failed after 0 files were announced (failures: 1): landed files could not be announced: 1 records were not acknowledged by Kafka in time"].assert_eq(&format!("{error:#}"));
    // It has landed, and is announced when Kafka is back, though the server has it no more.
    std::fs::remove_file(fixture.path("cdr_data_20240101_000000.csv")).unwrap();
    assert_eq!(fixture.poll().await, Report { recovered: 1, announced: 1, ..Report::default() });
}
