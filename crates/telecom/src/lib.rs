#![doc = include_str!("../README.md")]

mod column;
pub mod csv;
mod day;
mod file_name;
pub mod json;
mod kind;
pub mod message;
mod msisdn;
mod reason;
mod record;
mod record_rules;
mod rejected;
mod serde_text;
mod source;
mod tariff;
mod time;
mod usage;

pub use column::Column;
pub use csv::Provenance;
pub use day::{Day, InvalidDay, InvalidMonth, Month};
pub use file_name::{Compression, FileName, InvalidFileName};
pub use kind::{Category, RecordType, UnknownName, UsageKind};
pub use message::{Message, MessageFault};
pub use msisdn::{Digits, InvalidMsisdn, Msisdn};
pub use reason::{FileFault, Reason};
pub use record::{MAX_CALL_SECONDS, MAX_FIELD_BYTES, MAX_RECORD_BYTES, RULES};
pub use record_rules::RecordRules;
pub use rejected::{FilePosition, RAW_LIMIT_BYTES, Rejected};
pub use source::{Action, InvalidSourceId, Source, SourceId};
pub use tariff::{Cost, InvalidTariff, Tariff, TariffRow};
pub use time::{DEFAULT_ZONE, EventTime, InvalidTime, Moment, TimeFault, UnknownZone, Zone};
pub use usage::{Totals, UsageEvent, fold};
