select
    silver.chunks,
    silver.bytes,
    silver.rows_in,
    silver.rows_out,
    silver.duplicates,
    silver.rejected,
    silver.gap_offsets,
    raw.rows_out,
    silver.withdrawn
from ops.layer_audit as silver
join ops.layer_audit as raw using (run_id)
where
    run_id = $1
    and silver.layer = 'silver'
    and silver.table_name = $2
    and raw.layer = 'raw'
    and raw.table_name = $3
