-- A balance is the one before it and the hour's cost, but for rounding.
select
    hour.msisdn,
    hour.hour
from {{ ref('hourly_balance') }} as hour
left join lateral (
    select balance_zar
    from {{ ref('hourly_balance') }} as earlier
    where earlier.msisdn = hour.msisdn and earlier.hour < hour.hour
    order by earlier.hour desc
    limit 1
) as before on true
where
    hour.batch_id > {{ var('checked_batch') }}
    and abs(coalesce(before.balance_zar, 0) + hour.cost_zar - hour.balance_zar) > 0.01
