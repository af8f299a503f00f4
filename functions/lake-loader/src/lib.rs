#![doc = include_str!("../README.md")]

pub mod rows;
pub mod silver;
pub mod table;

use lambda_boot::{Handler, Vars};

/// The function in its outermost form.
///
/// # Errors
/// When the configuration is unusable.
pub async fn boot(_vars: Vars) -> anyhow::Result<Handler> {
    anyhow::bail!("not written yet")
}
