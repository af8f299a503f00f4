use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use stream::Lane;
use usage_store::LaneMemory;

/// Of how many lanes something is remembered: with at most 5 MB each, a third of the function's memory.
const MAX_REMEMBERED_LANES: usize = 8;

/// What this process remembers of each lane. An invocation holds the memory of a lane while it counts it, so that two
/// of the same lane take turns.
#[derive(Debug, Default)]
pub(crate) struct Lanes(Mutex<HashMap<Lane, Memory>>);

type Memory = Arc<tokio::sync::Mutex<LaneMemory>>;

impl Lanes {
    /// The memory of a lane, empty if there is none. Where there are too many, one that nobody uses is forgotten.
    pub(crate) fn memory(&self, lane: &Lane) -> Memory {
        let mut lanes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if lanes.len() >= MAX_REMEMBERED_LANES && !lanes.contains_key(lane) {
            let idle = lanes.iter().find(|(_, memory)| Arc::strong_count(memory) == 1).map(|(lane, _)| lane.clone());
            if let Some(idle) = idle {
                lanes.remove(&idle);
            }
        }
        Arc::clone(lanes.entry(lane.clone()).or_default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lane(partition: i32) -> Lane {
        Lane { epoch: 1, topic: "cdr-data".to_owned(), partition }
    }

    #[test]
    fn a_lane_has_one_memory_as_long_as_it_is_used() {
        let lanes = Lanes::default();
        let used = lanes.memory(&lane(0));
        for partition in 1..100 {
            lanes.memory(&lane(partition));
        }
        assert!(Arc::ptr_eq(&used, &lanes.memory(&lane(0))));
        assert_eq!(lanes.0.lock().unwrap().len(), MAX_REMEMBERED_LANES);
    }
}
