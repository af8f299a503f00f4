SELECT up_bytes, down_bytes, seconds, events, day - date '1970-01-01', hour
FROM usage.tower_activity
WHERE tower_id = $1 AND (day, hour) BETWEEN (date '1970-01-01' + $2::integer, $3::smallint) AND (date '1970-01-01' + $4::integer, $5::smallint)
ORDER BY day, hour
