insert into ops.loaded_objects (
    epoch, topic, partition, key, hour, first_offset, last_offset, bytes, batch_id, loaded_at
)
select
    $1,
    $2,
    $3,
    object.key,
    object.hour,
    object.first_offset,
    object.last_offset,
    object.bytes,
    chunk.batch_id,
    case when chunk.batch_id is null then now() end
from unnest($4::text[], $5::timestamptz[], $6::bigint[], $7::bigint[], $8::bigint[], $9::bigint[])
    as object (key, hour, first_offset, last_offset, bytes, start_offset)
left join ops.chunks as chunk
    on (chunk.epoch, chunk.topic, chunk.partition, chunk.start_offset) = ($1, $2, $3, object.start_offset)
on conflict (key) do nothing
