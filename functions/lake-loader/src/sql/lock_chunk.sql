select
    loaded_at is not null,
    run_id is not distinct from $2
from ops.chunks
where batch_id = $1
for update
