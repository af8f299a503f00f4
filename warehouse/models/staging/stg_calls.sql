select
    msisdn,
    tower_id,
    start_time as event_time,
    call_type as usage_type,
    call_duration_sec as seconds,
    batch_id
from {{ source('cdr_data', 'voice') }}
