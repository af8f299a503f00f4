use std::time::{Duration, SystemTime};

use expect_test::{Expect, expect};
use telecom::{Day, EventTime, FileName, InvalidTime, Moment, Month, Msisdn, RecordType, SourceId, UsageKind, Zone};

fn check_msisdn(text: &str, expected: Expect) {
    let found = Msisdn::parse(text)
        .map_or_else(|error| error.to_string(), |msisdn| format!("{msisdn} {} {msisdn:?}", msisdn.masked()));
    expected.assert_eq(&found);
}

#[test]
fn subscriber_numbers() {
    check_msisdn("27821234567", expect!["27821234567 ********567 Msisdn(********567)"]);
    check_msisdn("+27821234567", expect!["27821234567 ********567 Msisdn(********567)"]);
    check_msisdn(" 27821234567 ", expect!["27821234567 ********567 Msisdn(********567)"]);
    check_msisdn("\t27821234567", expect!["27821234567 ********567 Msisdn(********567)"]);
    check_msisdn(
        " +0027821234567",
        expect!["an MSISDN has 5 to 15 digits in international form, the first not 0, and may begin with + or 00"],
    );
    check_msisdn("0027821234567", expect!["27821234567 ********567 Msisdn(********567)"]);
    check_msisdn("12345", expect!["12345 **345 Msisdn(**345)"]);
    check_msisdn("999999999999999", expect!["999999999999999 ************999 Msisdn(************999)"]);
    for bad in [
        "",
        " ",
        "+",
        "00",
        "1234",
        "001234",
        "1234567890123456",
        "0821234567",
        "00027821234567",
        "+ 27821234567",
        "27 82 1234567",
        "27821234567x",
        "-27821234567",
        "२७८२१२३४५६७",
    ] {
        assert!(Msisdn::parse(bad).is_err(), "{bad:?}");
    }
    assert!(Msisdn::from_u64(9_999).is_err());
    assert_eq!(Msisdn::from_u64(10_000).unwrap().as_u64(), 10_000);
    assert!(Msisdn::from_u64(1_000_000_000_000_000).is_err());
}

fn check_time(text: &str, zone: &str, expected: Expect) {
    let zone = Zone::named(zone).unwrap();
    let found = EventTime::parse(text, &zone).map_or_else(|error| error.to_string(), |time| time.to_string());
    expected.assert_eq(&found);
}

#[test]
fn event_times() {
    let home = telecom::DEFAULT_ZONE;
    check_time("2024-01-01 10:15:30", home, expect!["2024-01-01 10:15:30"]);
    check_time("2024-01-01T10:15:30.123456", home, expect!["2024-01-01 10:15:30.123456"]);
    check_time("2024-01-01 10:15:30.5", home, expect!["2024-01-01 10:15:30.500000"]);
    check_time("2024-01-01 10:15:30.123456789", home, expect!["2024-01-01 10:15:30.123456"]);
    check_time("2016-12-31 23:59:60", home, expect!["2016-12-31 23:59:59"]);
    check_time("2024-02-29 00:00:00", home, expect!["2024-02-29 00:00:00"]);
    // An offset converts: to the next day, the day before, and across a change to summer time.
    check_time("2024-01-01T22:00:00Z", home, expect!["2024-01-02 00:00:00"]);
    check_time("2024-01-01 10:15:30.25+02:00", home, expect!["2024-01-01 10:15:30.250000"]);
    check_time("2024-01-01 00:30:00+0530", home, expect!["2023-12-31 21:00:00"]);
    check_time("2024-01-01 00:30:00-08", home, expect!["2024-01-01 10:30:00"]);
    check_time("2024-03-31T00:59:59Z", "Europe/Berlin", expect!["2024-03-31 01:59:59"]);
    check_time("2024-03-31T01:00:00Z", "Europe/Berlin", expect!["2024-03-31 03:00:00"]);
    // The range is that of the operator's days.
    check_time("1970-01-01 00:00:00", home, expect!["1970-01-01 00:00:00"]);
    check_time("1969-12-31T22:00:00Z", home, expect!["1970-01-01 00:00:00"]);
    check_time("1969-12-31T21:59:59Z", home, expect!["the day lies outside 1970-01-01 to 2100-12-31"]);
    check_time("2100-12-31T21:59:59Z", home, expect!["2100-12-31 23:59:59"]);
    check_time("2100-12-31T22:00:00Z", home, expect!["the day lies outside 1970-01-01 to 2100-12-31"]);
    check_time("2101-01-01 00:00:00+23:59", home, expect!["2100-12-31 02:01:00"]);
    check_time("0001-01-01 00:00:00Z", home, expect!["the day lies outside 1970-01-01 to 2100-12-31"]);
    check_time("9999-12-31 23:59:59-23:59", home, expect!["the day lies outside 1970-01-01 to 2100-12-31"]);
    // A zone's own name and an offset behind a blank, as databases print them.
    check_time("2024-01-01 10:15:30 +02:00", home, expect!["2024-01-01 10:15:30"]);
    check_time("2024-01-01 10:15:30 +0200", home, expect!["2024-01-01 10:15:30"]);
    check_time("2024-01-01 22:15:30 UTC", home, expect!["2024-01-02 00:15:30"]);
    check_time("2024-01-01 22:15:30utc", home, expect!["2024-01-02 00:15:30"]);
    // A time that the zone's clocks passed over is taken as it stands: it lies on its day.
    check_time("2024-03-31 02:30:00", "Europe/Berlin", expect!["2024-03-31 02:30:00"]);
}

