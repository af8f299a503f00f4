select
    msisdn,
    tower_id,
    event_datetime as event_time,
    'data' as category,
    data_type as usage_type,
    up_bytes,
    down_bytes,
    0::bigint as seconds,
    row_batch_id,
    batch_id
from {{ source('cdr_data', 'data_withdrawn') }}

union all

select
    msisdn,
    tower_id,
    start_time as event_time,
    'call' as category,
    call_type as usage_type,
    0::bigint as up_bytes,
    0::bigint as down_bytes,
    call_duration_sec as seconds,
    row_batch_id,
    batch_id
from {{ source('cdr_data', 'voice_withdrawn') }}
