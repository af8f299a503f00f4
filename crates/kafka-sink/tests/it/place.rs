//! Where groups stand, and what comes to the topic `rejected`.

use kafka_sink::{Config, Moved, Place, Rejected, Rejections, Seat, Sink};
use rdkafka::consumer::{BaseConsumer, Consumer};
use stream::KafkaPosition;

use super::*;

#[tokio::test]
async fn only_a_group_that_nobody_runs_is_moved() {
    for config in [config().await, Config::plaintext(&test_support::kafka().await.bootstrap_servers)] {
        let topic = test_support::topic("place");
        kafka_sink::admin::create_topics(&config, &[(&topic, 2)]).await.unwrap();
        let seat = Seat { group: format!("g-{topic}"), topic: topic.clone(), partition: 1 };
        let place = async || seat.place(&config, PATIENCE).await.unwrap();
        let may_read = async || kafka_sink::may_read(&config, &seat.group, &topic, PATIENCE).await.unwrap();
        may_read().await;
        assert_eq!(place().await, Place { committed: None, members: 0 });
        assert_eq!(seat.move_to(&config, 7).await.unwrap(), Moved::Yes);
        assert_eq!(place().await, Place { committed: Some(7), members: 0 });

        let mut client = config.client();
        client.set("group.id", &seat.group).set("session.timeout.ms", "6000");
        let member: BaseConsumer = client.create().unwrap();
        member.subscribe(&[&topic]).unwrap();
        let member = tokio::task::spawn_blocking(move || {
            while member.assignment().unwrap().count() == 0 {
                assert!(member.poll(Duration::from_millis(50)).is_none_or(|polled| polled.is_err()));
            }
            member
        });
        let member = member.await.unwrap();
        assert_eq!(seat.move_to(&config, 9).await.unwrap(), Moved::HasMembers);
        may_read().await;
        assert_eq!(place().await, Place { committed: Some(7), members: 1 });
        tokio::task::spawn_blocking(move || drop(member)).await.unwrap();
        test_support::eventually(PATIENCE, async || place().await.members == 0).await;
        assert_eq!(seat.move_to(&config, 9).await.unwrap(), Moved::Yes);
    }
}

#[tokio::test]
async fn rejected_records_are_read_from_a_moment_on() {
    let name = test_support::topic("rejected");
    let vars = [("KAFKA_BROKERS", test_support::broker().await), ("REJECTED_TOPIC", &name)];
    let config: Config = vars.into_iter().collect::<lambda_boot::Vars>().read().unwrap();
    assert!(Rejections::since(&config, 0, PATIENCE).is_err());
    kafka_sink::admin::create_topics(&config, &[(&name, 3)]).await.unwrap();
    let sink = Sink::new(&config).unwrap();
    let reject = async |offset| {
        let mut session = sink.session().unwrap();
        let kafka = Some(KafkaPosition { topic: "calls".into(), partition: 2, offset });
        session.reject(&Rejected { kafka, ..Rejected::new("undeliverable", "too large", b"raw") }).await.unwrap();
        session.flush(None).await.unwrap();
    };
    reject(1).await;
    reject(2).await;
    let read = |wanted: &'static str, within| {
        let config = config.clone();
        tokio::task::spawn_blocking(move || {
            let rejections = Rejections::since(&config, 0, PATIENCE).unwrap();
            let found = rejections.next(within, |key| key == wanted).unwrap();
            found.map(|rejected| rejected.kafka.unwrap().offset)
        })
    };
    assert_eq!(read("calls/2/2", PATIENCE).await.unwrap(), Some(2));
    assert_eq!(read("calls/2/3", Duration::from_secs(1)).await.unwrap(), None);
}
