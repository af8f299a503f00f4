select
    source_id,
    max(last_line),
    max(withdrawn_line)
from ops.source_lines
where epoch = $1 and topic = $2 and partition = $3 and source_id = any($4) and start_offset < $5
group by source_id
