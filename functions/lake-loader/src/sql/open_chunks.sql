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
where loaded_at is null
order by batch_id
