use expect_test::{Expect, expect};
use telecom::{Cost, Day, Tariff, Totals, UsageKind};

fn bytes(kind: UsageKind, up_bytes: u64, down_bytes: u64) -> (UsageKind, Totals) {
    (kind, Totals { up_bytes, down_bytes, seconds: 0, events: 1 })
}

fn seconds(kind: UsageKind, seconds: u64) -> (UsageKind, Totals) {
    (kind, Totals { seconds, events: 1, ..Totals::default() })
}

fn check_cost(usage: &[(UsageKind, Totals)], expected: Expect) {
    let day = Day::parse("2024-01-01").unwrap();
    expected.assert_eq(&Tariff::standard().cost(day, usage.iter().copied()).to_zar_string());
}

#[test]
fn what_usage_costs() {
    check_cost(&[], expect!["0.00"]);
    check_cost(&[bytes(UsageKind::DataVideo, 500_000_000, 500_000_000)], expect!["49.00"]);
    check_cost(&[seconds(UsageKind::CallVoice, 60)], expect!["1.00"]);
    check_cost(&[seconds(UsageKind::CallVideo, 61)], expect!["1.02"]);
    check_cost(&[bytes(UsageKind::DataText, 100_000_000, 0)], expect!["4.90"]);
    check_cost(&[bytes(UsageKind::DataText, 0, 2_500_000_000)], expect!["122.50"]);
    // A third of a rand and two thirds are a whole one, though each alone is shown rounded.
    check_cost(&[seconds(UsageKind::CallVoice, 20)], expect!["0.33"]);
    check_cost(&[seconds(UsageKind::CallVideo, 40)], expect![["0.67"]]);
    check_cost(&[seconds(UsageKind::CallVoice, 20), seconds(UsageKind::CallVideo, 40)], expect!["1.00"]);
    // Kinds without bytes have no bytes to bill.
    check_cost(&[bytes(UsageKind::CallVoice, 1_000_000_000, 0), seconds(UsageKind::DataAudio, 60)], expect!["0.00"]);
    check_cost(&[bytes(UsageKind::DataImage, u64::MAX, u64::MAX)], expect!["1807780919223.54"]);
    check_cost(&[seconds(UsageKind::CallVoice, u64::MAX)], expect!["307445734561825860.25"]);
}

