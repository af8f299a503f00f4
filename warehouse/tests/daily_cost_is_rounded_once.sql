-- Three figures, each at most half a cent from the exact one, differ by one and a half cents at most: by 0.01, in whole cents.
select
    msisdn,
    day
from {{ ref('daily_cost') }}
where batch_id > {{ var('checked_batch') }} and abs(data_cost_zar + call_cost_zar - cost_zar) > 0.01
