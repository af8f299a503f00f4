insert into ops.record_keys (epoch, topic, partition, key, first_offset)
select
    $1,
    $2,
    $3,
    key,
    first_offset
from unnest($4::text[], $5::bigint[]) as new (key, first_offset)
on conflict (epoch, topic, partition, key) do update
set first_offset = excluded.first_offset
where record_keys.first_offset > excluded.first_offset
