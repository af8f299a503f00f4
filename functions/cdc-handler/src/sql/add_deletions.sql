insert into crm_data.deletions (table_name, key, stream_lsn, source_lsn, deleted_at)
select
    $1,
    *
from unnest($2::bigint[], $3::bigint[], $4::bigint[], $5::timestamptz[])
on conflict do nothing
