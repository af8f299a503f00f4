-- All lanes and the store at once.
WITH moved AS (
    UPDATE usage.lanes SET rules_from = new.rules_from
    FROM unnest($3::bigint[], $4::text[], $5::integer[], $6::bigint[]) AS new (epoch, topic, partition, rules_from)
    WHERE (lanes.epoch, lanes.topic, lanes.partition) = (new.epoch, new.topic, new.partition)
)
UPDATE usage.settings SET rules = $1, zone = $2
