select wanted.position, stored.up_bytes, stored.down_bytes, stored.seconds, stored.events, stored.upto
from unnest($4::smallint[], $5::bigint[], $6::integer[], $7::smallint[]) with ordinality
    as wanted (bucket, msisdn, day, kind, position)
join usage.daily as stored
    on stored.bucket = wanted.bucket
    and stored.msisdn = wanted.msisdn
    and stored.day = date '1970-01-01' + wanted.day
    and stored.kind = wanted.kind
where stored.lane = (select id from usage.lanes where (epoch, topic, partition) = ($1, $2, $3))
