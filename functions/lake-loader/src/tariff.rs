//! The prices, where the models can see them: `ops.tariff`.

use postgres_pool::{Pool, Transaction};
use telecom::Tariff;

use crate::run::RunId;

/// Writes the tariff, where it has changed; the models of costs notice it themselves.
///
/// # Errors
/// When the database fails, or the run has been taken over.
pub(crate) async fn sync(pool: &Pool, run: RunId, tariff: &Tariff) -> anyhow::Result<()> {
    pool.transaction(tariff, move |transaction, tariff| Box::pin(sync_in(transaction, run, tariff))).await
}

async fn sync_in(transaction: &Transaction<'_>, run: RunId, tariff: &Tariff) -> anyhow::Result<()> {
    const SQL: &str = "WITH given AS (
            SELECT valid_from::date, voice * 0.000001 AS voice, video * 0.000001 AS video, data * 0.000001 AS data
            FROM unnest($1::text[], $2::bigint[], $3::bigint[], $4::bigint[]) AS g (valid_from, voice, video, data)
        ), gone AS (
            DELETE FROM ops.tariff WHERE valid_from NOT IN (SELECT valid_from FROM given)
        )
        INSERT INTO ops.tariff AS t SELECT * FROM given
        ON CONFLICT (valid_from) DO UPDATE SET voice_zar_per_minute = excluded.voice_zar_per_minute,
            video_zar_per_minute = excluded.video_zar_per_minute, data_zar_per_gb = excluded.data_zar_per_gb
        WHERE (t.voice_zar_per_minute, t.video_zar_per_minute, t.data_zar_per_gb)
            <> (excluded.voice_zar_per_minute, excluded.video_zar_per_minute, excluded.data_zar_per_gb)";
    run.hold(transaction).await?;
    let price = |micro_zar: u64| i64::try_from(micro_zar).unwrap_or(i64::MAX);
    let days: Vec<String> = tariff.rows().map(|row| row.from.to_string()).collect();
    let voice: Vec<i64> = tariff.rows().map(|row| price(row.voice_micro_zar_per_minute)).collect();
    let video: Vec<i64> = tariff.rows().map(|row| price(row.video_micro_zar_per_minute)).collect();
    let data: Vec<i64> = tariff.rows().map(|row| price(row.data_micro_zar_per_gb)).collect();
    transaction.execute(SQL, &[&days, &voice, &video, &data]).await?;
    Ok(())
}
