use jiff::Timestamp;

/// A change's place among all changes of the source database: greater is newer. The message alone decides it.
///
/// A change's lsn is its place in the source's write-ahead log. Transactions write there at the same time, so one that
/// commits later may have written earlier; what counts is the order of the commits. So a change's place is its lsn or,
/// if that is higher, the end of the commit before its own transaction's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Position {
    /// The lsn, or the end of the commit before.
    pub(crate) stream_lsn: i64,
    /// A row of a snapshot is older than a change at the same place: the snapshot shows what was before it.
    pub(crate) is_streamed: bool,
    /// The lsn: the order within a transaction.
    pub(crate) source_lsn: i64,
}

/// Where and when something happened in the source.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Moment {
    /// Decides what is newer.
    pub(crate) position: Position,
    /// When the transaction committed or, for a row of a snapshot, when the snapshot was taken; by clocks, so it
    /// decides nothing.
    pub(crate) at: Timestamp,
}
