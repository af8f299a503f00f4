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
