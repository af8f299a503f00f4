//! The files of a folder, counted once more. Deliberately plain and apart: it shares no code with the pipeline, only
//! the written rules (`crates/telecom/README.md`). Do not make it clever, and do not call `telecom` here.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::Read;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail, ensure};
use jiff::tz::TimeZone;

/// Day (`2024-01-01`), category, usage type: sorts as the API's answers do.
pub(super) type UsageKey = (String, &'static str, String);

/// What one subscriber used.
pub(super) type Usage = BTreeMap<UsageKey, Amount>;

/// Sums. Where they would overflow they stay at the end, and so differ from any true sum.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Amount {
    pub(super) up_bytes: u64,
    pub(super) down_bytes: u64,
    pub(super) seconds: u64,
    pub(super) events: u64,
}

impl Amount {
    pub(super) fn add(&mut self, other: &Self) {
        self.up_bytes = self.up_bytes.saturating_add(other.up_bytes);
        self.down_bytes = self.down_bytes.saturating_add(other.down_bytes);
        self.seconds = self.seconds.saturating_add(other.seconds);
        self.events = self.events.saturating_add(other.events);
    }
}

/// One file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct File {
    pub(super) rows: u64,
    pub(super) accepted: u64,
    /// The first file of the same type with the same stored bytes; itself, if there is none before.
    pub(super) first_of_its_bytes: String,
}

/// All files of a folder.
#[derive(Debug, Default)]
pub(super) struct Counted {
    pub(super) files: BTreeMap<String, File>,
    /// By the digits of the subscriber's number.
    pub(super) subscribers: BTreeMap<String, Usage>,
}

/// Counts files of call records, and those in folders; files with the same bytes add their usage once.
pub(super) fn count(paths: &[PathBuf], zone: &TimeZone) -> anyhow::Result<Counted> {
    let mut files: BTreeMap<String, PathBuf> = BTreeMap::new();
    for path in paths {
        let is_folder = path.metadata().with_context(|| format!("can't read {}", path.display()))?.is_dir();
        let found = if is_folder { list(path)? } else { vec![path.clone()] };
        for file in found {
            let name = file.file_name().unwrap_or_default().to_string_lossy().into_owned();
            if record_type(&name).is_none() {
                ensure!(is_folder, "{} is no file of call records, by its name", file.display());
            } else if let Some(other) = files.insert(name, file.clone()) {
                bail!(
                    "{} and {} have the same name: only one can have been delivered",
                    other.display(),
                    file.display()
                );
            }
        }
    }
    let mut counted = Counted::default();
    let mut seen: HashMap<(&str, usize, u64), Vec<String>> = HashMap::new();
    for name in files.keys() {
        let Some(record_type) = record_type(name) else { continue };
        let read = |name: &str| std::fs::read(&files[name]).with_context(|| format!("can't read {name}"));
        let bytes = read(name)?;
        let mut hasher = DefaultHasher::new();
        bytes.hash(&mut hasher);
        let alike = seen.entry((record_type, bytes.len(), hasher.finish())).or_default();
        let mut first = None;
        for candidate in alike.iter() {
            if read(candidate)? == bytes {
                first = Some(candidate.clone());
                break;
            }
        }
        let mut file = count_file(&bytes, record_type, zone, &mut |msisdn, key, amount| {
            if first.is_none() {
                counted.subscribers.entry(msisdn).or_default().entry(key).or_default().add(&amount);
            }
        });
        file.first_of_its_bytes = first.unwrap_or_else(|| {
            alike.push(name.clone());
            name.clone()
        });
        counted.files.insert(name.clone(), file);
    }
    Ok(counted)
}

fn list(folder: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let entries = std::fs::read_dir(folder).with_context(|| format!("can't list {}", folder.display()))?;
    entries.map(|entry| Ok(entry?.path())).collect()
}

/// `data` or `voice`, by the file's name: `cdr_data_20240101_120000.csv`, perhaps with `.gz` or `.zst`.
fn record_type(name: &str) -> Option<&'static str> {
    let name = name.strip_suffix(".gz").or(name.strip_suffix(".zst")).unwrap_or(name);
    let (record_type, time) = if let Some(rest) = name.strip_prefix("cdr_data_") {
        ("data", rest)
    } else {
        ("voice", name.strip_prefix("cdr_voice_")?)
    };
    let (date, time) = time.strip_suffix(".csv")?.split_once('_')?;
    if date.len() != 8 || time.len() != 6 || !is_digits(date) || !is_digits(time) {
        return None;
    }
    let time_of_day = format!("{}:{}:{}", &time[..2], &time[2..4], &time[4..]);
    date_of(&format!("{}-{}-{}", &date[..4], &date[4..6], &date[6..]))?;
    (minute_of_day(&time_of_day).is_some() && &time[4..] < "60").then_some(record_type)
}

