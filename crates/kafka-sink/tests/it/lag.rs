//! How far groups are behind, on the embedded broker and on Kafka.

use kafka_sink::{Config, Extent, GroupLag, Sink};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use uuid::Uuid;

use super::*;

async fn check(config: Config) {
    let prefix = format!("p{}-", Uuid::new_v4().simple());
    let (calls, messages) = (test_support::topic("calls"), test_support::topic("messages"));
    // A topic whose name ends as the other's does.
    let all_messages = format!("all-{messages}");
    kafka_sink::admin::create_topics(&config, &[(&calls, 3), (&messages, 1), (&all_messages, 2)]).await.unwrap();
    let sink = Sink::new(&config).unwrap();
    let mut session = sink.session().unwrap();
    for n in 0..30 {
        session.send(&calls, format!("{n}").as_bytes(), b"call").await.unwrap();
    }
    for n in 0..7 {
        session.send(&messages, b"room", format!("{n}").as_bytes()).await.unwrap();
    }
    session.flush(None).await.unwrap();
    for (group, topic, offsets) in [
        // Of the other two partitions nothing is committed: all that they hold is missing.
        (format!("{prefix}count-{calls}"), &calls, [Some(2), None, None]),
        (format!("{prefix}keep-{messages}"), &messages, [Some(7), None, None]),
        (format!("{prefix}keep-{all_messages}"), &all_messages, [Some(0), None, None]),
        (format!("{prefix}of-no-topic"), &calls, [Some(1), None, None]),
    ] {
        test_support::commit(config.client(), &group, topic, &offsets).await;
    }
    let lags = kafka_sink::lag(&config, &prefix, PATIENCE).await.unwrap();
    let lag = |name: &str, topic: &str, records| GroupLag {
        group: format!("{prefix}{name}-{topic}"),
        topic: topic.to_owned(),
        members: 0,
        records,
    };
    let mut expected = vec![lag("count", &calls, 28), lag("keep", &messages, 0), lag("keep", &all_messages, 0)];
    expected.sort_unstable_by(|a, b| a.group.cmp(&b.group));
    assert_eq!(lags, expected);

    let named = |group: &str, topic: &str| (format!("{prefix}{group}-{topic}"), topic.to_owned());
    let named = [named("new", &messages), named("count", &calls), named("new", "no-such-topic")];
    let mut expected = vec![lag("new", &messages, 7), lag("count", &calls, 28), lag("new", "no-such-topic", 0)];
    expected.sort_unstable_by(|a, b| a.group.cmp(&b.group));
    assert_eq!(kafka_sink::lag_of(&config, named, PATIENCE).await.unwrap(), expected);
}

#[tokio::test]
async fn what_is_not_committed_is_counted() {
    check(config().await).await;
}

#[tokio::test]
async fn on_kafka_too() {
    check(Config::plaintext(&test_support::kafka().await.bootstrap_servers)).await;
}

#[tokio::test]
async fn a_cluster_that_is_down_is_said() {
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let config = Config::plaintext(format!("127.0.0.1:{port}"));
    let error = kafka_sink::lag(&config, "trunkline-", Duration::from_millis(200)).await.unwrap_err();
    assert!(format!("{error:#}").starts_with("Kafka does not answer: "), "{error:#}");
}

/// A transaction of so many records in partition 0.
async fn transaction(config: &Config, topic: &str, records: usize, commits: bool) {
    let mut client = config.client();
    client.set("transactional.id", format!("{topic}-{commits}"));
    let topic = topic.to_owned();
    let run = move || {
        let producer: BaseProducer = client.create().unwrap();
        producer.init_transactions(PATIENCE).unwrap();
        producer.begin_transaction().unwrap();
        for _ in 0..records {
            producer.send(BaseRecord::<str, str>::to(&topic).partition(0).payload("in a transaction")).unwrap();
        }
        producer.flush(PATIENCE).unwrap();
        let end = if commits { producer.commit_transaction(PATIENCE) } else { producer.abort_transaction(PATIENCE) };
        end.unwrap();
    };
    tokio::task::spawn_blocking(run).await.unwrap();
}

#[tokio::test]
async fn marks_and_aborted_records_are_not_behind_anybody() {
    let config = Config::plaintext(&test_support::kafka().await.bootstrap_servers);
    let topic = test_support::topic("transactions");
    kafka_sink::admin::create_topics(&config, &[(&topic, 3)]).await.unwrap();
    let group = format!("g-{topic}");
    let extents = async || kafka_sink::extents(&config, &topic, PATIENCE).await.unwrap();
    let lag = async || {
        let lags = kafka_sink::lag_of(&config, [(group.clone(), topic.clone())], PATIENCE).await.unwrap();
        lags[0].records
    };
    let ends = |first: i64| {
        [first, 0, 0]
            .into_iter()
            .zip(0..)
            .map(|(end, partition)| Extent { partition, begin: 0, end })
            .collect::<Vec<_>>()
    };
    assert_eq!(extents().await, ends(0));
    assert_eq!(lag().await, 0);

    // Nothing but what was aborted: more than one look back takes in.
    for _ in 0..20 {
        transaction(&config, &topic, 30, false).await;
    }
    assert_eq!(extents().await, ends(0));
    assert_eq!(lag().await, 0);

    transaction(&config, &topic, 5, true).await;
    transaction(&config, &topic, 40, false).await;
    let end = 20 * 31 + 5;
    assert_eq!(extents().await, ends(end));
    test_support::commit(config.client(), &group, &topic, &[Some(end - 2), None, None]).await;
    assert_eq!(lag().await, 2);
    // As a mapping of the service commits, that was given no mark, and as one that was.
    for past in [end, end + 1, end + 42] {
        test_support::commit(config.client(), &group, &topic, &[Some(past), None, None]).await;
        assert_eq!(lag().await, 0, "{past}");
    }
}

#[tokio::test]
async fn the_embedded_broker_s_topics_have_ends() {
    let (sink, topic) = sink("ends").await;
    let mut session = sink.session().unwrap();
    for n in 0..10 {
        session.send(&topic, format!("{n}").as_bytes(), b"value").await.unwrap();
    }
    session.flush(None).await.unwrap();
    let extents = kafka_sink::extents(&config().await, &topic, PATIENCE).await.unwrap();
    assert_eq!(extents.iter().map(|extent| extent.end - extent.begin).sum::<i64>(), 10);
    let error = kafka_sink::extents(&config().await, "no-such-topic", PATIENCE).await.unwrap_err();
    assert!(format!("{error:#}").starts_with("there is no topic no-such-topic"), "{error:#}");
}
