//! How far groups are behind, on the embedded broker and on Kafka.

use kafka_sink::{Config, GroupLag, Sink};
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
