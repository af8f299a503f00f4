-- The rows come in the order of their keys, and so are locked in that order: two writers can't deadlock.
insert into usage.daily as stored (lane, bucket, msisdn, day, kind, up_bytes, down_bytes, seconds, events, upto)
select (select id from usage.lanes where (epoch, topic, partition) = ($1, $2, $3)),
    new.bucket, new.msisdn, date '1970-01-01' + new.day, new.kind,
    new.up_bytes, new.down_bytes, new.seconds, new.events, $4
from unnest($5::smallint[], $6::bigint[], $7::integer[], $8::smallint[], $9::bigint[], $10::bigint[], $11::bigint[], $12::bigint[])
    as new (bucket, msisdn, day, kind, up_bytes, down_bytes, seconds, events)
on conflict (bucket, msisdn, day, kind, lane) do update
set up_bytes = excluded.up_bytes, down_bytes = excluded.down_bytes, seconds = excluded.seconds, events = excluded.events,
    upto = excluded.upto
where excluded.upto > stored.upto
