-- $1: keys; $2, $3, $4: places; $5: op; $6 to $8: times; $9: names of unchanged columns, separated by commas; $10: the
-- key before; $11: stale since. Then an array for each column.
insert into crm_data.{table}_history as old (
    {key}, stream_lsn, is_streamed, source_lsn,
    op, changed_at, valid_from, valid_to, unchanged, base_key, stale_since,
    {names}
)
select
    key,
    stream_lsn,
    is_streamed,
    source_lsn,
    op,
    changed_at,
    valid_from,
    valid_to,
    string_to_array(unchanged, ','),
    base_key,
    stale_since,
    {casts}
from unnest(
    $1::bigint[], $2::bigint[], $3::boolean[], $4::bigint[],
    $5::text[], $6::timestamptz[], $7::timestamptz[], $8::timestamptz[], $9::text[], $10::bigint[], $11::timestamptz[],
    {arrays}
) as new (
    key, stream_lsn, is_streamed, source_lsn,
    op, changed_at, valid_from, valid_to, unchanged, base_key, stale_since,
    {names}
)
on conflict ({key}, stream_lsn, is_streamed, source_lsn) do update
set
    op = excluded.op,
    changed_at = excluded.changed_at,
    valid_from = excluded.valid_from,
    valid_to = excluded.valid_to,
    unchanged = excluded.unchanged,
    base_key = excluded.base_key,
    stale_since = excluded.stale_since,
    ({names}) = row({excluded})
where
    (
        old.op, old.changed_at, old.valid_from, old.valid_to, old.unchanged, old.base_key, old.stale_since,
        {old}
    ) is distinct from (
        excluded.op, excluded.changed_at, excluded.valid_from, excluded.valid_to, excluded.unchanged,
        excluded.base_key, excluded.stale_since,
        {excluded}
    )
