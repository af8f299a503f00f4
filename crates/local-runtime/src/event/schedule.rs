//! The event of a schedule.

use bytes::Bytes;
use jiff::{RoundMode, Timestamp, TimestampRound, Unit};
use serde_json::json;

use super::{ACCOUNT, REGION};
use crate::template::Schedule;

/// The payload of one firing: the template's `Input` as it is, else the service's default event.
#[must_use]
pub fn event(schedule: &Schedule, fired: Timestamp, id: &str) -> Bytes {
    if let Some(input) = &schedule.input {
        return Bytes::from(input.clone());
    }
    let name = &schedule.name;
    let (source, resource, detail) = if schedule.is_scheduler {
        ("aws.scheduler", format!("arn:aws:scheduler:{REGION}:{ACCOUNT}:schedule/default/{name}"), json!("{}"))
    } else {
        ("aws.events", format!("arn:aws:events:{REGION}:{ACCOUNT}:rule/{name}"), json!({}))
    };
    let whole_seconds = TimestampRound::new().smallest(Unit::Second).mode(RoundMode::Trunc);
    let seconds = fired.round(whole_seconds).unwrap_or(fired);
    let event = json!({
        "version": "0",
        "id": id,
        "detail-type": "Scheduled Event",
        "source": source,
        "account": ACCOUNT,
        "time": seconds.to_string(),
        "region": REGION,
        "resources": [resource],
        "detail": detail,
    });
    Bytes::from(event.to_string())
}
