insert into ops.layer_audit as old (
    run_id, layer, table_name,
    rows_in, rows_out, duplicates, rejected, is_balanced, chunks, gap_offsets, bytes, withdrawn
)
values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)
on conflict (run_id, layer, table_name) do update
set
    rows_in = old.rows_in + excluded.rows_in,
    rows_out = old.rows_out + excluded.rows_out,
    duplicates = old.duplicates + excluded.duplicates,
    rejected = old.rejected + excluded.rejected,
    is_balanced = old.is_balanced and excluded.is_balanced,
    chunks = old.chunks + excluded.chunks,
    gap_offsets = old.gap_offsets + excluded.gap_offsets,
    bytes = old.bytes + excluded.bytes,
    withdrawn = old.withdrawn + excluded.withdrawn
