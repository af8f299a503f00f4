-- An entry that has been written since stays.
delete from usage.sources as stored
using unnest($1::bigint[], $2::text[], $3::integer[], $4::text[], $5::bigint[])
        as old (epoch, topic, partition, source_id, upto)
    join usage.lanes using (epoch, topic, partition)
where stored.lane = lanes.id and stored.source_id = old.source_id and stored.upto <= old.upto
