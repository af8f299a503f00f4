//! Creates the store, and upgrades one of an earlier version.

use anyhow::{Context, ensure};
use futures::FutureExt;
use postgres_pool::Transaction;
use telecom::UsageKind;

use super::{Postgres, kind_number, one};
use crate::rules::Design;
use crate::upkeep::left_to_count;
use crate::{REPUBLISH_WITHIN_MS, RecordRules, Setup, UsageStore};

impl Postgres {
    /// Creates the tables; see [`Store::set_up`](crate::Store::set_up), which does more.
    ///
    /// # Errors
    /// As there.
    pub(crate) async fn make(&self, setup: &Setup) -> anyhow::Result<()> {
        if self.is_of_an_earlier_version().await? {
            self.upgrade(setup).await?;
        }
        self.connection.batch(include_str!("schema.sql")).await.context("making the tables of the usage store")?;
        let (kinds, names): (Vec<_>, Vec<_>) =
            UsageKind::ALL.iter().map(|kind| (kind_number(*kind), (kind.category(), kind.usage_type()))).unzip();
        let (categories, types): (Vec<_>, Vec<_>) =
            names.into_iter().map(|(category, usage_type)| (category.as_str(), usage_type)).unzip();
        self.connection.query(include_str!("add_kinds.sql"), &[&kinds, &categories, &types]).await?;
        let Setup { buckets, rules: RecordRules { number, zone }, .. } = setup;
        let number = i32::try_from(*number)?;
        self.connection
            .query(
                "insert into usage.settings (buckets, rules, zone) values ($1, $2, $3) on conflict do nothing",
                &[&buckets.number(), &number, zone],
            )
            .await?;
        let made = self.buckets().await?;
        ensure!(
            made == *buckets,
            "the usage store was made with {} buckets, which can't be changed to {}: make a new store",
            made.number(),
            buckets.number()
        );
        Ok(())
    }

    async fn is_of_an_earlier_version(&self) -> anyhow::Result<bool> {
        let rows = self.connection.query(include_str!("is_of_an_earlier_version.sql"), &[]).await?;
        Ok(one(&rows)?.try_get(0)?)
    }

    /// Upgrades the tables, if every record was counted by the earlier version's rules.
    async fn upgrade(&self, setup: &Setup) -> anyhow::Result<()> {
        let left = left_to_count::<Design>(&self.lanes().await?, &setup.ends);
        ensure!(
            left.is_empty(),
            "the usage store was made by an earlier version of Trunkline, and records wait that are to be counted by that: \
             {}. Let it count them, stop everything, and run `trunkline init` again",
            left.join(", ")
        );
        self.connection
            .transaction(setup, |transaction, setup| upgraded(transaction, setup).boxed())
            .await
            .context("bringing the tables of the usage store up to date")
    }
}

async fn upgraded(transaction: &Transaction<'_>, setup: &Setup) -> anyhow::Result<()> {
    transaction.batch_execute(include_str!("upgrade.sql")).await?;
    let number = i32::try_from(setup.rules.number)?;
    let closed_before_ms = setup.now_ms - REPUBLISH_WITHIN_MS;
    // Another process may have upgraded it just now, and the store may be at work again.
    let done = transaction
        .execute(
            "update usage.settings set rules = $1, zone = $2, closed_before_ms = $3 where rules is null",
            &[&number, &setup.rules.zone, &closed_before_ms],
        )
        .await?;
    if done > 0 {
        transaction.execute("update usage.lanes set rules_from = next_offset", &[]).await?;
        let required = "alter table usage.settings alter column rules set not null, alter column zone set not null";
        transaction.batch_execute(required).await?;
    }
    Ok(())
}
