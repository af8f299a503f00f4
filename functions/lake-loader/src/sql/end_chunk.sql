update ops.chunks
set
    loaded_at = coalesce(loaded_at, now()),
    run_id = $2,
    records = $3,
    accepted = $4,
    duplicates = $5,
    rejected = $6,
    rebuild_batch_id = coalesce($7, rebuild_batch_id),
    gap_offsets = $8,
    earliest_at = $9,
    latest_at = $10,
    last_record_at = $11,
    withdrawn = $12
where batch_id = $1
