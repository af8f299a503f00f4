//! Records as bytes. Written by hand into one buffer a file: this is where a run spends its time.

use crate::plan::Clock;
use crate::records::{DataRecord, VoiceRecord};

/// A record's line in a CSV file, with its end of line. No value needs quoting.
pub(crate) fn data_line(out: &mut Vec<u8>, record: &DataRecord, clock: &mut Clock) {
    out.push(b'+');
    number(out, record.msisdn);
    for n in [record.tower_id, record.up_bytes, record.down_bytes] {
        out.push(b',');
        number(out, n.into());
    }
    out.push(b',');
    out.extend_from_slice(record.data_type.as_bytes());
    out.push(b',');
    address(out, record.ip_address);
    out.push(b',');
    website(out, record.website);
    out.push(b',');
    out.extend_from_slice(clock.at(record.second));
    out.push(b'\n');
}

/// A record's line in a CSV file, with its end of line. No value needs quoting.
pub(crate) fn voice_line(out: &mut Vec<u8>, record: &VoiceRecord, clock: &mut Clock) {
    out.push(b'+');
    number(out, record.msisdn);
    out.push(b',');
    number(out, record.tower_id.into());
    out.push(b',');
    out.extend_from_slice(record.call_type.as_bytes());
    out.extend_from_slice(b",+");
    number(out, record.dest_nr);
    out.push(b',');
    number(out, record.call_duration_sec.into());
    out.push(b',');
    out.extend_from_slice(clock.at(record.second));
    out.push(b'\n');
}

/// A record as a topic's JSON. No value needs escaping.
pub(crate) fn data_json(out: &mut Vec<u8>, record: &DataRecord, clock: &mut Clock) {
    out.extend_from_slice(br#"{"msisdn":"+"#);
    number(out, record.msisdn);
    out.extend_from_slice(br#"","tower_id":"#);
    number(out, record.tower_id.into());
    out.extend_from_slice(br#","up_bytes":"#);
    number(out, record.up_bytes.into());
    out.extend_from_slice(br#","down_bytes":"#);
    number(out, record.down_bytes.into());
    out.extend_from_slice(br#","data_type":""#);
    out.extend_from_slice(record.data_type.as_bytes());
    out.extend_from_slice(br#"","ip_address":""#);
    address(out, record.ip_address);
    out.extend_from_slice(br#"","website_url":""#);
    website(out, record.website);
    out.extend_from_slice(br#"","event_datetime":""#);
    out.extend_from_slice(clock.at(record.second));
    out.extend_from_slice(br#""}"#);
}

/// A record as a topic's JSON. No value needs escaping.
pub(crate) fn voice_json(out: &mut Vec<u8>, record: &VoiceRecord, clock: &mut Clock) {
    out.extend_from_slice(br#"{"msisdn":"+"#);
    number(out, record.msisdn);
    out.extend_from_slice(br#"","tower_id":"#);
    number(out, record.tower_id.into());
    out.extend_from_slice(br#","call_type":""#);
    out.extend_from_slice(record.call_type.as_bytes());
    out.extend_from_slice(br#"","dest_nr":"+"#);
    number(out, record.dest_nr);
    out.extend_from_slice(br#"","call_duration_sec":"#);
    number(out, record.call_duration_sec.into());
    out.extend_from_slice(br#","start_time":""#);
    out.extend_from_slice(clock.at(record.second));
    out.extend_from_slice(br#""}"#);
}

/// A number in decimal digits.
pub(crate) fn number(out: &mut Vec<u8>, mut n: u64) {
    let mut digits = [0; 20];
    let mut first = digits.len();
    loop {
        first -= 1;
        digits[first] = b'0' + (n % 10) as u8;
        n /= 10;
        if n == 0 {
            break;
        }
    }
    out.extend_from_slice(&digits[first..]);
}

fn address(out: &mut Vec<u8>, octets: [u8; 4]) {
    for (at, octet) in octets.into_iter().enumerate() {
        if at > 0 {
            out.push(b'.');
        }
        number(out, octet.into());
    }
}

fn website(out: &mut Vec<u8>, (beginning, page): (&str, u32)) {
    out.extend_from_slice(beginning.as_bytes());
    number(out, page.into());
}
