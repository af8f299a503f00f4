select
    day - date '1970-01-01',
    kind,
    up_bytes,
    down_bytes,
    seconds,
    events
from usage.daily
where
    bucket = $1
    and msisdn = $2
    and day between date '1970-01-01' + $3::integer and date '1970-01-01' + $4::integer
