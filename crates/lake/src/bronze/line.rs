//! A batch of records as compressed lines, and back.

use std::io::{self, BufRead, BufReader, Read, Write};

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde::{Deserialize, Serialize};
use stream::{Header, Record};
use zstd::stream::{read::Decoder, write::Encoder};

/// Of 10,000 generated call records (`zstd -b1 -e9`, on 2 busy cores) level 1 leaves 1/10.8 at 457 MB/s, level 3 more
/// than that (1/10.2 at 194 MB/s), level 9 1/12.0 at 61 MB/s: a tenth less to keep is not worth seven times the time.
const LEVEL: i32 = 1;

/// A batch's payload has at most 6 MB, in which a byte takes four thirds of one (base64). As a line a byte is at most
/// six (`\u0000`), and a record's own fields are under 100: no object of ours is longer.
const LINES_LIMIT_BYTES: u64 = 64 << 20;

/// A record's line; `T` is `&str` where it is written and `String` where it is read.
#[derive(Serialize, Deserialize)]
struct Line<T> {
    offset: i64,
    timestamp_ms: i64,
    /// `Some(None)` is written as null; not there where the bytes are no text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    key: Option<Option<T>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    key_base64: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    value: Option<Option<T>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    value_base64: Option<String>,
    headers: Vec<HeaderLine<T>>,
}

#[derive(Serialize, Deserialize)]
struct HeaderLine<T> {
    name: T,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    value: Option<Option<T>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    value_base64: Option<String>,
}

/// How a line holds bytes: as text or, if they are not UTF-8, as base64.
fn written(bytes: Option<&[u8]>) -> (Option<Option<&str>>, Option<String>) {
    match bytes.map(|bytes| std::str::from_utf8(bytes).map_err(|_| bytes)) {
        None => (Some(None), None),
        Some(Ok(text)) => (Some(Some(text)), None),
        Some(Err(bytes)) => (None, Some(BASE64_STANDARD.encode(bytes))),
    }
}

fn bytes(text: Option<Option<String>>, base64: Option<String>) -> Result<Option<Vec<u8>>, base64::DecodeError> {
    match base64 {
        Some(base64) => BASE64_STANDARD.decode(base64).map(Some),
        None => Ok(text.flatten().map(String::into_bytes)),
    }
}

impl<'a> From<&'a Record> for Line<&'a str> {
    fn from(record: &'a Record) -> Self {
        let Record { offset, timestamp_ms, key, value, headers } = record;
        let (key, key_base64) = written(key.as_deref());
        let (value, value_base64) = written(value.as_deref());
        let headers = headers.iter().map(|Header { name, value }| {
            let (value, value_base64) = written(value.as_deref());
            HeaderLine { name: name.as_str(), value, value_base64 }
        });
        Self {
            offset: *offset,
            timestamp_ms: *timestamp_ms,
            key,
            key_base64,
            value,
            value_base64,
            headers: headers.collect(),
        }
    }
}

impl TryFrom<Line<String>> for Record {
    type Error = base64::DecodeError;

    fn try_from(line: Line<String>) -> Result<Self, base64::DecodeError> {
        let headers = line
            .headers
            .into_iter()
            .map(|HeaderLine { name, value, value_base64 }| Ok(Header { name, value: bytes(value, value_base64)? }));
        Ok(Self {
            offset: line.offset,
            timestamp_ms: line.timestamp_ms,
            key: bytes(line.key, line.key_base64)?,
            value: bytes(line.value, line.value_base64)?,
            headers: headers.collect::<Result<_, _>>()?,
        })
    }
}

/// The records' lines, compressed.
pub(super) async fn encode(records: &[Record]) -> io::Result<Vec<u8>> {
    let mut encoder = Encoder::new(Vec::new(), LEVEL)?;
    // A byte that changed in the store is then noticed.
    encoder.include_checksum(true)?;
    let mut line = Vec::new();
    let mut written_bytes = 0;
    for record in records {
        // Thousands of records are written in one go, on a runtime that other functions may share.
        tokio::task::coop::consume_budget().await;
        line.clear();
        serde_json::to_writer(&mut line, &Line::from(record))?;
        line.push(b'\n');
        written_bytes += line.len() as u64;
        if written_bytes > LINES_LIMIT_BYTES {
            return Err(io::Error::other(format!("an object has at most {LINES_LIMIT_BYTES} bytes of lines")));
        }
        encoder.write_all(&line)?;
    }
    encoder.finish()
}

/// The records of an object that begins with offset `first`; an error says what is wrong, without a record's content.
pub(super) fn decode(compressed: &[u8], first: i64) -> Result<Vec<Record>, String> {
    let lines = Decoder::with_buffer(compressed).map_err(|error| error.to_string())?;
    let mut lines = BufReader::new(lines.take(LINES_LIMIT_BYTES));
    let mut records: Vec<Record> = Vec::new();
    let mut text = Vec::new();
    loop {
        text.clear();
        let read = lines.read_until(b'\n', &mut text).map_err(|error| error.to_string())?;
        let line = records.len() + 1;
        if read == 0 {
            break;
        }
        if text.last() != Some(&b'\n') {
            return Err(format!("line {line} has no end (an object has at most {LINES_LIMIT_BYTES} bytes of lines)"));
        }
        let parsed: Line<String> = serde_json::from_slice(&text).map_err(|error| {
            format!("line {line} is no record: {:?} at column {}", error.classify(), error.column())
        })?;
        let record = Record::try_from(parsed).map_err(|error| format!("line {line}: {error}"))?;
        let in_order = records.last().map_or(record.offset == first, |before| before.offset < record.offset);
        if !in_order {
            return Err(format!("line {line} has offset {}, which is out of order", record.offset));
        }
        records.push(record);
    }
    if records.is_empty() { Err("it has no record".to_owned()) } else { Ok(records) }
}

