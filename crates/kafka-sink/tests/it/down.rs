use std::net::Ipv4Addr;
use std::time::Duration;

use kafka_sink::{Config, Sink, SinkError};
use tokio::net::{TcpSocket, TcpStream};

use crate::PATIENCE;

#[tokio::test]
async fn a_broker_that_is_down_is_waited_for_and_the_log_says_so() {
    let log = test_support::log();
    let broker = test_support::broker().await;
    let (_, topic) = crate::sink("down").await;

    // An address that nobody listens on, and nobody else can take.
    let address = TcpSocket::new_v4().unwrap();
    address.bind((Ipv4Addr::LOCALHOST, 0).into()).unwrap();
    let config = Config::plaintext(address.local_addr().unwrap().to_string());
    let sink = Sink::new(&config).unwrap();
    let mut session = sink.session().unwrap();
    session.send(&topic, b"k", b"v").await.unwrap();
    let late = session.flush(Some(Duration::from_millis(200))).await;
    assert!(matches!(late, Err(SinkError::NotInTime { waiting: 1 })), "{late:?}");
    let is_said = test_support::eventually(PATIENCE, async || log.text().contains("waiting for Kafka"));
    tokio::select! {
        flushed = session.flush(None) => panic!("{flushed:?}"),
        () = is_said => assert!(log.text().contains("Connection refused")),
    }

    let listener = address.listen(16).unwrap();
    tokio::spawn(async move {
        while let Ok((mut client, _)) = listener.accept().await {
            let mut server = TcpStream::connect(broker).await.unwrap();
            tokio::spawn(async move { tokio::io::copy_bidirectional(&mut client, &mut server).await });
        }
    });
    session.flush(Some(PATIENCE)).await.unwrap();
    assert_eq!(crate::read(&topic).await.concat(), ["v"]);
}

#[tokio::test]
async fn what_waits_is_bounded_by_bytes() {
    let nobody = TcpSocket::new_v4().unwrap();
    nobody.bind((Ipv4Addr::LOCALHOST, 0).into()).unwrap();
    let sink = Sink::new(&Config::plaintext(nobody.local_addr().unwrap().to_string())).unwrap();
    let mut session = sink.session().unwrap();
    let value = vec![b'x'; 64 << 10];
    let mut sent_bytes = 0;
    let mut send = async |most: usize| {
        while sent_bytes < most {
            session.send("topic", b"k", &value).await.unwrap();
            sent_bytes += value.len();
        }
    };
    tokio::time::timeout(PATIENCE, send(8 << 20)).await.expect("so much is queued");
    tokio::time::timeout(Duration::from_millis(500), send((16 << 20) + 1)).await.expect_err("and no more than that");
}
