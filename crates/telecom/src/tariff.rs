//! Prices, and exact amounts of money.

use std::fmt;
use std::iter::Sum;
use std::ops::{Add, AddAssign};
use std::str::FromStr;

use serde::Deserialize;

use crate::day::{Day, digits};
use crate::kind::UsageKind;
use crate::usage::Totals;

/// Prices in ZAR, each set from a day on. Every day has a price.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tariff {
    /// By ascending start, the first on [`Day::MIN`].
    rows: Vec<Prices>,
}

/// The tariff's text cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum InvalidTariff {
    /// It is not the JSON that a tariff is.
    #[error("the tariff is not valid: {0}")]
    Json(#[from] serde_json::Error),
    /// Two rows start on the same day, or a later one comes first.
    #[error("the tariff's rows must be in the order of their start, each day once: see {0}")]
    Order(Day),
    /// There are days before the first row.
    #[error("the tariff's first row must start on {min}, so that every day has a price", min = Day::MIN)]
    Gap,
}

/// An exact amount of money, rounded only when it is written. Amounts are added exactly.
///
/// It is a whole number of [`Cost::PER_ZAR`]ths of a rand: both a byte's share of a gigabyte and a second's of a
/// minute, at a price in millionths, are whole numbers of these. It saturates at 5.6 × 10^22 ZAR, which no real usage
/// comes near.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Cost(i128);

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
struct TariffText {
    rows: Vec<Prices>,
}

/// The prices from one day on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
struct Prices {
    from: Day,
    voice_zar_per_minute: Price,
    video_zar_per_minute: Price,
    data_zar_per_gb: Price,
}

/// A price in millionths of a rand.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
struct Price {
    micro_zar: u64,
}

/// One row of a tariff: prices in millionths of a rand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TariffRow {
    /// The first day on which they hold, until the next row's.
    pub from: Day,
    /// A minute of a voice call.
    pub voice_micro_zar_per_minute: u64,
    /// A minute of a video call.
    pub video_micro_zar_per_minute: u64,
    /// 10^9 bytes of data, up and down.
    pub data_micro_zar_per_gb: u64,
}

const MICROS_PER_ZAR: u64 = 1_000_000;
const BYTES_PER_GB: i128 = 1_000_000_000;
const SECONDS_PER_MINUTE: i128 = 60;
/// The least common multiple of the two units that prices are for.
const SHARES: i128 = 3 * BYTES_PER_GB;
const _: () = assert!(SHARES % BYTES_PER_GB == 0 && SHARES % SECONDS_PER_MINUTE == 0);

/// The highest price: several times what roaming data costs without a bundle (some 100 ZAR a megabyte). More is a slip.
const MAX_PRICE_ZAR: u64 = 1_000_000;

impl Tariff {
    /// Reads a tariff: see the crate's documentation for its form.
    pub fn parse(json: &str) -> Result<Self, InvalidTariff> {
        let TariffText { rows } = serde_json::from_str(json)?;
        if let Some(pair) = rows.windows(2).find(|pair| pair[0].from >= pair[1].from) {
            return Err(InvalidTariff::Order(pair[1].from));
        }
        match rows.first() {
            Some(first) if first.from == Day::MIN => Ok(Self { rows }),
            _ => Err(InvalidTariff::Gap),
        }
    }

    /// 1.00 ZAR a minute for voice and video calls, 49.00 ZAR a gigabyte for data, on all days.
    pub fn standard() -> Self {
        let call = Price { micro_zar: MICROS_PER_ZAR };
        let data = Price { micro_zar: 49 * MICROS_PER_ZAR };
        let row =
            Prices { from: Day::MIN, voice_zar_per_minute: call, video_zar_per_minute: call, data_zar_per_gb: data };
        Self { rows: vec![row] }
    }

    /// The rows, by ascending start.
    pub fn rows(&self) -> impl Iterator<Item = TariffRow> {
        self.rows.iter().map(|row| TariffRow {
            from: row.from,
            voice_micro_zar_per_minute: row.voice_zar_per_minute.micro_zar,
            video_micro_zar_per_minute: row.video_zar_per_minute.micro_zar,
            data_micro_zar_per_gb: row.data_zar_per_gb.micro_zar,
        })
    }

