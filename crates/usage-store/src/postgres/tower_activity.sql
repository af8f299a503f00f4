select up_bytes, down_bytes, seconds, events, day - date '1970-01-01', hour
from usage.tower_activity
where tower_id = $1 and (day, hour) between (date '1970-01-01' + $2::integer, $3::smallint) and (date '1970-01-01' + $4::integer, $5::smallint)
order by day, hour
