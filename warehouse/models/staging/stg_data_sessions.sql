select
    msisdn,
    tower_id,
    event_datetime as event_time,
    data_type as usage_type,
    up_bytes,
    down_bytes,
    batch_id
from {{ source('cdr_data', 'data') }}
