use telecom::Day;

/// An hour of a tower: what live activity is counted by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TowerHour {
    /// The tower.
    pub tower_id: u32,
    /// The day of the events, in the operator's zone.
    pub day: Day,
    /// The hour of the events, in the operator's zone: 0–23.
    pub hour: u8,
}
