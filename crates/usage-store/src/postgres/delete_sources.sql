-- An entry that has been written since stays.
DELETE FROM usage.sources AS stored
USING unnest($1::bigint[], $2::text[], $3::integer[], $4::text[], $5::bigint[])
        AS old (epoch, topic, partition, source_id, upto)
    JOIN usage.lanes USING (epoch, topic, partition)
WHERE stored.lane = lanes.id AND stored.source_id = old.source_id AND stored.upto <= old.upto
