select
    next_offset,
    records,
    newest_timestamp_ms,
    epoch,
    topic,
    partition
from usage.lanes
order by epoch, topic, partition
