{#- Late data, and what is taken back, can break a session up, so what stands for the hours that are made anew goes first: the statement may bring no row for it. -#}
{{ config(
    materialized='incremental',
    incremental_strategy='delete+insert',
    unique_key=['hour', 'msisdn'],
    pre_hook="{{ delete_changed_hours(ref('stg_usage_changes'), this) }}",
    indexes=[
        {'columns': ['hour', 'msisdn', 'session_start', 'tower_id'], 'unique': True},
        {'columns': ['batch_id']}
    ]
) }}

with

-- The hours of subscribers that are made anew.
changed as (
    select
        msisdn,
        {{ window_start('event_time', 60) }} as hour,
        max(batch_id) as batch_id
    from {{ ref('stg_usage_changes') }}
    {% if is_incremental() %}
    where {{ is_new(ref('stg_usage_changes'), this) }}
    {% endif %}
    group by 1, 2
),

{% if is_incremental() %}
hours as (
    select distinct hour from changed
),

-- All of these hours, as an hour's rows lie together: what has not changed in them is left out below.
interactions as (
    select found.*
    from hours
    cross join lateral (
        select *
        from {{ ref('stg_interactions') }} as looked_up
        where looked_up.event_time >= hours.hour and looked_up.event_time < hours.hour + interval '1 hour'
        offset 0
    ) as found
),
{% else %}
interactions as (
    select * from {{ ref('stg_interactions') }}
),
{% endif %}

placed as (
    select
        msisdn,
        {{ window_start('event_time', 60) }} as hour,
        event_time,
        tower_id
    from interactions
    where tower_id is not null
),

-- By the time of the events; of several towers at the same moment the lowest number comes first.
ordered as (
    select
        msisdn,
        hour,
        placed.event_time,
        placed.tower_id,
        placed.tower_id is distinct from lag(placed.tower_id) over hour_of_subscriber as is_first_of_stay,
        changed.batch_id
    from placed
    inner join changed using (msisdn, hour)
    window hour_of_subscriber as (partition by msisdn, hour order by placed.event_time, placed.tower_id)
),

stays as (
    select
        *,
        count(*) filter (where is_first_of_stay) over (partition by msisdn, hour order by event_time, tower_id) as nth_stay
    from ordered
)

select
    msisdn,
    tower_id,
    hour,
    min(event_time) as session_start,
    max(event_time) as session_end,
    count(*) as interactions,
    max(batch_id) as batch_id
from stays
group by msisdn, tower_id, hour, nth_stay
having count(*) > 2
