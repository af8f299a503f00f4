{#- Late data can break a session up, so what stands for a changed hour goes first: the statement may bring no row for it. -#}
{{ config(
    materialized='incremental',
    incremental_strategy='delete+insert',
    unique_key=['msisdn', 'hour'],
    pre_hook="{{ delete_changed_hours(ref('stg_interactions'), this) }}",
    indexes=[
        {'columns': ['msisdn', 'hour', 'session_start', 'tower_id'], 'unique': True},
        {'columns': ['batch_id']}
    ]
) }}

with

{% if is_incremental() %}
changed as (
    {{ changed_windows(ref('stg_interactions'), this, 'event_time', 60) }}
),

interactions as (
    {{ rows_of_changed_windows(ref('stg_interactions'), 'changed', 'event_time', 60) }}
),
{% else %}
interactions as (
    select * from {{ ref('stg_interactions') }}
),
{% endif %}

-- Interactions of one tower follow each other for as long as both numbers grow together. Of several towers at the same
-- moment the lowest number counts as the first.
numbered as (
    select
        msisdn,
        tower_id,
        {{ window_start('event_time', 60) }} as hour,
        event_time,
        row_number() over (hour_of_subscriber order by event_time, tower_id) as nth,
        row_number() over (hour_of_subscriber_at_tower order by event_time) as nth_at_tower,
        max(batch_id) over hour_of_subscriber as batch_id
    from interactions
    window
        hour_of_subscriber as (partition by msisdn, {{ window_start('event_time', 60) }}),
        hour_of_subscriber_at_tower as (partition by msisdn, {{ window_start('event_time', 60) }}, tower_id)
)

select
    msisdn,
    tower_id,
    hour,
    min(event_time) as session_start,
    max(event_time) as session_end,
    count(*) as interactions,
    max(batch_id) as batch_id
from numbered
group by msisdn, tower_id, hour, nth - nth_at_tower
having count(*) > 2
