use std::borrow::Cow;

use serde::{Deserialize, Serialize};

/// Where a record lies in a topic.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KafkaPosition<'a> {
    /// The topic's name.
    pub topic: Cow<'a, str>,
    /// The partition's number.
    pub partition: i32,
    /// The offset.
    pub offset: i64,
}
