//! Figures as the databases hold them: 63 bits and a sign.

use anyhow::Context;

pub(crate) fn signed(figure: u64) -> anyhow::Result<i64> {
    i64::try_from(figure).context("a figure is larger than the 63 bits that the usage store holds")
}

pub(crate) fn unsigned(figure: i64) -> anyhow::Result<u64> {
    u64::try_from(figure).context("the usage store has a negative figure")
}
