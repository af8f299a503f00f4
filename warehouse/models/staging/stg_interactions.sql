select
    msisdn,
    tower_id,
    event_time,
    'data' as category,
    usage_type,
    up_bytes,
    down_bytes,
    0::bigint as seconds,
    batch_id
from {{ ref('stg_data_sessions') }}

union all

select
    msisdn,
    tower_id,
    event_time,
    'call' as category,
    usage_type,
    0::bigint as up_bytes,
    0::bigint as down_bytes,
    seconds,
    batch_id
from {{ ref('stg_calls') }}
