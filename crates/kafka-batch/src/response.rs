use serde::Serialize;

/// The answer to a mapping with `ReportBatchItemFailures`: everything has been handled.
///
/// A function that has not handled everything fails: every mapping understands an `Err`, and delivers the event again.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct BatchResponse {
    batch_item_failures: [(); 0],
}

impl BatchResponse {
    /// Everything has been handled.
    #[must_use]
    pub fn success() -> Self {
        Self::default()
    }

    /// The answer's JSON.
    #[must_use]
    pub fn to_json(&self) -> String {
        serde_json::to_string(self).expect("an empty list always serializes")
    }
}
