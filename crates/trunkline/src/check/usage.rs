//! The usage store: whether it answers, has its tables and lanes, and keeps what it acknowledges.

use anyhow::Context;
use lambda_boot::Vars;
use stream::{Epoch, Topic, Topics};
use usage_store::Store;

use super::{Sheet, naming};
use crate::topics::PARTITIONS;

pub(super) async fn check(sheet: &mut Sheet, vars: &Vars) -> anyhow::Result<()> {
    let store = Store::connect(vars.get("USAGE_STORE").context("the template sets no USAGE_STORE")?)?;
    let faults = store.faults().await.map_err(|error| naming("USAGE_STORE", &error))?;
    let kind = match &store {
        Store::Postgres(_) => "PostgreSQL",
        Store::Scylla(_) => "the cluster",
    };
    sheet.ok(format!("{kind} answers, and the usage tables are there"));
    for fault in faults {
        sheet.fault(fault);
    }
    let (Epoch { number: epoch }, topics): (Epoch, Topics) = (vars.read()?, vars.read()?);
    let lanes = store.lanes().await?;
    for topic in Topic::CALL_RECORDS.map(|topic| &topics[topic]) {
        let known = lanes.iter().filter(|(lane, _)| lane.epoch == epoch && lane.topic == topic).count();
        match known {
            0 => sheet.fault(format!(
                "stream epoch {epoch} does not know topic {topic}, so none of its records is counted: run `trunkline init`"
            )),
            _ if usize::try_from(PARTITIONS) == Ok(known) => {
                sheet.ok(format!("topic {topic} is counted in {known} lanes of stream epoch {epoch}"));
            }
            _ => sheet.fault(format!(
                "stream epoch {epoch} knows topic {topic} with {known} partitions instead of {PARTITIONS}: begin a new one \
                 (docs/operations.md)"
            )),
        }
    }
    Ok(())
}
