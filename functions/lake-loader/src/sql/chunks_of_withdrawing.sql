select
    start_offset,
    end_offset
from ops.chunks
where batch_id in (select row_batch_id from withdrawing) and batch_id <> $1
order by 1
