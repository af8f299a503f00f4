SELECT wanted.position, stored.up_bytes, stored.down_bytes, stored.seconds, stored.events, stored.upto
FROM unnest($4::smallint[], $5::bigint[], $6::integer[], $7::smallint[]) WITH ORDINALITY
    AS wanted (bucket, msisdn, day, kind, position)
JOIN usage.daily AS stored
    ON stored.bucket = wanted.bucket
    AND stored.msisdn = wanted.msisdn
    AND stored.day = date '1970-01-01' + wanted.day
    AND stored.kind = wanted.kind
WHERE stored.lane = (SELECT id FROM usage.lanes WHERE (epoch, topic, partition) = ($1, $2, $3))
