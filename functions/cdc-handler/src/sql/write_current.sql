-- $1: keys; $2: valid from; $3: the place in the source's log; $4: stale since. Then an array for each column.
insert into crm_data.{table} as old (
    {key}, valid_from, source_lsn, stale_since,
    {names}
)
select
    key,
    valid_from,
    source_lsn,
    stale_since,
    {casts}
from unnest(
    $1::bigint[], $2::timestamptz[], $3::bigint[], $4::timestamptz[],
    {arrays}
) as new (
    key, valid_from, source_lsn, stale_since,
    {names}
)
on conflict ({key}) do update
set
    valid_from = excluded.valid_from,
    source_lsn = excluded.source_lsn,
    stale_since = excluded.stale_since,
    ({names}) = row({excluded})
where
    (old.valid_from, old.source_lsn, old.stale_since, {old})
    is distinct from (excluded.valid_from, excluded.source_lsn, excluded.stale_since, {excluded})
