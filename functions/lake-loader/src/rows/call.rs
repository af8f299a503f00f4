//! Call records.

use telecom::Column;
use telecom::json::FullRecord;

use super::{Value, number, text, time};

/// The values of `cdr_data.data`.
pub(super) fn data_values(call: &FullRecord<'_>, next: &mut impl FnMut(Option<Value<'_>>)) {
    let record = &call.record;
    subscriber(call, next);
    next(number(record.event.totals.up_bytes));
    next(number(record.event.totals.down_bytes));
    next(text(record.event.kind.usage_type()));
    next(call.text(Column::IpAddress).and_then(text));
    next(call.text(Column::WebsiteUrl).and_then(text));
    next(time(record.time));
    provenance(call, next);
}

/// The values of `cdr_data.voice`.
pub(super) fn voice_values(call: &FullRecord<'_>, next: &mut impl FnMut(Option<Value<'_>>)) {
    let record = &call.record;
    subscriber(call, next);
    next(text(record.event.kind.usage_type()));
    next(call.text(Column::DestNr).and_then(text));
    next(number(record.event.totals.seconds));
    next(time(record.time));
    provenance(call, next);
}

fn subscriber(call: &FullRecord<'_>, next: &mut impl FnMut(Option<Value<'_>>)) {
    next(text(&call.record.event.msisdn.digits()));
    // The tables' towers are numbers: 0 if the record names no tower.
    next(number(call.record.tower_id.unwrap_or_default().into()));
}

fn provenance(call: &FullRecord<'_>, next: &mut impl FnMut(Option<Value<'_>>)) {
    next(call.file().as_ref().and_then(|file| text(file.as_str())));
    let source = call.record.source;
    let id = source.map(|source| source.id.to_string());
    next(id.as_deref().and_then(text));
    next(source.and_then(|source| number(source.line)));
    next(call.ingested_at_us().map(Value::Number));
}
