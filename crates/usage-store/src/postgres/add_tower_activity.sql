-- The rows come in the order of their keys, and so are locked in that order: two writers can't deadlock.
insert into usage.tower_activity as stored (tower_id, day, hour, up_bytes, down_bytes, seconds, events)
select new.tower_id, date '1970-01-01' + new.day, new.hour, new.up_bytes, new.down_bytes, new.seconds, new.events
from unnest($1::bigint[], $2::integer[], $3::smallint[], $4::bigint[], $5::bigint[], $6::bigint[], $7::bigint[])
    as new (tower_id, day, hour, up_bytes, down_bytes, seconds, events)
on conflict (tower_id, day, hour) do update
set up_bytes = stored.up_bytes + excluded.up_bytes, down_bytes = stored.down_bytes + excluded.down_bytes,
    seconds = stored.seconds + excluded.seconds, events = stored.events + excluded.events
