-- Of a chunk that an earlier version loaded, only the hours of its objects are known.
select
    batch_id,
    stream,
    epoch,
    topic,
    partition,
    start_offset,
    end_offset,
    bytes
from ops.chunks
where
    loaded_at is not null
    and case
        when earliest_at is not null then latest_at >= $1 and ($2::timestamptz is null or earliest_at < $2)
        else exists (
            select from ops.loaded_objects as object
            where
                object.batch_id = chunks.batch_id
                and object.hour >= $1
                and ($2::timestamptz is null or object.hour < $2)
        )
    end
order by batch_id
