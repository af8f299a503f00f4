/// One record of a topic's partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// The offset in the partition.
    pub offset: i64,
    /// Kafka's timestamp, in milliseconds since 1970-01-01 UTC.
    pub timestamp_ms: i64,
    /// The key's bytes; `None` if the record has no key.
    pub key: Option<Vec<u8>>,
    /// The value's bytes; `None` is a tombstone, which is not the same as an empty value.
    pub value: Option<Vec<u8>>,
    /// The headers in their order; a name may occur more than once.
    pub headers: Vec<Header>,
}

/// One header of a record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header {
    /// The header's name.
    pub name: String,
    /// The value's bytes; Kafka allows a header without a value.
    pub value: Option<Vec<u8>>,
}
