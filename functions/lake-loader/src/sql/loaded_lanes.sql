select
    topic,
    partition,
    next_offset
from ops.lanes
where epoch = $1 and topic = any($2) and next_offset > 0
order by topic, partition
