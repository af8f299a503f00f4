insert into usage.marks (lane, at_ms, end_offset)
select
    lanes.id,
    new.at_ms,
    new.end_offset
from unnest($1::bigint[], $2::text[], $3::integer[], $4::bigint[], $5::bigint[])
    as new (epoch, topic, partition, at_ms, end_offset)
join usage.lanes using (epoch, topic, partition)
on conflict do nothing