#[test]
fn what_is_wrong_with_a_time() {
    let bad = [
        "",
        "1709287200",
        "1709287200000",
        "1709287200.5",
        "-1",
        "20240301100000",
        "yesterday",
        "Fri Mar  1 10:00:00 2024",
        "01/03/2024 10:02",
        "2024/01/01 10:15:30",
        "2024-1-1 10:15:30",
        "+024-01-01 10:15:30",
        "12024-01-01 10:15:30",
        "２024-01-01 10:15:30",
        "2024-00-01 10:15:30",
        "2024-13-01 10:15:30",
        "2024-01-00 10:15:30",
        "2024-04-31 10:15:30",
        "2023-02-29 10:15:30",
        "2100-02-29 10:15:30",
        "0000-00-00 00:00:00",
        "2024-01-01",
        "2024-01-01 10:15",
        "2024-01-01 24:00:00",
        "2024-01-01 10:60:00",
        "2024-01-01 10:15:61",
        "2024-01-01  10:15:30",
        "2024-01-01_10:15:30",
        "2024-01-01 10:15:3",
        "2024-01-01 10:15:30,123",
        "2024-01-01 10:15:30.",
        "2024-01-01 10:15:30.1234567890",
        "2024-01-01 10:15:30 ",
        "2024-01-01 10:15:30  +02:00",
        "2024-01-01 10:15:30+2",
        "2024-01-01 10:15:30+24:00",
        "2024-01-01 10:15:30+02:60",
        "2024-01-01 10:15:30*02:00",
        "2024-01-01 10:15:30 CET",
        "2024-01-01 10:15:30[Africa/Johannesburg]",
    ];
    let mut found = String::new();
    for text in bad {
        let Err(InvalidTime::Malformed(fault)) = EventTime::parse(text, &Zone::default()) else {
            panic!("{text:?} is not malformed")
        };
        found += &format!("{text:?}: {fault}\n");
    }
    expect![[r#"
        "": it is empty
        "1709287200": it is a number without separators
        "1709287200000": it is a number without separators
        "1709287200.5": it is a number without separators
        "-1": it is a number without separators
        "20240301100000": it is a number without separators
        "yesterday": it does not begin with a date as YYYY-MM-DD
        "Fri Mar  1 10:00:00 2024": it does not begin with a date as YYYY-MM-DD
        "01/03/2024 10:02": it does not begin with a date as YYYY-MM-DD
        "2024/01/01 10:15:30": it does not begin with a date as YYYY-MM-DD
        "2024-1-1 10:15:30": it does not begin with a date as YYYY-MM-DD
        "+024-01-01 10:15:30": it does not begin with a date as YYYY-MM-DD
        "12024-01-01 10:15:30": it does not begin with a date as YYYY-MM-DD
        "２024-01-01 10:15:30": it does not begin with a date as YYYY-MM-DD
        "2024-00-01 10:15:30": the calendar has no such day
        "2024-13-01 10:15:30": the calendar has no such day
        "2024-01-00 10:15:30": the calendar has no such day
        "2024-04-31 10:15:30": the calendar has no such day
        "2023-02-29 10:15:30": the calendar has no such day
        "2100-02-29 10:15:30": the calendar has no such day
        "0000-00-00 00:00:00": the calendar has no such day
        "2024-01-01": it has no time of day
        "2024-01-01 10:15": it has no seconds
        "2024-01-01 24:00:00": its hour is 24: midnight is 00:00:00 of the day that begins
        "2024-01-01 10:60:00": its time of day is not HH:MM:SS up to 23:59:59
        "2024-01-01 10:15:61": its time of day is not HH:MM:SS up to 23:59:59
        "2024-01-01  10:15:30": its time of day is not HH:MM:SS up to 23:59:59
        "2024-01-01_10:15:30": its time of day is not HH:MM:SS up to 23:59:59
        "2024-01-01 10:15:3": its time of day is not HH:MM:SS up to 23:59:59
        "2024-01-01 10:15:30,123": its fraction stands behind a comma, not a point
        "2024-01-01 10:15:30.": its fraction has not 1 to 9 digits
        "2024-01-01 10:15:30.1234567890": its fraction has not 1 to 9 digits
        "2024-01-01 10:15:30 ": what follows the time is neither UTC nor an offset such as +02:00
        "2024-01-01 10:15:30  +02:00": what follows the time is neither UTC nor an offset such as +02:00
        "2024-01-01 10:15:30+2": what follows the time is neither UTC nor an offset such as +02:00
        "2024-01-01 10:15:30+24:00": what follows the time is neither UTC nor an offset such as +02:00
        "2024-01-01 10:15:30+02:60": what follows the time is neither UTC nor an offset such as +02:00
        "2024-01-01 10:15:30*02:00": what follows the time is neither UTC nor an offset such as +02:00
        "2024-01-01 10:15:30 CET": what follows the time is neither UTC nor an offset such as +02:00
        "2024-01-01 10:15:30[Africa/Johannesburg]": what follows the time is neither UTC nor an offset such as +02:00
    "#]]
    .assert_eq(&found);
}

fn check_moment(unix_microseconds: u64, zone: &str, expected: Expect) {
    let moment = SystemTime::UNIX_EPOCH + Duration::from_micros(unix_microseconds);
    let found = EventTime::of(moment, &Zone::named(zone).unwrap());
    let found =
        found.map_or_else(|error| error.to_string(), |time| format!("{time} = {} µs", time.civil_microseconds()));
    expected.assert_eq(&found);
}

#[test]
fn what_the_clocks_show() {
    check_moment(0, "Africa/Johannesburg", expect!["1970-01-01 02:00:00 = 7200000000 µs"]);
    check_moment(0, "America/New_York", expect!["the day lies outside 1970-01-01 to 2100-12-31"]);
    check_moment(
        1_704_104_130_123_456,
        "Africa/Johannesburg",
        expect!["2024-01-01 12:15:30.123456 = 1704111330123456 µs"],
    );
    check_moment(5_000_000_000_000_000, "UTC", expect!["the day lies outside 1970-01-01 to 2100-12-31"]);
}

/// A time as it is told, and the moment in UTC that it is taken for.
fn check_told(text: &str, zone: &str, expected: Expect) {
    let zone = Zone::named(zone).unwrap();
    let moment = Moment::parse(text, &zone).unwrap();
    assert_eq!(Moment::parse(&moment.to_string(), &zone), Ok(moment), "it is read back as the same");
    let utc = Duration::from_micros(moment.utc_microseconds(&zone).unsigned_abs());
    let utc = EventTime::of(SystemTime::UNIX_EPOCH + utc, &Zone::named("UTC").unwrap()).unwrap();
    expected.assert_eq(&format!("{moment} is {utc}"));
}

#[test]
fn a_moment_is_told_also_where_clocks_are_set() {
    let home = telecom::DEFAULT_ZONE;
    check_told("2024-01-01 10:15:30.5", home, expect!["2024-01-01 10:15:30.500000 is 2024-01-01 08:15:30.500000"]);
    check_told("2024-01-01T10:15:30Z", home, expect!["2024-01-01 12:15:30 is 2024-01-01 10:15:30"]);
    let new_york = "America/New_York";
    // Autumn: the clocks show the hour from one to two twice.
    check_told("2024-11-03T05:59:00Z", new_york, expect!["2024-11-03 01:59:00 is 2024-11-03 05:59:00"]);
    check_told("2024-11-03T06:01:00Z", new_york, expect!["2024-11-03 01:01:00-05:00 is 2024-11-03 06:01:00"]);
    check_told("2024-11-03 01:01:00", new_york, expect!["2024-11-03 01:01:00 is 2024-11-03 05:01:00"]);
    check_told("2024-11-03T07:00:00Z", new_york, expect!["2024-11-03 02:00:00 is 2024-11-03 07:00:00"]);
    // Spring: they show no time from two to three.
    check_told("2024-03-10T06:59:00Z", new_york, expect!["2024-03-10 01:59:00 is 2024-03-10 06:59:00"]);
    check_told("2024-03-10T07:01:00Z", new_york, expect!["2024-03-10 03:01:00 is 2024-03-10 07:01:00"]);
    check_told("2024-03-10 02:30:00", new_york, expect!["2024-03-10 02:30:00 is 2024-03-10 07:30:00"]);
    // Half an hour is enough elsewhere.
    let lord_howe = "Australia/Lord_Howe";
    check_told("2024-04-06T14:59:00Z", lord_howe, expect!["2024-04-07 01:59:00 is 2024-04-06 14:59:00"]);
    check_told("2024-04-06T15:01:00Z", lord_howe, expect!["2024-04-07 01:31:00+10:30 is 2024-04-06 15:01:00"]);
}

#[test]
fn zones() {
    assert_eq!(Zone::default(), Zone::named("Africa/Johannesburg").unwrap());
    assert_eq!(Zone::default().to_string(), "Africa/Johannesburg");
    expect![[r#"there is no time zone "Middle/Earth": use a name of the IANA database, such as Africa/Johannesburg"#]]
        .assert_eq(&Zone::named("Middle/Earth").unwrap_err().to_string());
}

/// Every day there is, against another calendar.
#[test]
fn days_are_those_of_the_calendar() {
    let mut date = jiff::civil::date(1970, 1, 1);
    let mut day = Some(Day::MIN);
    let mut days = 0;
    while let Some(this) = day {
        let (year, month, day_of_month) = this.civil();
        assert_eq!((year, month as i8, day_of_month as i8), (date.year().into(), date.month(), date.day()));
        assert_eq!(this.to_string(), date.to_string());
        assert_eq!(Day::parse(&date.to_string()), Ok(this));
        assert_eq!(Day::from_civil(year, month, day_of_month), Some(this));
        assert_eq!(Day::from_epoch_days(this.epoch_days()), Some(this));
        let month = this.month();
        assert_eq!(month.number(), i32::from(date.year()) * 100 + i32::from(date.month()));
        assert_eq!(Month::parse(&month.to_string()), Ok(month));
        assert_eq!(Month::from_number(month.number()), Some(month));
        assert!(month.first_day() <= this && this <= month.last_day());
        assert_eq!(month.last_day().next().map(Day::month), month.next());
        assert!(this.next().is_none_or(|next| next.previous() == Some(this)));
        day = this.next();
        date = date.tomorrow().unwrap();
        days += 1;
    }
    assert_eq!(days, 47_847);
    assert_eq!(date, jiff::civil::date(2101, 1, 1));
    assert_eq!(Day::MIN.previous(), None);
    for bad in ["", "2024-1-01", "2024-02-30", "1969-12-31", "2101-01-01", "2024-01-01 ", "20240101", "2024-01-0x"] {
        assert!(Day::parse(bad).is_err(), "{bad:?}");
    }
    for bad in ["", "2024-00", "2024-13", "1969-12", "2101-01", "2024-1", "202401", "2024-01-01"] {
        assert!(Month::parse(bad).is_err(), "{bad:?}");
    }
}

fn check_file(name: &str, expected: Expect) {
    let found = FileName::parse(name).map_or_else(
        |error| error.to_string(),
        |file| format!("{file} {} {:?}", file.record_type(), file.compression()),
    );
    expected.assert_eq(&found);
}

#[test]
fn file_names() {
    check_file("cdr_data_20240101_120000.csv", expect!["cdr_data_20240101_120000.csv data None"]);
    check_file("cdr_voice_20240101_235959.csv.gz", expect!["cdr_voice_20240101_235959.csv.gz voice Some(Gzip)"]);
    check_file("cdr_voice_20240229_000000.csv.zst", expect!["cdr_voice_20240229_000000.csv.zst voice Some(Zstd)"]);
    let folders = "north/msc_1/day=2024-01-01/";
    check_file(
        &format!("{folders}cdr_data_20240101_120000.csv.gz"),
        expect!["north/msc_1/day=2024-01-01/cdr_data_20240101_120000.csv.gz data Some(Gzip)"],
    );
    assert_eq!(FileName::parse(&format!("{folders}cdr_data_20240101_120000.csv")).unwrap().folders(), folders);
    // Forty bytes of folders, and no more.
    let longest = |folder_bytes: usize| {
        FileName::parse(&format!("{}/cdr_voice_20240101_120000.csv.zst", "a".repeat(folder_bytes)))
    };
    assert!(longest(39).is_ok() && longest(40).is_err());
    check_file(
        "report.txt",
        expect![
            "the file name must be cdr_data_YYYYMMDD_HHMMSS.csv or cdr_voice_YYYYMMDD_HHMMSS.csv, perhaps with .gz or .zst"
        ],
    );
    for bad in [
        "",
        "cdr_data_20240101_120000",
        "cdr_data_20240101_120000.csv.tmp",
        "cdr_data_20240101_120000.csv.gz.part",
        ".cdr_data_20240101_120000.csv",
        "cdr_data_20240101_120000.CSV",
        "cdr_sms_20240101_120000.csv",
        "cdr_data_20240101-120000.csv",
        "cdr_data_20240101_1200001.csv",
        "cdr_data_20240101_12000.csv",
        "cdr_data_20240230_120000.csv",
        "cdr_data_20240101_240000.csv",
        "cdr_data_20240101_126000.csv",
        "cdr_data_é0240101_12000.csv",
        "/upload/cdr_data_20240101_120000.csv",
        "../cdr_data_20240101_120000.csv",
        "cdr_data_20240101_120000.csv\n",
        "north//cdr_data_20240101_120000.csv",
        "north/../cdr_data_20240101_120000.csv",
        "north/.hidden/cdr_data_20240101_120000.csv",
        "north west/cdr_data_20240101_120000.csv",
        "north@1-2/cdr_data_20240101_120000.csv",
        "north+1/cdr_data_20240101_120000.csv",
        "cdr_data_20240101_120000.csv/",
    ] {
        assert!(FileName::parse(bad).is_err(), "{bad:?}");
    }
}

#[test]
fn files_are_in_the_order_of_their_time() {
    let names = [
        "cdr_voice_20240101_120000.csv",
        "a/cdr_data_20240102_000000.csv",
        "cdr_data_20240101_120000.csv.gz",
        "z/z/cdr_voice_20231231_235959.csv",
        "cdr_data_20240101_120000.csv",
    ];
    let mut files = names.map(|name| FileName::parse(name).unwrap());
    files.sort();
    expect![[r#"
        [
            "z/z/cdr_voice_20231231_235959.csv",
            "cdr_data_20240101_120000.csv",
            "cdr_data_20240101_120000.csv.gz",
            "cdr_voice_20240101_120000.csv",
            "a/cdr_data_20240102_000000.csv",
        ]
    "#]]
    .assert_debug_eq(&files);
}

#[test]
fn kinds_have_one_name_each() {
    let shown = UsageKind::ALL.map(|kind| {
        assert_eq!(UsageKind::from_parts(kind.category().as_str(), kind.usage_type()), Some(kind));
        assert_eq!(kind.to_string().parse(), Ok(kind));
        kind.to_string()
    });
    expect!["data/video data/audio data/image data/text data/application call/voice call/video"]
        .assert_eq(&shown.join(" "));
    for (category, usage_type) in [("data", "voice"), ("call", "audio"), ("voice", "voice"), ("", "")] {
        assert_eq!(UsageKind::from_parts(category, usage_type), None);
    }
    assert!("sms".parse::<RecordType>().is_err());
}

#[test]
fn text_forms_are_those_of_serde() {
    let id = SourceId::from_sha256(&[0x0a; 32]);
    let values = serde_json::json!([
        Msisdn::parse("27821234567").unwrap(),
        Day::MAX,
        Day::MAX.month(),
        RecordType::Voice,
        UsageKind::CallVideo,
        id,
        FileName::parse("cdr_data_20240101_120000.csv").unwrap(),
        Zone::default(),
    ]);
    expect![[r#"["27821234567","2100-12-31","2100-12","voice","call/video","0a0a0a0a0a0a0a0a","cdr_data_20240101_120000.csv","Africa/Johannesburg"]"#]].assert_eq(&values.to_string());
    type All = (Msisdn, Day, Month, RecordType, UsageKind, SourceId, FileName, Zone);
    let back: All = serde_json::from_value(values).unwrap();
    assert_eq!((back.1, back.5), (Day::MAX, id));
    expect!["an MSISDN has 5 to 15 digits in international form, the first not 0, and may begin with + or 00"]
        .assert_eq(&serde_json::from_str::<Msisdn>("\"082\"").unwrap_err().to_string());
    assert!("0a0a0a0a0a0a0a0".parse::<SourceId>().is_err());
    assert!("0a0a0a0a0a0a0a0g".parse::<SourceId>().is_err());
}
