{{ config(
    materialized='incremental',
    incremental_strategy='delete+insert',
    unique_key=['day', 'msisdn'],
    indexes=[
        {'columns': ['day', 'msisdn'], 'unique': True},
        {'columns': ['batch_id']},
        {'columns': ['tariff_id']}
    ]
) }}

with

{% if is_incremental() %}
changed as (
    select msisdn, day from {{ ref('daily_usage') }}
    where {{ is_new(ref('daily_usage'), this) }}

    union

    select msisdn, day from {{ ref('daily_usage') }}
    where {{ is_repriced(ref('stg_tariff'), this) }}
),

usage as (
    select daily.*
    from changed
    cross join lateral (
        select *
        from {{ ref('daily_usage') }} as looked_up
        where looked_up.msisdn = changed.msisdn and looked_up.day = changed.day
        offset 0
    ) as daily
),
{% else %}
usage as (
    select * from {{ ref('daily_usage') }}
),
{% endif %}

days as (
    select
        msisdn,
        day,
        {{ quantities() }},
        max(batch_id) as batch_id
    from usage
    group by 1, 2
),

priced as (
    select
        days.msisdn,
        days.day,
        {{ data_cost_units('days') }} as data_units,
        {{ call_cost_units('days') }} as call_units,
        tariff.tariff_id,
        days.batch_id
    from days
    inner join {{ ref('stg_tariff') }} as tariff
        on days.day >= tariff.valid_from and days.day < tariff.valid_to
)

select
    msisdn,
    day,
    {{ zar('data_units') }} as data_cost_zar,
    {{ zar('call_units') }} as call_cost_zar,
    {{ zar('(data_units + call_units)') }} as cost_zar,
    tariff_id,
    batch_id
from priced
