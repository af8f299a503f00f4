//! What a count goes by.

use anyhow::Context;
use jiff::tz::TimeZone;
use lambda_boot::Vars;

use super::money::Tariff;

/// Where nothing else is said, days are those of South Africa.
const DEFAULT_ZONE: &str = "Africa/Johannesburg";

/// The zone in which days are counted, and the prices.
#[derive(Debug)]
pub(super) struct Basis {
    pub(super) zone: TimeZone,
    pub(super) tariff: Tariff,
}

impl Basis {
    /// By `OPERATOR_TIMEZONE` and `TARIFF`.
    pub(super) fn from_vars(vars: &Vars) -> anyhow::Result<Self> {
        let zone = vars.get("OPERATOR_TIMEZONE").filter(|zone| !zone.is_empty()).unwrap_or(DEFAULT_ZONE);
        let zone = TimeZone::get(zone).with_context(|| format!("OPERATOR_TIMEZONE: there is no time zone {zone}"))?;
        let tariff = Tariff::read(vars.get("TARIFF").unwrap_or_default()).context("TARIFF")?;
        Ok(Self { zone, tariff })
    }
}
