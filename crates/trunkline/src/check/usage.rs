//! The usage store: whether it answers, has its tables and lanes, and keeps what it acknowledges.

use anyhow::Context;
use lambda_boot::Vars;
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
    let stream: batch_aggregator::Stream = vars.read()?;
    let lanes = store.lanes().await?;
    for topic in [&stream.cdr_data, &stream.cdr_voice] {
        let known = lanes.iter().filter(|(lane, _)| lane.epoch == stream.epoch && lane.topic == *topic).count();
        match known {
            0 => sheet.fault(format!(
                "stream epoch {} does not know topic {topic}, so none of its records is counted: run `trunkline init`",
                stream.epoch
            )),
            _ if usize::try_from(PARTITIONS) == Ok(known) => {
                sheet.ok(format!("topic {topic} is counted in {known} lanes of stream epoch {}", stream.epoch));
            }
            _ => sheet.fault(format!(
                "stream epoch {} knows topic {topic} with {known} partitions instead of {PARTITIONS}: begin a new one \
                 (docs/operations.md)",
                stream.epoch
            )),
        }
    }
    Ok(())
}
