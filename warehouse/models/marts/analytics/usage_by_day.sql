{{ config(
    materialized='incremental',
    incremental_strategy='delete+insert',
    unique_key='day',
    indexes=[
        {'columns': ['day', 'category', 'usage_type'], 'unique': True},
        {'columns': ['batch_id']}
    ]
) }}

with

{% if is_incremental() %}
changed as (
    select distinct day from {{ ref('daily_usage') }}
    where {{ is_new(ref('daily_usage'), this) }}
),

usage as (
    select daily.*
    from changed
    cross join lateral (
        select * from {{ ref('daily_usage') }} as looked_up
        where looked_up.day = changed.day
        offset 0
    ) as daily
)
{% else %}
usage as (
    select * from {{ ref('daily_usage') }}
)
{% endif %}

select
    day,
    category,
    usage_type,
    sum(events)::bigint as events,
    sum(up_bytes)::bigint as up_bytes,
    sum(down_bytes)::bigint as down_bytes,
    sum(seconds)::bigint as seconds,
    count(*) filter (where events > 0) as subscribers,
    max(batch_id) as batch_id
from usage
group by 1, 2, 3
