{{ config(
    materialized='incremental',
    incremental_strategy='delete+insert',
    unique_key='day',
    indexes=[
        {'columns': ['day', 'channel', 'sender_type'], 'unique': True},
        {'columns': ['batch_id']}
    ]
) }}

with

{% if is_incremental() %}
changed as (
    select distinct date_trunc('day', message_date) as day_start from {{ ref('stg_messages') }}
    where {{ is_new(ref('stg_messages'), this) }}
),

messages as (
    select written.*
    from changed
    cross join lateral (
        select * from {{ ref('stg_messages') }} as looked_up
        where looked_up.message_date >= changed.day_start and looked_up.message_date < changed.day_start + interval '1 day'
        offset 0
    ) as written
)
{% else %}
messages as (
    select * from {{ ref('stg_messages') }}
)
{% endif %}

select
    message_date::date as day,
    channel,
    sender_type,
    count(*) as messages,
    max(batch_id) as batch_id
from messages
group by 1, 2, 3
