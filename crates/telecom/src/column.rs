//! The columns of the operator's files, which are also the fields of the topics' JSON.

use std::fmt;

/// A column of a call detail record. `Display` gives its name in the files.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "the names are the files' own, and `Column::as_str` shows them")]
pub enum Column {
    Msisdn,
    TowerId,
    UpBytes,
    DownBytes,
    DataType,
    IpAddress,
    WebsiteUrl,
    EventDatetime,
    CallType,
    DestNr,
    CallDurationSec,
    StartTime,
}

impl Column {
    pub(crate) const DATA: [Self; 8] = [
        Self::Msisdn,
        Self::TowerId,
        Self::UpBytes,
        Self::DownBytes,
        Self::DataType,
        Self::IpAddress,
        Self::WebsiteUrl,
        Self::EventDatetime,
    ];
    pub(crate) const VOICE: [Self; 6] =
        [Self::Msisdn, Self::TowerId, Self::CallType, Self::DestNr, Self::CallDurationSec, Self::StartTime];

    /// Its name in the files.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Msisdn => "msisdn",
            Self::TowerId => "tower_id",
            Self::UpBytes => "up_bytes",
            Self::DownBytes => "down_bytes",
            Self::DataType => "data_type",
            Self::IpAddress => "ip_address",
            Self::WebsiteUrl => "website_url",
            Self::EventDatetime => "event_datetime",
            Self::CallType => "call_type",
            Self::DestNr => "dest_nr",
            Self::CallDurationSec => "call_duration_sec",
            Self::StartTime => "start_time",
        }
    }
}

impl fmt::Display for Column {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}
