use kafka_sink::SinkError;

use crate::{PATIENCE, read, sink};

#[tokio::test]
async fn records_arrive_once_and_in_order_of_each_key() {
    const RECORDS: usize = 5_000;
    let (sink, topic) = sink("order").await;
    let mut session = sink.session().unwrap();
    for number in 0..RECORDS {
        let key = (number % 17).to_string();
        session.send(&topic, key.as_bytes(), number.to_string().as_bytes()).await.unwrap();
    }
    session.flush(Some(PATIENCE)).await.unwrap();
    let partitions = read(&topic).await;
    let mut numbers: Vec<usize> = Vec::new();
    for values in partitions {
        let values: Vec<usize> = values.iter().map(|value| value.parse().unwrap()).collect();
        assert!(values.is_sorted());
        numbers.extend(values);
    }
    numbers.sort_unstable();
    assert_eq!(numbers, (0..RECORDS).collect::<Vec<_>>());
}

#[tokio::test]
async fn the_partition_is_that_of_kafkas_own_clients() {
    // From Kafka's UtilsTest.
    let hashes = [("21", -973_932_308), ("foobar", -790_332_482), ("a-little-bit-long-string", -985_981_536_i32)];
    let (sink, topic) = sink("partition").await;
    let mut session = sink.session().unwrap();
    for (key, _) in hashes {
        session.send(&topic, key.as_bytes(), key.as_bytes()).await.unwrap();
    }
    session.flush(Some(PATIENCE)).await.unwrap();
    let mut expected = vec![Vec::new(); 3];
    for (key, hash) in hashes {
        expected[(hash & i32::MAX) as usize % 3].push(key.to_owned());
    }
    assert_eq!(read(&topic).await, expected);
}

#[tokio::test]
async fn after_a_failure_a_session_sends_nothing_and_the_next_one_does() {
    let (sink, topic) = sink("failure").await;
    let mut session = sink.session().unwrap();
    let mut beside = sink.session().unwrap();
    session.send(&topic, b"k", b"before").await.unwrap();
    session.flush(Some(PATIENCE)).await.unwrap();
    let too_large = vec![b'x'; 2 << 20];
    let failed = session.send(&topic, b"k", &too_large).await.unwrap_err();
    assert_eq!(
        failed.to_string(),
        "Kafka did not take a record: Message production error: MessageSizeTooLarge (Broker: Message size too large): \
         raise the topic's max.message.bytes"
    );
    assert!(matches!(session.send(&topic, b"k", b"after").await, Err(SinkError::Discarded(_))));
    assert!(matches!(session.flush(None).await, Err(SinkError::Discarded(_))));
    assert!(matches!(beside.flush(None).await, Err(SinkError::Discarded(_))));
    let mut session = sink.session().unwrap();
    session.send(&topic, b"k", b"again").await.unwrap();
    session.flush(Some(PATIENCE)).await.unwrap();
    assert_eq!(read(&topic).await.concat(), ["before", "again"]);
}
