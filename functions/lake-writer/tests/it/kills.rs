//! The function's own binary, killed at random.

use std::path::Path;
use std::time::Duration;

use expect_test::expect;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use test_support::Sandbox;

use crate::world::{TOPIC, Topic, World, event};

const BINARY: &str = env!("CARGO_BIN_EXE_lake-writer");
const PATIENCE: Duration = Duration::from_secs(60);
/// So many invocations are killed before they have answered.
const KILLS: usize = 30;

#[tokio::test]
async fn the_lake_has_the_topics_offsets_whenever_it_is_killed() {
    let mut rng = ChaCha8Rng::seed_from_u64(7);
    let world = World::new().await;
    let mut topic = Topic::new(2_000, &mut rng);
    let mut function = start(&world).await;
    let mut kills = 0;
    // Cut short somewhere between its beginning and what the last one took: that differs from machine to machine.
    let mut took = Duration::from_millis(50);
    while !topic.is_delivered() {
        let (batch, ends) = topic.next(40, &mut rng);
        let patience = if kills < KILLS { took.mul_f64(rng.random_range(0.0..1.2)) } else { PATIENCE };
        let began = std::time::Instant::now();
        match tokio::time::timeout(patience, function.invoke(kafka_batch::encode(&batch), PATIENCE)).await {
            Ok(answer) => {
                answer.unwrap();
                took = began.elapsed();
                topic.commit(ends);
            }
            Err(_) => {
                kills += 1;
                function.stop().await.unwrap();
                function = start(&world).await;
            }
        }
    }
    assert_eq!(kills, KILLS, "the topic was too short");
    assert_eq!(world.read(TOPIC).await, topic.log());
    function.stop().await.unwrap();
}

async fn start(world: &World) -> Sandbox {
    Sandbox::start(Path::new(BINARY), world.vars.iter().cloned()).await.unwrap()
}

#[tokio::test]
async fn answers_and_fails_as_the_service_expects() {
    let world = World::new().await;
    let mut function = start(&world).await;
    for _ in 0..2 {
        let answer = function.invoke(event("call-records"), PATIENCE).await.unwrap();
        expect![[r#"{"batchItemFailures":[]}"#]].assert_eq(std::str::from_utf8(&answer).unwrap());
    }
    assert_eq!(world.objects().await.len(), 2);
    let failed = function.invoke("{}", PATIENCE).await.unwrap_err().to_string();
    assert!(failed.starts_with(r#"{"errorType":"InvalidEvent""#), "{failed}");
    function.stop().await.unwrap();
}
