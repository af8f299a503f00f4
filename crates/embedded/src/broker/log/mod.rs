//! The log of a partition: segment files of batches, and what is known of their producers.

mod batch;
mod partition;
mod producers;
mod records;
mod segment;
#[cfg(test)]
mod tests;

pub(super) use batch::Batch;
pub(super) use partition::{Partition, Slice};
pub(super) use records::Moment;

/// There is one node, which always leads: nobody else ever did.
pub(super) const LEADER_EPOCH: i32 = 0;
