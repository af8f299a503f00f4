insert into crm_data.unusable (table_name, key, stream_lsn, is_streamed, source_lsn, changed_at, reason)
select
    $1,
    *
from unnest($2::bigint[], $3::bigint[], $4::boolean[], $5::bigint[], $6::timestamptz[], $7::text[])
on conflict do nothing
