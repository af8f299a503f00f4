//! Headers and rows by the written rules (`crates/telecom/README.md`). Do not call `telecom` here.

use std::collections::BTreeSet;

use jiff::tz::TimeZone;

use super::count::{Amount, UsageKey};

const MAX_LINE_BYTES: usize = 65_536;
const MAX_FIELD_BYTES: usize = 8_192;
const MAX_COLUMNS: usize = 64;

const DATA_COLUMNS: &str = "msisdn tower_id up_bytes down_bytes data_type ip_address website_url event_datetime";
const VOICE_COLUMNS: &str = "msisdn tower_id call_type dest_nr call_duration_sec start_time";

/// The names in the header, in lower case, if rows can be read by it.
pub(super) fn columns(line: &[u8], record_type: &str) -> Option<Vec<String>> {
    let names: Vec<String> = fields(line)?.iter().map(|name| name.trim().to_ascii_lowercase()).collect();
    let needed = if record_type == "data" { DATA_COLUMNS } else { VOICE_COLUMNS };
    let is_complete = needed.split(' ').all(|column| names.iter().any(|name| name == column));
    let named: Vec<&String> = names.iter().filter(|name| !name.is_empty()).collect();
    let is_each_once = named.iter().collect::<BTreeSet<_>>().len() == named.len();
    (is_complete && is_each_once && names.len() <= MAX_COLUMNS).then_some(names)
}

/// Whether a first line that is no good header is one at all, and not a row.
pub(super) fn names_a_known_column(line: &[u8]) -> bool {
    let line = String::from_utf8_lossy(line).to_lowercase();
    let mut names = line.split([',', ';', '\t', '|']).map(|name| name.trim().trim_matches('"').trim());
    names.any(|name| DATA_COLUMNS.split(' ').chain(VOICE_COLUMNS.split(' ')).any(|column| column == name))
}

/// The fields of a line, if it is text with proper quotes.
pub(super) fn fields(line: &[u8]) -> Option<Vec<String>> {
    if line.len() > MAX_LINE_BYTES {
        return None;
    }
    let line = String::from_utf8(line.to_vec()).ok()?;
    if line.chars().any(|c| c < ' ' && c != '\t') {
        return None;
    }
    let mut fields = Vec::new();
    let mut chars = line.chars().peekable();
    loop {
        let mut field = String::new();
        if chars.next_if_eq(&'"').is_some() {
            loop {
                match chars.next()? {
                    '"' if chars.next_if_eq(&'"').is_some() => field.push('"'),
                    '"' => break,
                    c => field.push(c),
                }
            }
        } else {
            while let Some(c) = chars.next_if(|c| *c != ',') {
                if c == '"' {
                    return None;
                }
                field.push(c);
            }
        }
        fields.push(field);
        match chars.next() {
            None => return Some(fields),
            Some(',') => {}
            Some(_) => return None,
        }
    }
}

/// What an acceptable row says.
pub(super) fn row(
    line: &[u8],
    columns: &[String],
    record_type: &str,
    zone: &TimeZone,
) -> Option<(String, UsageKey, Amount)> {
    let fields = fields(line)?;
    if fields.len() != columns.len() {
        return None;
    }
    let field = |name: &str| {
        let at = columns.iter().position(|column| column == name)?;
        Some(fields[at].as_str()).filter(|field| field.len() <= MAX_FIELD_BYTES)
    };
    // Blanks around what is counted mean nothing.
    let value = |name: &str| field(name).map(|field| field.trim_matches([' ', '\t']));
    let msisdn = msisdn(value("msisdn")?)?;
    let tower = value("tower_id")?;
    if !tower.is_empty() {
        number(tower, u64::from(u32::MAX))?;
    }
    let mut amount = Amount { events: 1, ..Amount::default() };
    let (category, usage_type, time) = if record_type == "data" {
        amount.up_bytes = number(value("up_bytes")?, 10_000_000_000_000)?;
        amount.down_bytes = number(value("down_bytes")?, 10_000_000_000_000)?;
        field("ip_address").and(field("website_url"))?;
        ("data", value("data_type")?, value("event_datetime")?)
    } else {
        amount.seconds = number(value("call_duration_sec")?, 86_400)?;
        field("dest_nr")?;
        ("call", value("call_type")?, value("start_time")?)
    };
    let types = if record_type == "data" { "video audio image text application" } else { "voice video" };
    let usage_type = usage_type.to_ascii_lowercase();
    if !types.split(' ').any(|name| name == usage_type) {
        return None;
    }
    Some((msisdn, (day(time, zone)?, category, usage_type), amount))
}

