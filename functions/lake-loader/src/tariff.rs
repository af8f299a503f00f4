//! The prices for the models: `ops.tariff`.

use postgres_pool::{Pool, Transaction};
use telecom::Tariff;

use crate::run::RunId;

/// Writes the tariff if it has changed. The models of costs notice the change themselves.
///
/// # Errors
/// When the database fails, or the run has been taken over.
pub(crate) async fn sync(pool: &Pool, run: RunId, tariff: &Tariff) -> anyhow::Result<()> {
    pool.transaction(tariff, move |transaction, tariff| Box::pin(sync_in(transaction, run, tariff))).await
}

async fn sync_in(transaction: &Transaction<'_>, run: RunId, tariff: &Tariff) -> anyhow::Result<()> {
    const SQL: &str = include_str!("sql/write_tariff.sql");
    run.hold(transaction).await?;
    let price = |micro_zar: u64| i64::try_from(micro_zar).unwrap_or(i64::MAX);
    let days: Vec<String> = tariff.rows().map(|row| row.from.to_string()).collect();
    let voice: Vec<i64> = tariff.rows().map(|row| price(row.voice_micro_zar_per_minute)).collect();
    let video: Vec<i64> = tariff.rows().map(|row| price(row.video_micro_zar_per_minute)).collect();
    let data: Vec<i64> = tariff.rows().map(|row| price(row.data_micro_zar_per_gb)).collect();
    transaction.execute(SQL, &[&days, &voice, &video, &data]).await?;
    Ok(())
}