    /// What a day's totals cost. Calls are billed by the second, data by the byte, up and down.
    pub fn cost(&self, day: Day, usage: impl IntoIterator<Item = (UsageKind, Totals)>) -> Cost {
        let prices = self.prices(day);
        usage.into_iter().map(|(kind, totals)| prices.cost(kind, &totals)).sum()
    }

    fn prices(&self, day: Day) -> &Prices {
        // The first row starts on the first day there is.
        let after = self.rows.partition_point(|prices| prices.from <= day);
        &self.rows[after - 1]
    }
}

/// The JSON that [`Tariff::parse`] reads.
impl FromStr for Tariff {
    type Err = InvalidTariff;

    fn from_str(json: &str) -> Result<Self, InvalidTariff> {
        Self::parse(json)
    }
}

/// [`Tariff::standard`]
impl Default for Tariff {
    fn default() -> Self {
        Self::standard()
    }
}

impl Prices {
    fn cost(&self, kind: UsageKind, totals: &Totals) -> Cost {
        let (price, units, per) = match kind {
            UsageKind::DataVideo
            | UsageKind::DataAudio
            | UsageKind::DataImage
            | UsageKind::DataText
            | UsageKind::DataApplication => (self.data_zar_per_gb, totals.bytes(), BYTES_PER_GB),
            UsageKind::CallVoice => (self.voice_zar_per_minute, totals.seconds.into(), SECONDS_PER_MINUTE),
            UsageKind::CallVideo => (self.video_zar_per_minute, totals.seconds.into(), SECONDS_PER_MINUTE),
        };
        // A total of bytes is below 2^65, a price below 2^40.
        Cost((units as i128 * i128::from(price.micro_zar)).saturating_mul(SHARES / per))
    }
}

impl Cost {
    /// Nothing.
    pub const ZERO: Self = Self(0);
    /// How many of its units are one rand.
    pub const PER_ZAR: i128 = SHARES * MICROS_PER_ZAR as i128;

    /// The amount in cents, rounded half to even.
    pub const fn cents(self) -> i128 {
        let per_cent = Self::PER_ZAR / 100;
        let (cents, rest) = (self.0.div_euclid(per_cent), self.0.rem_euclid(per_cent));
        let round_up = 2 * rest > per_cent || (2 * rest == per_cent && cents % 2 != 0);
        cents + round_up as i128
    }

    /// The amount in rand with two decimals, rounded once, half to even: `49.00`.
    pub fn to_zar_string(self) -> String {
        let cents = self.cents();
        let sign = if cents < 0 { "-" } else { "" };
        let cents = cents.unsigned_abs();
        format!("{sign}{}.{:02}", cents / 100, cents % 100)
    }
}

impl Add for Cost {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }
}

impl AddAssign for Cost {
    fn add_assign(&mut self, other: Self) {
        *self = *self + other;
    }
}

impl Sum for Cost {
    fn sum<I: Iterator<Item = Self>>(costs: I) -> Self {
        costs.fold(Self::ZERO, Add::add)
    }
}

impl fmt::Display for Cost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.to_zar_string())
    }
}

impl TryFrom<String> for Price {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        micro_zar(&text).map(|micro_zar| Self { micro_zar }).ok_or_else(|| {
            format!(
                "{text:?} is no price: write rand as text, such as \"1.00\", with at most 6 decimals, up to {MAX_PRICE_ZAR}"
            )
        })
    }
}

/// Millionths, exactly.
fn micro_zar(text: &str) -> Option<u64> {
    let (whole, decimals) = text.split_once('.').unwrap_or((text, "0"));
    // 7 digits write the highest price.
    if !(1..=7).contains(&whole.len()) || !(1..=6).contains(&decimals.len()) {
        return None;
    }
    let micros = digits(decimals.as_bytes())? * 10_u32.pow(6 - decimals.len() as u32);
    let price = u64::from(digits(whole.as_bytes())?) * MICROS_PER_ZAR + u64::from(micros);
    (price <= MAX_PRICE_ZAR * MICROS_PER_ZAR).then_some(price)
}
