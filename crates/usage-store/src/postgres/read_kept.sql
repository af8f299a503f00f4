select
    epoch,
    topic,
    partition,
    source_id,
    upto,
    array(select jsonb_object_keys(files))
from usage.sources
join usage.lanes on lanes.id = sources.lane
where left(source_id, 1) = $1
