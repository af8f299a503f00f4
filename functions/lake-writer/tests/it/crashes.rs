//! Invocations that end at any of their waits, and others that wake up late.

use lake_writer::handle;
use lambda_boot::Deadline;
use rand::RngExt;
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use test_support::cut_off;

use crate::world::{TOPIC, Topic, World};

/// The mapping delivers a batch again, with other boundaries, until it is answered. Meanwhile an owner from before writes
/// its own.
#[tokio::test]
async fn the_lake_has_the_topics_offsets_whatever_crashes() {
    let mut crashes = 0;
    for seed in 0..8 {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let world = World::new().await;
        let mut topic = Topic::new(40, &mut rng);
        while !topic.is_delivered() {
            let (batch, ends) = topic.next(8, &mut rng);
            let late = topic.late(8, &mut rng);
            let invocation = cut_off(handle(&world.deps, batch, Deadline::NONE), rng.random_range(0..20));
            let zombie = cut_off(handle(&world.deps, late, Deadline::NONE), rng.random_range(0..20));
            let (answered, _) = tokio::join!(invocation, zombie);
            match answered {
                Some(outcome) => {
                    outcome.unwrap();
                    topic.commit(ends);
                }
                None => crashes += 1,
            }
        }
        assert_eq!(world.read(TOPIC).await, topic.log(), "seed {seed}");
    }
    assert!(crashes > 20, "{crashes} crashes are too few");
}
