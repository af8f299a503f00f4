//! What usage costs, worked out once more, from the tariff's written form (`crates/telecom/README.md`). Do not call
//! `telecom` here.

use anyhow::{Context, ensure};
use serde_json::Value;

/// The standard tariff: 1.00 ZAR a minute of any call, 49.00 ZAR for 10^9 bytes.
const STANDARD: &str = r#"{"rows": [{"from": "1970-01-01",
    "voice_zar_per_minute": "1.00", "video_zar_per_minute": "1.00", "data_zar_per_gb": "49.00"}]}"#;

/// Parts of a millionth of a rand: a sixtieth of it for a second, 10^-9 of it for a byte; both are whole numbers of these.
const PARTS: u128 = 3_000_000_000;
const PARTS_PER_CENT: u128 = PARTS * 10_000;

/// Prices in millionths of a rand, by the day from which they hold.
#[derive(Debug)]
pub(super) struct Tariff(Vec<Prices>);

#[derive(Debug)]
struct Prices {
    from: String,
    voice_minute: u128,
    video_minute: u128,
    gigabyte: u128,
}

/// An exact amount, in [`PARTS`] of a millionth of a rand.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Cost(u128);

impl Tariff {
    /// Reads a tariff's JSON, or the file that has it; nothing is the standard tariff.
    pub(super) fn read(text: &str) -> anyhow::Result<Self> {
        match text.trim() {
            "" => Self::parse(STANDARD),
            json if json.starts_with('{') => Self::parse(json),
            path => {
                Self::parse(&std::fs::read_to_string(path).with_context(|| format!("can't read the tariff {path}"))?)
            }
        }
    }

    fn parse(json: &str) -> anyhow::Result<Self> {
        let tariff: Value = serde_json::from_str(json).context("the tariff is not JSON")?;
        let rows = tariff["rows"].as_array().context("the tariff has no rows")?;
        let text = |row: &Value, field: &str| {
            row[field].as_str().map(str::to_owned).with_context(|| format!("a row of the tariff has no {field}"))
        };
        let prices = |row: &Value| {
            anyhow::Ok(Prices {
                from: text(row, "from")?,
                voice_minute: micros(&text(row, "voice_zar_per_minute")?)?,
                video_minute: micros(&text(row, "video_zar_per_minute")?)?,
                gigabyte: micros(&text(row, "data_zar_per_gb")?)?,
            })
        };
        let rows = rows.iter().map(prices).collect::<anyhow::Result<Vec<_>>>()?;
        ensure!(rows.is_sorted_by(|a, b| a.from < b.from), "the tariff's rows are not in the order of their days");
        Ok(Self(rows))
    }

    /// What an amount of a kind costs on a day.
    pub(super) fn cost(&self, day: &str, category: &str, usage_type: &str, amount: &super::count::Amount) -> Cost {
        let Some(prices) = self.0.iter().rfind(|prices| prices.from.as_str() <= day) else { return Cost::default() };
        let bytes = u128::from(amount.up_bytes) + u128::from(amount.down_bytes);
        Cost(match (category, usage_type) {
            ("data", _) => bytes * prices.gigabyte * (PARTS / 1_000_000_000),
            (_, "video") => u128::from(amount.seconds) * prices.video_minute * (PARTS / 60),
            _ => u128::from(amount.seconds) * prices.voice_minute * (PARTS / 60),
        })
    }
}

impl Cost {
    pub(super) fn add(&mut self, other: Self) {
        self.0 = self.0.saturating_add(other.0);
    }

    /// In rand, rounded to cents, half to even.
    pub(super) fn rand(self) -> String {
        let (cents, rest) = (self.0 / PARTS_PER_CENT, self.0 % PARTS_PER_CENT);
        let rounds_up = rest * 2 > PARTS_PER_CENT || (rest * 2 == PARTS_PER_CENT && cents % 2 == 1);
        let cents = if rounds_up { cents + 1 } else { cents };
        format!("{}.{:02}", cents / 100, cents % 100)
    }
}

/// `49.00` as 49,000,000.
fn micros(price: &str) -> anyhow::Result<u128> {
    let (rand, decimals) = price.split_once('.').unwrap_or((price, ""));
    ensure!(decimals.len() <= 6, "the price {price} has more than 6 decimals");
    format!("{rand}{decimals:0<6}").parse().with_context(|| format!("{price} is no price"))
}
