//! Whether the lake is one that this version of the program can go on with.

use anyhow::ensure;
use bytes::Bytes;
use futures::TryStreamExt as _;
use lake::{Lake, names};
use serde::{Deserialize, Serialize};
use tokio::sync::OnceCell;

/// By which rules the lake's objects are named: 1 had no registers, and no such object.
const FORMAT: u32 = 2;

/// `format.json`.
#[derive(Serialize, Deserialize)]
pub(crate) struct Format {
    format: u32,
}

/// Refuses a lake that an older version has filled, or a newer one. An empty one is made ours.
pub(crate) async fn check(lake: &Lake, is_checked: &OnceCell<()>) -> anyhow::Result<()> {
    is_checked.get_or_try_init(|| look(lake)).await.copied()
}

async fn look(lake: &Lake) -> anyhow::Result<()> {
    let Some(Format { format }) = lake.get_json(names::FORMAT).await? else {
        ensure!(
            !is_filled(lake).await?,
            "the lake was filled by version 0.1: run `trunkline init`, which makes registers of its files"
        );
        return write(lake).await;
    };
    ensure!(
        format == FORMAT,
        "the lake has format {format}, and this version of the program knows {FORMAT} only: use the newer version"
    );
    Ok(())
}

/// Whether anything has landed.
pub(crate) async fn is_filled(lake: &Lake) -> Result<bool, lake::Error> {
    for prefix in [names::LANDING, names::ANNOUNCED] {
        if lake.list(prefix).try_next().await?.is_some() {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Says that the lake has registers.
pub(crate) async fn write(lake: &Lake) -> anyhow::Result<()> {
    let json = serde_json::to_vec(&Format { format: FORMAT })?;
    lake.put_if_absent(names::FORMAT, Bytes::from(json), &[]).await?;
    Ok(())
}

/// The format that the lake says it has.
pub(crate) async fn is_current(lake: &Lake) -> Result<bool, lake::Error> {
    Ok(lake.get_json::<Format>(names::FORMAT).await?.is_some_and(|found| found.format == FORMAT))
}