fn is_digits(text: &str) -> bool {
    !text.is_empty() && text.chars().all(|c| c.is_ascii_digit())
}

fn msisdn(text: &str) -> Option<String> {
    let digits = text.strip_prefix('+').or(text.strip_prefix("00")).unwrap_or(text);
    (is_digits(digits) && !digits.starts_with('0') && (5..=15).contains(&digits.len())).then(|| digits.to_owned())
}

fn number(text: &str, max: u64) -> Option<u64> {
    let number = if is_digits(text) { text.parse().ok()? } else { return None };
    (number <= max).then_some(number)
}

/// The day of a time like `2024-01-01 10:15:30.123456+02:00`, fraction and offset optional, if it can be counted.
fn day(text: &str, zone: &TimeZone) -> Option<String> {
    if !text.is_ascii() || text.len() < 19 || !matches!(&text[10..11], " " | "T" | "t") {
        return None;
    }
    let (year, month, day) = date_of(&text[..10])?;
    let second = second_of_day(&text[11..19])?;
    let mut offset = &text[19..];
    if let Some(rest) = offset.strip_prefix('.') {
        let fraction = rest.chars().take_while(char::is_ascii_digit).count();
        if !(1..=9).contains(&fraction) {
            return None;
        }
        offset = &rest[fraction..];
    }
    let mut date = jiff::civil::date(year.try_into().ok()?, month.try_into().ok()?, day.try_into().ok()?);
    if !offset.is_empty() {
        // To UTC, and from there to the zone.
        let seconds = second - offset_seconds(offset.strip_prefix(' ').unwrap_or(offset))?;
        let utc = date.at(0, 0, 0, 0).checked_add(jiff::Span::new().seconds(seconds)).ok()?;
        date = TimeZone::UTC.to_timestamp(utc).ok()?.to_zoned(zone.clone()).date();
    }
    (1970..=2100).contains(&date.year()).then(|| date.to_string())
}

type Date = (i32, i32, i32);

/// `2024-01-01`
fn date_of(text: &str) -> Option<Date> {
    let mut parts = text.split('-');
    let (year, month, day) = (parts.next()?, parts.next()?, parts.next()?);
    if parts.next().is_some() || (year.len(), month.len(), day.len()) != (4, 2, 2) {
        return None;
    }
    if !is_digits(year) || !is_digits(month) || !is_digits(day) {
        return None;
    }
    let (year, month, day) = (year.parse().ok()?, month.parse().ok()?, day.parse().ok()?);
    ((1..=12).contains(&month) && (1..=days_of(year, month)).contains(&day)).then_some((year, month, day))
}

/// `10:15:30`; a leap second belongs to the minute that it ends.
fn second_of_day(text: &str) -> Option<i32> {
    let parts: Vec<&str> = text.split(':').collect();
    let [hour, minute, second] = parts[..] else { return None };
    if [hour, minute, second].iter().any(|part| part.len() != 2 || !is_digits(part)) {
        return None;
    }
    let (hour, minute, second): (i32, i32, i32) = (hour.parse().ok()?, minute.parse().ok()?, second.parse().ok()?);
    (hour < 24 && minute < 60 && second <= 60).then(|| hour * 3_600 + minute * 60 + second.min(59))
}

/// `Z`, `UTC`, `+02`, `+0200`, `+02:00`
fn offset_seconds(text: &str) -> Option<i32> {
    if matches!(text.to_ascii_uppercase().as_str(), "Z" | "UTC") {
        return Some(0);
    }
    let (sign, rest) = match text.strip_prefix('-') {
        Some(rest) => (-1, rest),
        None => (1, text.strip_prefix('+')?),
    };
    let padded = match rest.len() {
        2 => format!("{rest}:00:00"),
        4 => format!("{}:{}:00", &rest[..2], &rest[2..]),
        5 => format!("{rest}:00"),
        _ => return None,
    };
    Some(sign * second_of_day(&padded)?)
}

fn days_of(year: i32, month: i32) -> i32 {
    match month {
        4 | 6 | 9 | 11 => 30,
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        _ => 31,
    }
}

/// `20240101_120000`, the time in a file's name.
pub(super) fn is_file_time(text: &str) -> bool {
    let Some((date, time)) = text.split_once('_') else { return false };
    if date.len() != 8 || time.len() != 6 || !is_digits(date) || !is_digits(time) {
        return false;
    }
    let time_of_day = format!("{}:{}:{}", &time[..2], &time[2..4], &time[4..]);
    date_of(&format!("{}-{}-{}", &date[..4], &date[4..6], &date[6..])).is_some()
        && second_of_day(&time_of_day).is_some()
        && &time[4..] < "60"
}
