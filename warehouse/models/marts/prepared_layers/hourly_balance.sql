{{ config(
    materialized='incremental',
    incremental_strategy='delete+insert',
    unique_key=['msisdn', 'hour'],
    indexes=[
        {'columns': ['msisdn', 'hour'], 'unique': True},
        {'columns': ['batch_id']},
        {'columns': ['tariff_id']}
    ]
) }}

with

{% if is_incremental() %}
changed_hours as (
    select msisdn, window_start as hour from {{ ref('usage_1h') }}
    where {{ is_new(ref('usage_1h'), this) }}

    union all

    select msisdn, window_start as hour from {{ ref('usage_1h') }}
    where {{ is_repriced(ref('stg_tariff'), this) }}
),

changed as (
    select
        msisdn,
        min(hour) as since
    from changed_hours
    group by 1
),

-- A balance carries on to all later hours.
hours_to_price as (
    select msisdn, hour from changed_hours

    union

    select
        changed.msisdn,
        later.hour
    from changed
    cross join lateral (
        select hour
        from {{ this }} as looked_up
        where looked_up.msisdn = changed.msisdn and looked_up.hour > changed.since
        offset 0
    ) as later
),

usage as (
    select found.*
    from hours_to_price
    cross join lateral (
        select *
        from {{ ref('usage_1h') }} as looked_up
        where looked_up.window_start = hours_to_price.hour and looked_up.msisdn = hours_to_price.msisdn
        offset 0
    ) as found
),

opening as (
    select
        changed.msisdn,
        before.balance_units as units
    from changed
    cross join lateral (
        select balance_units
        from {{ this }} as looked_up
        where looked_up.msisdn = changed.msisdn and looked_up.hour < changed.since
        order by looked_up.hour desc
        limit 1
    ) as before
),
{% else %}
usage as (
    select * from {{ ref('usage_1h') }}
),

opening as (
    select null::text as msisdn, 0::numeric as units
    where false
),
{% endif %}

hours as (
    select
        msisdn,
        window_start as hour,
        {{ quantities() }},
        max(batch_id) as batch_id
    from usage
    group by 1, 2
),

priced as (
    select
        hours.msisdn,
        hours.hour,
        {{ data_cost_units('hours') }} + {{ call_cost_units('hours') }} as units,
        tariff.tariff_id,
        hours.batch_id
    from hours
    inner join {{ ref('stg_tariff') }} as tariff
        on hours.hour >= tariff.valid_from and hours.hour < tariff.valid_to
),

balances as (
    select
        priced.msisdn,
        priced.hour,
        priced.tariff_id,
        priced.units,
        coalesce(opening.units, 0) + sum(priced.units) over (partition by priced.msisdn order by priced.hour) as balance_units,
        priced.batch_id
    from priced
    left join opening using (msisdn)
)

select
    msisdn,
    hour,
    {{ zar('units') }} as cost_zar,
    {{ zar('balance_units') }} as balance_zar,
    balance_units,
    tariff_id,
    batch_id
from balances
