delete from usage.marks
using unnest($1::bigint[], $2::text[], $3::integer[], $4::bigint[]) as old (epoch, topic, partition, at_ms)
join usage.lanes using (epoch, topic, partition)
where marks.lane = lanes.id and marks.at_ms = old.at_ms
