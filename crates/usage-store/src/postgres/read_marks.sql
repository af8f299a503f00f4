select
    epoch,
    topic,
    partition,
    at_ms,
    end_offset
from usage.marks
join usage.lanes on lanes.id = marks.lane
