-- Of each row ($1) the newest version before a place ($2, $3, $4) and, if $5, all versions from there on.
select
    version.{key},
    version.stream_lsn,
    version.is_streamed,
    version.source_lsn,
    version.op,
    version.changed_at,
    version.valid_from,
    version.unchanged,
    version.base_key,
    array[{values}]
from unnest($1::bigint[], $2::bigint[], $3::boolean[], $4::bigint[])
    as since (key, stream_lsn, is_streamed, source_lsn)
cross join lateral (
    (
        select *
        from crm_data.{table}_history as earlier
        where
            earlier.{key} = since.key
            and (earlier.stream_lsn, earlier.is_streamed, earlier.source_lsn)
            < (since.stream_lsn, since.is_streamed, since.source_lsn)
        order by earlier.stream_lsn desc, earlier.is_streamed desc, earlier.source_lsn desc
        limit 1
    )

    union all

    (
        select *
        from crm_data.{table}_history as later
        where
            later.{key} = since.key
            and (later.stream_lsn, later.is_streamed, later.source_lsn)
            >= (since.stream_lsn, since.is_streamed, since.source_lsn)
            and $5
    )
) as version
