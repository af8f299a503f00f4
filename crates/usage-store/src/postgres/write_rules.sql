-- All lanes and the store at once.
with moved as (
    update usage.lanes set rules_from = new.rules_from
    from unnest($3::bigint[], $4::text[], $5::integer[], $6::bigint[]) as new (epoch, topic, partition, rules_from)
    where (lanes.epoch, lanes.topic, lanes.partition) = (new.epoch, new.topic, new.partition)
)
update usage.settings set rules = $1, zone = $2
