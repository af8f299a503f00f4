//! The lake's bucket: whether it is there, and whether it does with an object what the lake relies on.

use anyhow::{Context, ensure};
use bytes::Bytes;
use futures::TryStreamExt;
use jiff::Timestamp;
use lake::{Lake, Put, Swap, names};
use lambda_boot::Vars;

use super::Sheet;

const FIRST: &[u8] = b"trunkline check: first";
const SECOND: &[u8] = b"trunkline check: second";

pub(super) async fn check(sheet: &mut Sheet, vars: &Vars) -> anyhow::Result<()> {
    let config: lake::Config = vars.read()?;
    let lake = Lake::connect(&config);
    let mut objects = lake.list(names::FILES);
    objects.try_next().await.with_context(|| format!("the bucket {} can't be listed", config.bucket))?;
    sheet.ok(format!("the bucket {} is there, and can be listed", config.bucket));
    // Of this run alone, so that two of them don't meet.
    let key = format!("{}{}-{}", names::CHECKS, Timestamp::now().as_nanosecond(), std::process::id());
    let tried = try_object(&lake, &key).await;
    lake.delete(&key).await.with_context(|| format!("allow s3:DeleteObject, and remove {key}"))?;
    tried?;
    sheet.ok("an object can be put, read and removed; conditional puts (If-None-Match, If-Match) work");
    Ok(())
}

/// What files and registers rely on: of two puts of one name, one wins.
async fn try_object(lake: &Lake, key: &str) -> anyhow::Result<()> {
    let created = lake.put_if_absent(key, Bytes::from_static(FIRST), &[]).await?;
    ensure!(created == Put::Created, "the store says that {key} is there already, which nobody has put");
    let again = lake.put_if_absent(key, Bytes::from_static(SECOND), &[]).await?;
    let (bytes, tag) = lake.get_tagged(key).await?.with_context(|| format!("{key} is not there after it was put"))?;
    ensure!(
        again == Put::Exists && bytes == FIRST,
        "the store puts over an object although If-None-Match forbids it: files could be lost. Use one that knows \
         conditional writes, or a newer version of it"
    );
    let swapped = lake.replace(key, Some(&tag), Bytes::from_static(SECOND)).await?;
    let outdated = lake.replace(key, Some(&tag), Bytes::from_static(FIRST)).await?;
    ensure!(
        (swapped, outdated) == (Swap::Swapped, Swap::Lost),
        "the store does not heed If-Match: the registers of the files could be lost. Use one that knows conditional \
         writes, or a newer version of it"
    );
    Ok(())
}
