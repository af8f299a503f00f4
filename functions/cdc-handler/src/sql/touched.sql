-- The first place from which each row's versions have to be completed again, after changes of these rows ($1) at these
-- places ($2, $3, $4). If a change gave a row another key, the row with that key is one of them.
-- "offset 0" makes the planner look up each row in the index, which is small, even if it has no statistics yet.
with recursive touched as (
    select *
    from unnest($1::bigint[], $2::bigint[], $3::boolean[], $4::bigint[])
        as given (key, stream_lsn, is_streamed, source_lsn)

    union

    select based.*
    from touched
    cross join lateral (
        select
            {key},
            stream_lsn,
            is_streamed,
            source_lsn
        from crm_data.{table}_history as version
        where
            version.base_key = touched.key
            and version.unchanged <> '{}'
            and (version.stream_lsn, version.is_streamed, version.source_lsn)
            > (touched.stream_lsn, touched.is_streamed, touched.source_lsn)
        offset 0
    ) as based
)

select distinct on (key)
    key,
    stream_lsn,
    is_streamed,
    source_lsn
from touched
order by key, stream_lsn, is_streamed, source_lsn