#[test]
fn halves_go_to_the_even_cent() {
    // At 0.05 ZAR a gigabyte, 10^8 bytes cost half a cent.
    let tariff = Tariff::parse(
        r#"{"rows":[{"from":"1970-01-01","voice_zar_per_minute":"0","video_zar_per_minute":"0","data_zar_per_gb":"0.05"}]}"#,
    );
    let tariff = tariff.unwrap();
    let cost = |bytes_up| tariff.cost(Day::MIN, [bytes(UsageKind::DataVideo, bytes_up, 0)]);
    let shown: Vec<String> =
        [99_999_999, 100_000_000, 100_000_001, 299_999_999, 300_000_000, 300_000_001, 500_000_000, 700_000_000]
            .map(|bytes| format!("{bytes} {}", cost(bytes)))
            .into();
    expect![[r#"
        99999999 0.00
        100000000 0.00
        100000001 0.01
        299999999 0.01
        300000000 0.02
        300000001 0.02
        500000000 0.02
        700000000 0.04"#]]
    .assert_eq(&shown.join("\n"));
    // The exact halves add up to a whole.
    assert_eq!((cost(100_000_000) + cost(100_000_000)).to_zar_string(), "0.01");
    assert_eq!([cost(300_000_000); 2].into_iter().sum::<Cost>(), cost(600_000_000));
}

#[test]
fn each_day_has_the_price_in_force() {
    let tariff = Tariff::parse(
        r#"{"rows":[
            {"from":"1970-01-01","voice_zar_per_minute":"1.00","video_zar_per_minute":"2","data_zar_per_gb":"49.00"},
            {"from":"2024-02-01","voice_zar_per_minute":"0.999999","video_zar_per_minute":"0","data_zar_per_gb":"1000000"}
        ]}"#,
    );
    let tariff = tariff.unwrap();
    let usage = [seconds(UsageKind::CallVoice, 600_000), seconds(UsageKind::CallVideo, 60)];
    let shown = ["1970-01-01", "2024-01-31", "2024-02-01", "2100-12-31"].map(|day| {
        let day = Day::parse(day).unwrap();
        let gigabyte = tariff.cost(day, [bytes(UsageKind::DataAudio, 1_000_000_000, 0)]);
        format!("{day}: calls {}, a gigabyte {gigabyte}", tariff.cost(day, usage))
    });
    expect![[r#"
        1970-01-01: calls 10002.00, a gigabyte 49.00
        2024-01-31: calls 10002.00, a gigabyte 49.00
        2024-02-01: calls 9999.99, a gigabyte 1000000.00
        2100-12-31: calls 9999.99, a gigabyte 1000000.00"#]]
    .assert_eq(&shown.join("\n"));
}

#[test]
fn the_documented_tariff_is_the_standard_one() {
    let (_, json) = include_str!("../../README.md").split_once("```json\n").unwrap();
    let (json, _) = json.split_once("```").unwrap();
    assert_eq!(Tariff::parse(json).unwrap(), Tariff::standard());
}

fn check_tariff(json: &str, expected: Expect) {
    let found = Tariff::parse(json).map_or_else(|error| error.to_string(), |_| "good".to_owned());
    expected.assert_eq(&found);
}

fn row(from: &str, price: &str) -> String {
    format!(r#"{{"from":"{from}","voice_zar_per_minute":{price},"video_zar_per_minute":"1","data_zar_per_gb":"1"}}"#)
}

#[test]
fn tariffs_that_cannot_be_used() {
    let with_price = |price: &str| format!(r#"{{"rows":[{}]}}"#, row("1970-01-01", price));
    check_tariff("", expect!["the tariff is not valid: EOF while parsing a value at line 1 column 0"]);
    check_tariff("{}", expect!["the tariff is not valid: missing field `rows` at line 1 column 2"]);
    check_tariff(
        r#"{"rows":[]}"#,
        expect!["the tariff's first row must start on 1970-01-01, so that every day has a price"],
    );
    check_tariff(
        &format!(r#"{{"rows":[{}]}}"#, row("2024-01-01", r#""1""#)),
        expect!["the tariff's first row must start on 1970-01-01, so that every day has a price"],
    );
    let (first, later) = (row("1970-01-01", r#""1""#), row("2024-01-01", r#""1""#));
    check_tariff(
        &format!(r#"{{"rows":[{first},{later},{later}]}}"#),
        expect!["the tariff's rows must be in the order of their start, each day once: see 2024-01-01"],
    );
    check_tariff(
        &format!(r#"{{"rows":[{later},{first}]}}"#),
        expect!["the tariff's rows must be in the order of their start, each day once: see 1970-01-01"],
    );
    check_tariff(
        &format!(r#"{{"rows":[{}]}}"#, row("2024-13-01", r#""1""#)),
        expect![
            "the tariff is not valid: a day is written YYYY-MM-DD and lies between 1970-01-01 and 2100-12-31 at line 1 column 29"
        ],
    );
    check_tariff(
        r#"{"rows":[],"currency":"USD"}"#,
        expect!["the tariff is not valid: unknown field `currency`, expected `rows` at line 1 column 21"],
    );
    check_tariff(
        &with_price("1.5"),
        expect!["the tariff is not valid: invalid type: floating point `1.5`, expected a string at line 1 column 56"],
    );
    for price in [r#""""#, r#"".5""#, r#""1.""#, r#""-1""#, r#""1,5""#, r#""1.2345678""#, r#""1000000.000001""#] {
        let found = Tariff::parse(&with_price(price)).unwrap_err().to_string();
        assert!(found.contains(&format!("{price} is no price: write rand as text")), "{found}");
    }
    check_tariff(&with_price(r#""1000000.000000""#), expect!["good"]);
}
