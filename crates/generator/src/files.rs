use std::io;

use bytes::Bytes;
use telecom::RecordType;

use crate::faults::{Damage, FileFaults};
use crate::plan::Plan;
use crate::records;
use crate::render::{data_line, voice_line};
use crate::spoil::spoil;

/// A file as it is delivered.
pub(crate) struct File {
    pub(crate) name: String,
    pub(crate) content: Bytes,
}

/// A line's usual length, with room to spare: the buffer of a file is allocated once.
const LINE_BYTES: usize = 128;

/// A set's files: one of each type, then those that are delivered twice.
pub(crate) fn files(plan: &Plan, set: u64) -> io::Result<Vec<File>> {
    let mut files = Vec::new();
    let mut copies = Vec::new();
    for record_type in RecordType::ALL {
        let faults = FileFaults::of(plan, record_type, set);
        let mut content = clean(plan, record_type, set);
        if !faults.is_none() {
            content = spoil(&content, record_type, &faults)?;
        }
        let content = Bytes::from(content);
        let (name, second_name) = names(plan, record_type, set, &faults);
        copies.extend(second_name.map(|name| File { name, content: content.clone() }));
        files.push(File { name, content });
    }
    files.append(&mut copies);
    Ok(files)
}

/// The name of a set's file of one type, and the one of its second delivery.
pub(crate) fn names(plan: &Plan, record_type: RecordType, set: u64, faults: &FileFaults) -> (String, Option<String>) {
    let suffix = faults.shape.suffix();
    let second = faults.delivered_again.map(|again| plan.second_name(record_type, set, again) + suffix);
    (plan.name(record_type, set) + suffix, second)
}

/// How many rows a file has, and how many of them must be accepted.
pub(crate) fn rows(plan: &Plan, set: u64, faults: &FileFaults) -> (u32, u32) {
    let rows = plan.rows_in(set);
    let bad = u32::try_from(faults.bad_rows.len()).unwrap_or(rows);
    match faults.damage {
        None => (rows, rows - bad),
        Some(Damage::Cut(_)) => (rows, rows - bad - 1),
        Some(Damage::BadHeader(_)) => (rows, 0),
        Some(Damage::Empty | Damage::HeaderOnly) => (0, 0),
    }
}

/// The file as it would be without faults.
fn clean(plan: &Plan, record_type: RecordType, set: u64) -> Vec<u8> {
    let mut out = Vec::with_capacity((plan.rows_in(set) as usize + 1) * LINE_BYTES);
    let mut clock = plan.clock();
    telecom::csv::write_header(&mut out, record_type);
    match record_type {
        RecordType::Data => records::data(plan, set).for_each(|record| data_line(&mut out, &record, &mut clock)),
        RecordType::Voice => records::voice(plan, set).for_each(|record| voice_line(&mut out, &record, &mut clock)),
    }
    out
}