/// Counts a file's rows and gives each accepted one to `add`.
fn count_file(
    stored: &[u8],
    record_type: &str,
    zone: &TimeZone,
    add: &mut dyn FnMut(String, UsageKey, Amount),
) -> File {
    let mut file = File::default();
    let (text, is_damaged) = decompress(stored);
    let text = text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&text);
    let mut lines: Vec<&[u8]> = text.split(|byte| *byte == b'\n').collect();
    // What follows the last line end: nothing, or a last row without a line end, or what was left of a row.
    let rest = lines.pop().unwrap_or_default();
    if is_damaged {
        file.rows += 1;
    } else if !rest.is_empty() {
        lines.push(rest);
    }
    let mut lines = lines.into_iter().map(|line| line.strip_suffix(b"\r").unwrap_or(line));
    let columns = lines.next().and_then(|header| columns(header, record_type));
    for line in lines.filter(|line| !line.is_empty()) {
        file.rows += 1;
        let row = columns.as_ref().and_then(|columns| row(line, columns, record_type, zone));
        if let Some((msisdn, key, amount)) = row {
            file.accepted += 1;
            add(msisdn, key, amount);
        }
    }
    file
}

/// The text of a file, and whether it ends too early.
fn decompress(stored: &[u8]) -> (Vec<u8>, bool) {
    let mut text = Vec::new();
    let outcome = if stored.starts_with(b"\x1f\x8b") {
        flate2::read::MultiGzDecoder::new(stored).read_to_end(&mut text)
    } else if stored.starts_with(b"\x28\xb5\x2f\xfd") {
        zstd::Decoder::new(stored).and_then(|mut decoder| decoder.read_to_end(&mut text))
    } else {
        text.extend_from_slice(stored);
        Ok(text.len())
    };
    (text, outcome.is_err())
}

const MAX_LINE_BYTES: usize = 65_536;
const MAX_FIELD_BYTES: usize = 8_192;
const MAX_COLUMNS: usize = 64;

/// The names in the header, if it is one.
fn columns(line: &[u8], record_type: &str) -> Option<Vec<String>> {
    let names = fields(line)?;
    let needed = match record_type {
        "data" => "msisdn tower_id up_bytes down_bytes data_type ip_address website_url event_datetime",
        _ => "msisdn tower_id call_type dest_nr call_duration_sec start_time",
    };
    let different: BTreeSet<&String> = names.iter().collect();
    let is_complete = needed.split(' ').all(|column| names.iter().any(|name| name == column));
    (is_complete && different.len() == names.len() && names.len() <= MAX_COLUMNS).then_some(names)
}

/// The fields of a line, if it is text with proper quotes.
fn fields(line: &[u8]) -> Option<Vec<String>> {
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
fn row(line: &[u8], columns: &[String], record_type: &str, zone: &TimeZone) -> Option<(String, UsageKey, Amount)> {
    let fields = fields(line)?;
    if fields.len() != columns.len() {
        return None;
    }
    let field = |name: &str| {
        let at = columns.iter().position(|column| column == name)?;
        Some(fields[at].as_str()).filter(|field| field.len() <= MAX_FIELD_BYTES)
    };
    let msisdn = msisdn(field("msisdn")?)?;
    number(field("tower_id")?, u64::from(u32::MAX))?;
    let mut amount = Amount { events: 1, ..Amount::default() };
    let (category, usage_type, time) = if record_type == "data" {
        amount.up_bytes = number(field("up_bytes")?, 10_000_000_000_000)?;
        amount.down_bytes = number(field("down_bytes")?, 10_000_000_000_000)?;
        field("ip_address").and(field("website_url"))?;
        ("data", field("data_type")?, field("event_datetime")?)
    } else {
        amount.seconds = number(field("call_duration_sec")?, 86_400)?;
        field("dest_nr")?;
        ("call", field("call_type")?, field("start_time")?)
    };
    let types = if record_type == "data" { "video audio image text application" } else { "voice video" };
    if !types.split(' ').any(|name| name == usage_type) {
        return None;
    }
    Some((msisdn, (day(time, zone)?, category, usage_type.to_owned()), amount))
}

fn is_digits(text: &str) -> bool {
    !text.is_empty() && text.chars().all(|c| c.is_ascii_digit())
}

fn msisdn(text: &str) -> Option<String> {
    let text = text.trim_matches(' ');
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
    let minute = minute_of_day(&text[11..19])?;
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
        // To UTC, and from there to the zone. No zone's clocks change within a minute.
        let utc = date.at(0, 0, 0, 0).checked_add(jiff::Span::new().minutes(minute - offset_minutes(offset)?)).ok()?;
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

/// `10:15:30`; a leap second is the 60th.
fn minute_of_day(text: &str) -> Option<i32> {
    let parts: Vec<&str> = text.split(':').collect();
    let [hour, minute, second] = parts[..] else { return None };
    if [hour, minute, second].iter().any(|part| part.len() != 2 || !is_digits(part)) {
        return None;
    }
    let (hour, minute, second): (i32, i32, i32) = (hour.parse().ok()?, minute.parse().ok()?, second.parse().ok()?);
    (hour < 24 && minute < 60 && second <= 60).then_some(hour * 60 + minute)
}

/// `Z`, `+02`, `+0200`, `+02:00`
fn offset_minutes(text: &str) -> Option<i32> {
    if matches!(text, "Z" | "z") {
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
    Some(sign * minute_of_day(&padded)?)
}

fn days_of(year: i32, month: i32) -> i32 {
    match month {
        4 | 6 | 9 | 11 => 30,
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        _ => 31,
    }
}
