//! What holds for every input.

use std::time::SystemTime;

use proptest::prelude::*;
use telecom::csv::{Header, Scratch, write_row};
use telecom::{
    Cost, Day, EventTime, FileName, Msisdn, Provenance, RecordType, SourceId, Tariff, Totals, UsageEvent, UsageKind,
    Zone, fold, json,
};

fn msisdn() -> impl Strategy<Value = Msisdn> {
    (10_000..1_000_000_000_000_000_u64).prop_map(|number| Msisdn::from_u64(number).unwrap())
}

fn day() -> impl Strategy<Value = Day> {
    (0..=Day::MAX.epoch_days()).prop_map(|days| Day::from_epoch_days(days).unwrap())
}

fn totals() -> impl Strategy<Value = Totals> {
    (0..1_u64 << 62, 0..1_u64 << 62, 0..1_u64 << 40, 0..1_u64 << 32)
        .prop_map(|(up_bytes, down_bytes, seconds, events)| Totals { up_bytes, down_bytes, seconds, events })
}

fn usage() -> impl Strategy<Value = (UsageKind, Totals)> {
    (proptest::sample::select(UsageKind::ALL.to_vec()), totals())
}

/// What a field may hold: the characters that CSV and JSON treat in their own ways, and some others.
fn free_text() -> impl Strategy<Value = String> {
    proptest::collection::vec(
        proptest::sample::select(vec!['"', ',', '\\', '\t', ' ', '\'', '{', 'a', 'é', '€', '😀', '\u{feff}']),
        0..12,
    )
    .prop_map(|characters| characters.into_iter().collect())
}

fn time() -> impl Strategy<Value = String> {
    let fraction = proptest::sample::select(vec!["", ".5", ".123456"]);
    let offset = proptest::sample::select(vec!["", "", "Z", "+02:00", "-1130"]);
    (day(), 0..24, 0..60, 0..60, fraction, offset)
        .prop_map(|(day, h, m, s, fraction, offset)| format!("{day} {h:02}:{m:02}:{s:02}{fraction}{offset}"))
}

/// A record type and the fields of one row in the type's order.
fn row() -> impl Strategy<Value = (RecordType, Vec<String>)> {
    let data_type = proptest::sample::select(vec!["video", "audio", "image", "text", "application"]);
    let data =
        (msisdn(), 0..5_000_u32, 0..1_000_000_u64, 0..1_000_000_u64, data_type, free_text(), free_text(), time());
    let data = data.prop_map(|(msisdn, tower, up, down, data_type, ip, url, time)| {
        let fields = [
            &format!("+{msisdn}"),
            &tower.to_string(),
            &up.to_string(),
            &down.to_string(),
            data_type,
            &ip,
            &url,
            &time,
        ];
        (RecordType::Data, fields.map(str::to_owned).to_vec())
    });
    let call_type = proptest::sample::select(vec!["voice", "video"]);
    let voice = (msisdn(), 0..5_000_u32, call_type, free_text(), 0..86_400_u32, time());
    let voice = voice.prop_map(|(msisdn, tower, call_type, dest, seconds, time)| {
        let fields = [&format!("00{msisdn}"), &tower.to_string(), call_type, &dest, &seconds.to_string(), &time];
        (RecordType::Voice, fields.map(str::to_owned).to_vec())
    });
    prop_oneof![data, voice]
}

