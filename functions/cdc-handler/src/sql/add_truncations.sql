insert into crm_data.truncations (table_name, stream_lsn, source_lsn, truncated_at)
select
    $1,
    *
from unnest($2::bigint[], $3::bigint[], $4::timestamptz[])
on conflict do nothing
