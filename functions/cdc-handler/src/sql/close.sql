-- Ends the versions that a truncation ($1, $2, at $3) found: the last version of each row before it.
update crm_data.{table}_history as version
set valid_to = least(valid_to, greatest(valid_from, $3))
where
    (stream_lsn, is_streamed, source_lsn) < ($1::bigint, true, $2::bigint)
    and (valid_to is null or valid_to > greatest(valid_from, $3))
    and not exists (
        select from crm_data.{table}_history as later
        where
            later.{key} = version.{key}
            and (later.stream_lsn, later.is_streamed, later.source_lsn)
            > (version.stream_lsn, version.is_streamed, version.source_lsn)
            and (later.stream_lsn, later.is_streamed, later.source_lsn) < ($1::bigint, true, $2::bigint)
    )
