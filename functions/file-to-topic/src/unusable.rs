use kafka_sink::{KafkaPosition, Rejected};
use lake::Announcement;

/// Why an announcement will never do.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Unusable {
    #[error("not an announcement: {0}")]
    Malformed(serde_json::Error),
    #[error("{key} has {found} bytes where {announced} were announced: it has been changed after landing")]
    ObjectChanged { key: String, announced: u64, found: u64 },
    #[error("from_byte {from_byte} is not the beginning of a row of {key}")]
    NotARow { key: String, from_byte: u64 },
}

/// Reads a message of `landed-files`.
pub(crate) fn parse(value: &[u8]) -> Result<Announcement, Unusable> {
    serde_json::from_slice(value).map_err(Unusable::Malformed)
}

impl Unusable {
    fn code(&self) -> &'static str {
        match self {
            Self::Malformed(_) | Self::NotARow { .. } => "bad_announcement",
            Self::ObjectChanged { .. } => "object_changed",
        }
    }

    /// The record for the topic `rejected`; it stands for no row, as none was read.
    pub(crate) fn rejected<'a>(&self, value: &'a [u8], position: KafkaPosition<'a>) -> Rejected<'a> {
        Rejected { rows: 0, kafka: Some(position), ..Rejected::new(self.code(), self.to_string(), value) }
    }
}
