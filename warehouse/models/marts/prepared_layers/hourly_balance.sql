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

-- A balance carries on to all later hours.
changed as (
    select
        msisdn,
        min(hour) as since
    from changed_hours
    group by 1
),

usage as (
    select later.*
    from changed
    cross join lateral (
        select *
        from {{ ref('usage_1h') }} as looked_up
        where looked_up.msisdn = changed.msisdn and looked_up.window_start >= changed.since
        offset 0
    ) as later
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
        usage.msisdn,
        usage.window_start as hour,
        tariff.tariff_id,
        sum({{ data_cost_units('usage') }} + {{ call_cost_units('usage') }}) as units,
        max(usage.batch_id) as batch_id
    from usage
    inner join {{ ref('stg_tariff') }} as tariff
        on usage.window_start >= tariff.valid_from and usage.window_start < tariff.valid_to
    group by 1, 2, 3
),

balances as (
    select
        hours.msisdn,
        hours.hour,
        hours.tariff_id,
        hours.units,
        coalesce(opening.units, 0) + sum(hours.units) over (partition by hours.msisdn order by hours.hour) as balance_units,
        hours.batch_id
    from hours
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