proptest! {
    /// A row is the same record as the message that is made of it, in whatever order its columns stand.
    #[test]
    fn a_message_says_what_its_row_says(
        (record_type, fields) in row(),
        order in Just((0..9_usize).collect::<Vec<_>>()).prop_shuffle(),
        unknown in free_text(),
        line in 1..=i64::MAX.unsigned_abs(),
        id in any::<[u8; 8]>(),
    ) {
        let names: Vec<&str> = record_type.columns().iter().map(|column| column.as_str()).chain(["unknown"]).collect();
        let values: Vec<&str> = fields.iter().map(String::as_str).chain([unknown.as_str()]).collect();
        let order: Vec<usize> = order.into_iter().filter(|&index| index < names.len()).collect();
        let (mut header, mut written) = (Vec::new(), Vec::new());
        write_row(&mut header, order.iter().map(|&index| names[index]));
        write_row(&mut written, order.iter().map(|&index| values[index]));

        let zone = Zone::default();
        let header = Header::parse(&header, record_type).unwrap();
        let mut scratch = Scratch::default();
        // What an earlier row leaves in the scratch does not matter.
        prop_assert!(header.parse_row(br#"","a""b","x"#, &zone, &mut scratch).is_err());
        let Ok(row) = header.parse_row(&written, &zone, &mut scratch) else {
            // Only an offset can move a good day out of range.
            prop_assert!(EventTime::parse(fields.last().unwrap(), &zone).is_err());
            return Ok(());
        };
        prop_assert_eq!(row.fields(), &fields);

        let file = FileName::parse(&format!("cdr_{record_type}_20240101_120000.csv.zst")).unwrap();
        let mut message = Vec::new();
        row.write_json(&mut message, &Provenance::new(file, SourceId(id), SystemTime::UNIX_EPOCH), line);
        let object: serde_json::Map<String, serde_json::Value> = serde_json::from_slice(&message).unwrap();
        for (name, value) in names.iter().zip(&fields) {
            prop_assert_eq!(object[*name].as_str(), Some(value.as_str()));
        }
        prop_assert_eq!(object.len(), fields.len() + 5);

        let record = json::parse(&message, record_type, &zone).unwrap();
        prop_assert_eq!(record.event, row.event());
        prop_assert_eq!((record.tower_id, record.time), (row.tower_id(), row.time()));
        let source = record.source.unwrap();
        prop_assert_eq!((source.id, source.line, source.file), (SourceId(id), line, Some(file)));

        // Written by another program, with the same content, it says the same.
        let again = serde_json::to_vec_pretty(&object).unwrap();
        prop_assert_eq!(json::parse(&again, record_type, &zone), Ok(record));
    }

    /// Whatever arrives, it is read or it has a reason.
    #[test]
    fn no_bytes_are_too_strange(
        (record_type, fields) in row(),
        position in any::<proptest::sample::Index>(),
        bytes in proptest::collection::vec(any::<u8>(), 0..6),
        removed in 0..6_usize,
    ) {
        let mut row = Vec::new();
        write_row(&mut row, fields.iter().map(String::as_str));
        let start = position.index(row.len());
        let end = row.len().min(start + removed);
        row.splice(start..end, bytes.iter().copied());

        let zone = Zone::default();
        let mut header = Vec::new();
        telecom::csv::write_header(&mut header, record_type);
        let header = Header::parse(&header, record_type).unwrap();
        let mut scratch = Scratch::default();
        if let Ok(row) = header.parse_row(&row, &zone, &mut scratch) {
            prop_assert_eq!(row.event().totals.events, 1);
        }
        prop_assert!(Header::parse(&row, record_type).is_err());
        prop_assert!(json::parse(&row, record_type, &zone).is_err());
    }

    #[test]
    fn messages_with_changed_bytes_do_no_harm(
        (record_type, fields) in row(),
        position in any::<proptest::sample::Index>(),
        bytes in proptest::collection::vec(proptest::sample::select(br#""\{}[]:,nu0-.e"#.to_vec()), 0..4),
        removed in 0..4_usize,
    ) {
        let object: serde_json::Map<String, serde_json::Value> =
            record_type.columns().iter().zip(&fields).map(|(column, value)| (column.to_string(), value.as_str().into())).collect();
        let mut message = serde_json::to_vec(&object).unwrap();
        let start = position.index(message.len());
        let end = message.len().min(start + removed);
        message.splice(start..end, bytes);
        if json::parse(&message, record_type, &Zone::default()).is_ok() {
            // What is accepted is JSON to others too.
            prop_assert!(serde_json::from_slice::<serde_json::Value>(&message).is_ok());
        }
    }

    #[test]
    fn subscriber_numbers_come_back(number in msisdn(), before in proptest::sample::select(vec!["", "+", "00", " ", "  +"])) {
        prop_assert_eq!(Msisdn::parse(&format!("{before}{number} ")), Ok(number));
        prop_assert_eq!(Msisdn::from_u64(number.as_u64()), Ok(number));
        prop_assert_eq!(&*number.digits(), number.as_u64().to_string());
        let masked = number.masked().to_string();
        prop_assert_eq!(masked.len(), number.digits().len());
        prop_assert_eq!(masked.trim_start_matches('*').len(), 3);
    }

    /// An offset means what another time library makes of it.
    #[test]
    fn times_are_converted_as_others_do(time in time(), zone in proptest::sample::select(vec!["Africa/Johannesburg", "Europe/Berlin", "America/New_York", "Asia/Kathmandu", "UTC"])) {
        let expected = match time.parse::<jiff::Timestamp>() {
            Ok(instant) => instant.in_tz(zone).unwrap().datetime(),
            Err(_) => time.parse::<jiff::civil::DateTime>().unwrap(),
        };
        match EventTime::parse(&time, &Zone::named(zone).unwrap()) {
            Ok(found) => {
                let text = found.to_string();
                prop_assert_eq!(text.parse::<jiff::civil::DateTime>().unwrap(), expected);
                // Its text form is read as the same time.
                prop_assert_eq!(EventTime::parse(&text, &Zone::default()), Ok(found));
            }
            Err(_) => prop_assert!(!(1970..=2100).contains(&expected.year())),
        }
    }

    /// Costs are exact: adding parts is pricing the sum, and the rounded figure is that of plain fractions.
    #[test]
    fn costs_are_exact(day in day(), usage in proptest::collection::vec(usage(), 0..20), split in 0..20_usize) {
        let tariff = Tariff::parse(
            r#"{"rows":[
                {"from":"1970-01-01","voice_zar_per_minute":"1.00","video_zar_per_minute":"1.00","data_zar_per_gb":"49.00"},
                {"from":"2024-01-01","voice_zar_per_minute":"1.234567","video_zar_per_minute":"0.7","data_zar_per_gb":"51.999999"}
            ]}"#,
        ).unwrap();
        let whole = tariff.cost(day, usage.iter().copied());
        let (left, right) = usage.split_at(split.min(usage.len()));
        prop_assert_eq!(tariff.cost(day, left.iter().copied()) + tariff.cost(day, right.iter().copied()), whole);
        let one_by_one: Cost = usage.iter().map(|&figure| tariff.cost(day, [figure])).sum();
        prop_assert_eq!(one_by_one, whole);

        // In millionths of a rand: bytes / 10^9 + seconds / 60, over the denominator 6 × 10^10.
        let later = day >= Day::parse("2024-01-01").unwrap();
        let (voice, video, data) = if later { (1_234_567, 700_000, 51_999_999) } else { (1_000_000, 1_000_000, 49_000_000) };
        let numerator: u128 = usage.iter().map(|(kind, totals)| match kind {
            UsageKind::CallVoice => u128::from(totals.seconds) * voice * 1_000_000_000,
            UsageKind::CallVideo => u128::from(totals.seconds) * video * 1_000_000_000,
            _ => (u128::from(totals.up_bytes) + u128::from(totals.down_bytes)) * data * 60,
        }).sum();
        let per_cent = 60_000_000_000 * 10_000;
        let (cents, rest) = (numerator / per_cent, numerator % per_cent);
        let cents = match (rest * 2).cmp(&per_cent) {
            std::cmp::Ordering::Less => cents,
            std::cmp::Ordering::Equal => cents + cents % 2,
            std::cmp::Ordering::Greater => cents + 1,
        };
        prop_assert_eq!(whole.to_zar_string(), format!("{}.{:02}", cents / 100, cents % 100));
    }

    /// The order of records does not matter, and totals of parts add up to those of the whole.
    #[test]
    fn folding_is_a_sum(
        events in proptest::collection::vec((0..3_u64, 0..3, usage()), 0..60),
        split in 0..60_usize,
    ) {
        let events: Vec<UsageEvent> = events.into_iter().map(|(msisdn, day, (kind, totals))| UsageEvent {
            msisdn: Msisdn::from_u64(27_821_234_567 + msisdn).unwrap(),
            day: Day::from_epoch_days(day).unwrap(),
            kind,
            totals: Totals { up_bytes: totals.up_bytes >> 10, down_bytes: totals.down_bytes >> 10, ..totals },
        }).collect();
        let whole = fold(events.iter().copied()).unwrap();
        prop_assert_eq!(&fold(events.iter().rev().copied()).unwrap(), &whole);
        let (left, right) = events.split_at(split.min(events.len()));
        let mut sums = fold(left.iter().copied()).unwrap();
        for (key, totals) in fold(right.iter().copied()).unwrap() {
            let sum = sums.entry(key).or_default();
            *sum = sum.checked_add(totals).unwrap();
        }
        prop_assert_eq!(sums, whole);
    }
}

#[test]
fn a_sum_that_does_not_fit_is_none() {
    let most = Totals { seconds: u64::MAX, ..Totals::default() };
    let one = Totals { seconds: 1, events: 1, ..Totals::default() };
    assert_eq!(most.checked_add(one), None);
}
