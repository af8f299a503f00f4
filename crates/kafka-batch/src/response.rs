use serde::Serialize;

/// The answer to a mapping with `ReportBatchItemFailures`: from where each partition is to be delivered again.
///
/// Use it only if the template sets `ReportBatchItemFailures` (which needs provisioned mode): any other mapping treats
/// every answer as a success. Every mapping understands an `Err` of the function.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct BatchResponse {
    batch_item_failures: Vec<Failure>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
struct Failure {
    item_identifier: Item,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
struct Item {
    partition: String,
    offset: i64,
}

impl BatchResponse {
    /// Everything has been handled.
    #[must_use]
    pub fn success() -> Self {
        Self::default()
    }

    /// Asks for `topic`'s `partition` again from `offset` on; of several offsets of a partition the lowest counts.
    pub fn retry_from(&mut self, topic: &str, partition: i32, offset: i64) {
        let partition = format!("{topic}-{partition}");
        match self.batch_item_failures.iter_mut().find(|failure| failure.item_identifier.partition == partition) {
            Some(Failure { item_identifier: item }) => item.offset = item.offset.min(offset),
            None => self.batch_item_failures.push(Failure { item_identifier: Item { partition, offset } }),
        }
    }

    /// The answer's JSON.
    #[must_use]
    pub fn to_json(&self) -> String {
        serde_json::to_string(self).expect("strings and numbers always serialize")
    }
}
