select
    source_id,
    epoch,
    claimed_ms,
    last_line,
    withdrawn_line,
    files,
    upto
from usage.sources
join usage.lanes on lanes.id = sources.lane
where epoch = $1 and topic = $2 and partition = $3 and source_id = any($4)
