use kafka_sink::Rejected;
use lake::Announcement;
use stream::KafkaPosition;

/// Why an announcement will never do.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Unusable {
    #[error("not an announcement: {0}")]
    Malformed(serde_json::Error),
    #[error("{key} is not where a delivered file lies")]
    NotAPiece { key: String },
    #[error("{key} has {found} bytes where {announced} were announced: it has been changed after landing")]
    ObjectChanged { key: String, announced: u64, found: u64 },
    #[error("from_byte {from_byte} is not the beginning of a row of {key}")]
    NotARow { key: String, from_byte: u64 },
    #[error(
        "{key} was published more than {days} days ago: the counters can't know any more which of its rows they have"
    )]
    TooOld { key: String, days: u64 },
    #[error("{key} has not been published as a whole, so its rows can't be taken back or published again yet")]
    NotPublished { key: String },
    #[error("{key} was published under other rules, so its rows can't be taken back: the records would be others")]
    OtherRules { key: String },
}

/// Reads a message of `landed-files`.
pub(crate) fn parse(value: &[u8]) -> Result<Announcement, Unusable> {
    let announced: Announcement = serde_json::from_slice(value).map_err(Unusable::Malformed)?;
    match announced.piece() {
        Some(_) => Ok(announced),
        None => Err(Unusable::NotAPiece { key: announced.key }),
    }
}

impl Unusable {
    fn code(&self) -> &'static str {
        match self {
            Self::Malformed(_) | Self::NotAPiece { .. } | Self::NotARow { .. } => "bad_announcement",
            Self::ObjectChanged { .. } => "object_changed",
            Self::TooOld { .. } => "published_too_long_ago",
            Self::NotPublished { .. } => "not_published",
            Self::OtherRules { .. } => "other_rules",
        }
    }

    /// The record for the topic `rejected`; it stands for no row, as none was read.
    pub(crate) fn rejected<'a>(&self, value: &'a [u8], position: KafkaPosition<'a>) -> Rejected<'a> {
        Rejected { rows: 0, kafka: Some(position), ..Rejected::new(self.code(), self.to_string(), value) }
    }
}
