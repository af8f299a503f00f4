-- The ends of these rows: their deletions, the table's truncations (which have no key), and the rows' unusable changes.
select
    key,
    stream_lsn,
    true,
    source_lsn,
    deleted_at,
    false
from crm_data.deletions
where table_name = $1 and key = any($2)

union all

select
    null,
    stream_lsn,
    true,
    source_lsn,
    truncated_at,
    false
from crm_data.truncations
where table_name = $1

union all

select
    key,
    stream_lsn,
    is_streamed,
    source_lsn,
    changed_at,
    true
from crm_data.unusable
where table_name = $1 and key = any($2)
