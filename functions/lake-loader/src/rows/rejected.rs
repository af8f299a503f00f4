//! Rejected records, from the topic `rejected`.

use std::borrow::Cow;
use std::fmt;
use std::time::{Duration, UNIX_EPOCH};

use stream::Record;
use telecom::{EventTime, Rejected, Zone};

use super::{Unusable, Value, text};

/// The longest key, in bytes: that of a topic's record has at most 249 (the topic), 10 (the partition) and 19 digits;
/// an index of PostgreSQL takes no more than 2,700.
const MAX_KEY_BYTES: usize = 512;

pub(super) struct RejectedRow<'a> {
    pub(super) key: Cow<'a, str>,
    /// The time of publication: a record is published when it is rejected.
    pub(super) rejected_at: Option<EventTime>,
    rejected: Rejected<'static>,
    /// As PostgreSQL's signed type.
    rows: i64,
    line: Option<i64>,
}

impl<'a> RejectedRow<'a> {
    pub(super) fn read(record: &'a Record, value: &[u8], zone: &Zone) -> Result<Self, Unusable> {
        let rejected = Rejected::from_json(value).map_err(|_| unusable("it is not the JSON of a rejected record"))?;
        let key = match &record.key {
            Some(key) => Cow::Borrowed(str::from_utf8(key).map_err(|_| unusable("its key is not UTF-8"))?),
            None => Cow::Owned(rejected.key()),
        };
        if key.is_empty() || key.len() > MAX_KEY_BYTES {
            return Err(unusable("it has no key, or one that is too long"));
        }
        let file = rejected.file.as_ref();
        let texts = [&key, &rejected.reason, &rejected.detail].into_iter();
        let texts = texts.chain(file.into_iter().flat_map(|file| [&file.name, &file.source_id]));
        if texts.chain(rejected.kafka.as_ref().map(|kafka| &kafka.topic)).any(|text| text.contains('\0')) {
            return Err(unusable("a text of it has a NUL, which PostgreSQL cannot hold"));
        }
        let too_large = |_| unusable("a number of it is too large");
        let rows = i64::try_from(rejected.rows).map_err(too_large)?;
        let line = file.map(|file| i64::try_from(file.line)).transpose().map_err(too_large)?;
        let published_at = u64::try_from(record.timestamp_ms).ok();
        let published_at = published_at.and_then(|ms| UNIX_EPOCH.checked_add(Duration::from_millis(ms)));
        let rejected_at = published_at.and_then(|moment| EventTime::of(moment, zone).ok());
        Ok(Self { key, rejected_at, rejected, rows, line })
    }

    /// The values of `raw.rejected`.
    pub(super) fn values(&self, next: &mut impl FnMut(Option<Value<'_>>)) {
        let Rejected { reason, detail, file, kafka, raw, truncated, rows: _ } = &self.rejected;
        next(text(&self.key));
        next(text(reason));
        next(text(detail));
        next(Some(Value::Number(self.rows)));
        next(file.as_ref().and_then(|file| text(&file.name)));
        next(file.as_ref().and_then(|file| text(&file.source_id)));
        next(self.line.map(Value::Number));
        next(kafka.as_ref().and_then(|kafka| text(&kafka.topic)));
        next(kafka.as_ref().map(|kafka| Value::Number(kafka.partition.into())));
        next(kafka.as_ref().map(|kafka| Value::Number(kafka.offset)));
        next(Some(Value::Boolean(*truncated)));
        next(Some(Value::Bytes(raw)));
        next(self.rejected_at.and_then(super::time));
    }
}

/// Without the raw bytes and the key, which may be personal.
impl fmt::Debug for RejectedRow<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RejectedRow").field("reason", &self.rejected.reason).finish_non_exhaustive()
    }
}

fn unusable(detail: &str) -> Unusable {
    Unusable { reason: "bad_rejected", detail: detail.to_owned() }
}
