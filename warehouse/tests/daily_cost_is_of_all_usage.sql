-- Every day with usage has a cost. It is missing where the tariff says no prices for the day.
select
    msisdn,
    day
from {{ ref('daily_usage') }} as usage
where
    usage.batch_id > {{ var('checked_batch') }}
    and not exists (
        select 1 from {{ ref('daily_cost') }} as cost
        where cost.msisdn = usage.msisdn and cost.day = usage.day
    )
