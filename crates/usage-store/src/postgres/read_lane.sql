select
    next_offset,
    records,
    newest_timestamp_ms,
    rules_from,
    rules,
    zone,
    closed_before_ms
from usage.lanes
cross join usage.settings
where epoch = $1 and topic = $2 and partition = $3
