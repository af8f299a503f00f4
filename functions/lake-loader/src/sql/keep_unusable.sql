insert into ops.unusable_records (
    epoch, topic, partition, "offset", reason, detail, key, value, is_truncated, batch_id
)
values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
on conflict (epoch, topic, partition, "offset") do update
set reason = excluded.reason
