insert into usage.lanes (epoch, topic, partition)
select
    $1,
    $2,
    partition
from generate_series(0, $3 - 1) as partition
where not exists (select from usage.lanes where epoch = $1 and topic = $2)
order by partition
on conflict do nothing
