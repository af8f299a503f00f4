select
    key,
    hour,
    first_offset,
    last_offset,
    bytes
from ops.loaded_objects
where batch_id = $1
order by first_offset, last_offset desc
