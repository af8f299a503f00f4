use std::fmt;

use serde::Deserialize;

/// One ordered log: a topic's partition, within a stream epoch. Text form: `1/cdr-data/0`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Lane {
    /// The stream epoch's number.
    pub epoch: u32,
    /// The topic's name.
    pub topic: String,
    /// The partition's number.
    pub partition: i32,
}

impl fmt::Display for Lane {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}/{}", self.epoch, self.topic, self.partition)
    }
}

/// The stream epoch. It is raised when a topic is created again or gets another number of partitions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub struct Epoch {
    /// Its number.
    #[serde(rename = "STREAM_EPOCH", default = "first")]
    pub number: u32,
}

fn first() -> u32 {
    1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_epoch_needs_no_variable() {
        let read = |json: &str| serde_json::from_str::<Epoch>(json).map(|epoch| epoch.number).ok();
        assert_eq!(read("{}"), Some(1));
        assert_eq!(read(r#"{"STREAM_EPOCH": 7}"#), Some(7));
        assert_eq!(read(r#"{"STREAM_EPOCH": -1}"#), None);
    }

    #[test]
    fn a_lane_is_written_in_one_word() {
        let lane = Lane { epoch: 1, topic: "cdr-data".to_owned(), partition: 0 };
        assert_eq!(lane.to_string(), "1/cdr-data/0");
    }
}
