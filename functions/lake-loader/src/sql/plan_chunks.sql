insert into ops.chunks (
    stream, epoch, topic, partition, start_offset, end_offset, gap_offsets, bytes, is_by_offset
)
select
    $1,
    $2,
    $3,
    $4,
    start_offset,
    end_offset,
    gap_offsets,
    bytes,
    is_by_offset
from unnest($5::bigint[], $6::bigint[], $7::bigint[], $8::bigint[], $9::boolean[])
    as draft (start_offset, end_offset, gap_offsets, bytes, is_by_offset)
order by start_offset
on conflict (epoch, topic, partition, start_offset) do nothing
