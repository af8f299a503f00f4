-- The versions that depend on what was before a truncation ($1, $2): of each row the first version after it, if its
-- change did not say all columns; versions whose values may come from a row with another key; and the last version
-- before it, if that was stale, perhaps only since the truncation.
select
    {key},
    stream_lsn,
    is_streamed,
    source_lsn
from (
    select distinct on ({key})
        {key},
        stream_lsn,
        is_streamed,
        source_lsn,
        unchanged
    from crm_data.{table}_history
    where (stream_lsn, is_streamed, source_lsn) > ($1::bigint, true, $2::bigint)
    order by {key}, stream_lsn, is_streamed, source_lsn
) as first
where unchanged <> '{}'

union

select
    {key},
    stream_lsn,
    is_streamed,
    source_lsn
from crm_data.{table}_history
where
    (stream_lsn, is_streamed, source_lsn) > ($1::bigint, true, $2::bigint)
    and base_key is not null
    and unchanged <> '{}'

union

select
    {key},
    stream_lsn,
    is_streamed,
    source_lsn
from crm_data.{table}_history as version
where
    (stream_lsn, is_streamed, source_lsn) < ($1::bigint, true, $2::bigint)
    and stale_since is not null
    and not exists (
        select from crm_data.{table}_history as later
        where
            later.{key} = version.{key}
            and (later.stream_lsn, later.is_streamed, later.source_lsn)
            > (version.stream_lsn, version.is_streamed, version.source_lsn)
            and (later.stream_lsn, later.is_streamed, later.source_lsn) < ($1::bigint, true, $2::bigint)
    )