#[cfg(test)]
mod tests {
    use expect_test::{Expect, expect};
    use proptest::prelude::*;

    use super::*;

    fn block_on<T>(future: impl Future<Output = T>) -> T {
        tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(future)
    }

    fn record(offset: i64, key: Option<&[u8]>, value: Option<&[u8]>) -> Record {
        Record {
            offset,
            timestamp_ms: 1_785_220_496_000,
            key: key.map(<[u8]>::to_vec),
            value: value.map(<[u8]>::to_vec),
            headers: Vec::new(),
        }
    }

    #[test]
    fn lines_are_as_documented() {
        let mut with_headers = record(9, None, Some(b"a\nb \xe2\x82\xac \0"));
        with_headers.headers = vec![
            Header { name: "trace".to_owned(), value: Some(b"1".to_vec()) },
            Header { name: "trace".to_owned(), value: Some(vec![0xff]) },
            Header { name: "none".to_owned(), value: None },
        ];
        let records =
            [record(7, Some(b"27821234567"), Some(b"{\"a\":1}")), record(8, Some(b"\xff"), None), with_headers];
        let compressed = block_on(encode(&records)).unwrap();
        expect![[r#"
            {"offset":7,"timestamp_ms":1785220496000,"key":"27821234567","value":"{\"a\":1}","headers":[]}
            {"offset":8,"timestamp_ms":1785220496000,"key_base64":"/w==","value":null,"headers":[]}
            {"offset":9,"timestamp_ms":1785220496000,"key":null,"value":"a\nb € \u0000","headers":[{"name":"trace","value":"1"},{"name":"trace","value_base64":"/w=="},{"name":"none","value":null}]}
        "#]]
        .assert_eq(&String::from_utf8(zstd::decode_all(&compressed[..]).unwrap()).unwrap());
        assert_eq!(decode(&compressed, 7).unwrap(), records);
    }

    #[test]
    fn what_is_no_object_of_ours_is_said() {
        fn check(lines: &[u8], expected: Expect) {
            expected.assert_eq(&decode(&zstd::encode_all(lines, 0).unwrap(), 7).unwrap_err());
        }
        let line = r#"{"offset":7,"timestamp_ms":1,"key":null,"value":"secret","headers":[]}"#;
        check(b"", expect!["it has no record"]);
        check(line.as_bytes(), expect!["line 1 has no end (an object has at most 67108864 bytes of lines)"]);
        check(format!("{line}\n{line}\n").as_bytes(), expect!["line 2 has offset 7, which is out of order"]);
        check(
            format!("{}\n", line.replace('7', "6")).as_bytes(),
            expect!["line 1 has offset 6, which is out of order"],
        );
        check(b"{\"offset\":\"secret\"}\n", expect!["line 1 is no record: Data at column 18"]);
        let whole = zstd::encode_all(format!("{line}\n").as_bytes(), 0).unwrap();
        expect!["incomplete frame"].assert_eq(&decode(&whole[..whole.len() - 3], 7).unwrap_err());
    }

    #[test]
    fn what_could_not_be_read_is_not_written() {
        let control = vec![1; LINES_LIMIT_BYTES as usize / 6];
        expect!["an object has at most 67108864 bytes of lines"]
            .assert_eq(&block_on(encode(&[record(0, None, Some(&control))])).unwrap_err().to_string());
    }

    fn any_bytes() -> impl Strategy<Value = Option<Vec<u8>>> {
        proptest::option::of(prop_oneof![
            any::<Vec<u8>>(),
            any::<String>().prop_map(String::into_bytes),
            Just(b"{\"msisdn\":\"27821234567\"}".to_vec()),
        ])
    }

    fn any_record() -> impl Strategy<Value = Record> {
        let header = (any::<String>(), any_bytes()).prop_map(|(name, value)| Header { name, value });
        let headers = proptest::collection::vec(header, 0..3);
        (any::<i64>(), any_bytes(), any_bytes(), headers).prop_map(|(timestamp_ms, key, value, headers)| Record {
            offset: 0,
            timestamp_ms,
            key,
            value,
            headers,
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn the_same_bytes_come_back(
            records in proptest::collection::vec(any_record(), 1..20),
            first in 0..i64::MAX / 2,
            step in 1..1_000_i64,
        ) {
            let mut records = records;
            for (record, number) in records.iter_mut().zip(0..) {
                record.offset = first + number * step;
            }
            let compressed = block_on(encode(&records)).unwrap();
            prop_assert_eq!(decode(&compressed, first).unwrap(), records);
        }
    }
}
