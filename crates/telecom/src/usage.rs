//! What a record adds, and sums of it.

use std::collections::BTreeMap;

use crate::day::Day;
use crate::kind::UsageKind;
use crate::msisdn::Msisdn;

/// Exact sums of usage. Data has bytes, calls have seconds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct Totals {
    /// Bytes sent by the subscriber.
    pub up_bytes: u64,
    /// Bytes received by the subscriber.
    pub down_bytes: u64,
    /// Seconds of calls.
    pub seconds: u64,
    /// Records.
    pub events: u64,
}

/// What one record adds to a subscriber's day.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct UsageEvent {
    /// The subscriber.
    pub msisdn: Msisdn,
    /// The civil day of the event in the operator's zone.
    pub day: Day,
    /// What was used.
    pub kind: UsageKind,
    /// How much: one event.
    pub totals: Totals,
}

impl Totals {
    /// The sum, or `None` if a figure does not fit.
    ///
    /// It takes more than a million records of the largest allowed amount (see
    /// [`MAX_RECORD_BYTES`](crate::MAX_RECORD_BYTES)) on one subscriber's day to get there.
    #[must_use]
    pub fn checked_add(self, other: Self) -> Option<Self> {
        Some(Self {
            up_bytes: self.up_bytes.checked_add(other.up_bytes)?,
            down_bytes: self.down_bytes.checked_add(other.down_bytes)?,
            seconds: self.seconds.checked_add(other.seconds)?,
            events: self.events.checked_add(other.events)?,
        })
    }

    /// Adds what an event brings; `None`, with nothing added, if a figure would not fit.
    #[must_use]
    pub fn add_event(&mut self, event: &UsageEvent) -> Option<()> {
        *self = self.checked_add(event.totals)?;
        Some(())
    }

    /// Takes back what an event has brought; `None`, with nothing taken, if a figure would fall below zero.
    #[must_use]
    pub fn take_event(&mut self, event: &UsageEvent) -> Option<()> {
        let Totals { up_bytes, down_bytes, seconds, events } = event.totals;
        *self = Self {
            up_bytes: self.up_bytes.checked_sub(up_bytes)?,
            down_bytes: self.down_bytes.checked_sub(down_bytes)?,
            seconds: self.seconds.checked_sub(seconds)?,
            events: self.events.checked_sub(events)?,
        };
        Some(())
    }

    /// Bytes up and down together, which is what data is billed by.
    pub fn bytes(&self) -> u128 {
        u128::from(self.up_bytes) + u128::from(self.down_bytes)
    }
}

/// One pass over distinct records: each subscriber's daily totals, or `None` if a figure does not fit.
///
/// This is the definition that every stored total is compared with.
#[must_use]
pub fn fold(events: impl IntoIterator<Item = UsageEvent>) -> Option<BTreeMap<(Msisdn, Day, UsageKind), Totals>> {
    let mut sums = BTreeMap::<_, Totals>::new();
    for event in events {
        sums.entry((event.msisdn, event.day, event.kind)).or_default().add_event(&event)?;
    }
    Some(sums)
}
