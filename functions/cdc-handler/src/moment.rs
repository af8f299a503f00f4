use jiff::Timestamp;

/// Where a change stands among all changes of the source database: greater is newer. It is made of the message alone.
///
/// A change's lsn is where it lies in the source's write-ahead log. Transactions write there at the same time, and the
/// one that commits later may have written earlier; what counts is the order of the commits. So a change stands at its
/// lsn or, where that is lower, at the end of the commit that came before its own transaction's.
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
    /// When the transaction committed or, for a row of a snapshot, when the snapshot was taken; by clocks, so it decides
    /// nothing.
    pub(crate) at: Timestamp,
}
