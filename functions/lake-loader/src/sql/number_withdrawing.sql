-- Gives each row the batch id of the chunk that brought it: the first one that came to the row's line, or beyond it.
update withdrawing as numbered
set row_batch_id = chunk.batch_id
from withdrawing as looked_up
cross join lateral (
    select start_offset
    from ops.source_lines as source
    where
        source.epoch = $1
        and source.topic = $2
        and source.partition = $3
        and source.source_id = looked_up.source_id
        and source.last_line >= looked_up.source_line
        and source.start_offset < $4
    order by start_offset
    limit 1
) as first
join ops.chunks as chunk
    on (chunk.epoch, chunk.topic, chunk.partition, chunk.start_offset) = ($1, $2, $3, first.start_offset)
where numbered.kafka_offset = looked_up.kafka_offset
