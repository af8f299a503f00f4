-- What was taken back stands here as it came, by the load that brought it, and once more, negative, by the one that took it: who has
-- added the first subtracts the second, and who has neither may leave out both.
select
    msisdn,
    event_time,
    category,
    usage_type,
    1 as events,
    up_bytes,
    down_bytes,
    seconds,
    batch_id
from {{ ref('stg_interactions') }}

union all

select
    msisdn,
    event_time,
    category,
    usage_type,
    1 as events,
    up_bytes,
    down_bytes,
    seconds,
    row_batch_id as batch_id
from {{ ref('stg_withdrawn_interactions') }}

union all

select
    msisdn,
    event_time,
    category,
    usage_type,
    -1 as events,
    -up_bytes as up_bytes,
    -down_bytes as down_bytes,
    -seconds as seconds,
    batch_id
from {{ ref('stg_withdrawn_interactions') }}
