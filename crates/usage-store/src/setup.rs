use std::time::{SystemTime, UNIX_EPOCH};

use stream::Lane;

use crate::{Buckets, RecordRules};

/// What a store is made with, or brought up to date.
#[derive(Clone, Debug)]
pub struct Setup {
    /// Over how many buckets the subscribers are spread.
    pub buckets: Buckets,
    /// By what is counted from now on.
    pub rules: RecordRules,
    /// How long the log of each lane of the current epoch is: the offset that its next record gets.
    pub ends: Vec<(Lane, i64)>,
    /// Now, in milliseconds since 1970-01-01 UTC.
    pub now_ms: i64,
}

/// The default buckets and rules, now; the logs' lengths are not known.
impl Default for Setup {
    fn default() -> Self {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let now_ms = i64::try_from(now.as_millis()).unwrap_or(i64::MAX);
        Self { buckets: Buckets::default(), rules: RecordRules::default(), ends: Vec::new(), now_ms }
    }
}
