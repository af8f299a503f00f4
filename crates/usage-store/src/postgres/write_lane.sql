update usage.lanes
set
    next_offset = $4,
    records = $5,
    newest_timestamp_ms = $6
where epoch = $1 and topic = $2 and partition = $3 and next_offset < $4
