insert into ops.source_lines (epoch, topic, partition, start_offset, source_id, last_line, withdrawn_line)
select
    $1,
    $2,
    $3,
    $4,
    source_id,
    last_line,
    withdrawn_line
from unnest($5::text[], $6::bigint[], $7::bigint[]) as new (source_id, last_line, withdrawn_line)
on conflict (epoch, topic, partition, source_id, start_offset) do update
set
    last_line = excluded.last_line,
    withdrawn_line = excluded.withdrawn_line
where (source_lines.last_line, source_lines.withdrawn_line) <> (excluded.last_line, excluded.withdrawn_line)
