{#-
  Where usage in windows is not the sum of what it was made of: a test's whole statement. `parts` are events or smaller
  windows, by `parts_time`; `keys` is what the sums are compared by. It looks at the windows that have
  changed since they were last checked, each with all that lies in it.
-#}
{% macro usage_differences(parts, parts_time, parts_events, wholes, wholes_time, length, keys) -%}
with

{% if var('checked_batch') | int == 0 %}
parts as (
    select * from {{ parts }}
),

wholes as (
    select * from {{ wholes }}
),
{% else %}
changed as (
    select distinct {{ wholes_time }} as window_start from {{ wholes }}
    where batch_id > {{ var('checked_batch') }}
),

parts as (
    select found.*
    from changed
    cross join lateral (
        select *
        from {{ parts }} as looked_up
        where
            looked_up.{{ parts_time }} >= changed.window_start
            and looked_up.{{ parts_time }} < changed.window_start + interval '{{ length }}'
        offset 0
    ) as found
),

wholes as (
    select found.*
    from changed
    cross join lateral (
        select *
        from {{ wholes }} as looked_up
        where looked_up.{{ wholes_time }} = changed.window_start
        offset 0
    ) as found
),
{% endif %}

sum_of_parts as (
    select
        {{ keys }},
        {{ parts_events }} as events,
        sum(up_bytes) as up_bytes,
        sum(down_bytes) as down_bytes,
        sum(seconds) as seconds
    from parts
    group by {{ keys }}
),

sum_of_wholes as (
    select
        {{ keys }},
        sum(events) as events,
        sum(up_bytes) as up_bytes,
        sum(down_bytes) as down_bytes,
        sum(seconds) as seconds
    from wholes
    group by {{ keys }}
)

select
    {{ keys }}
from sum_of_parts
full join sum_of_wholes using ({{ keys }})
where
    -- Nothing is as good as what was taken back: 0 events.
    (
        coalesce(sum_of_parts.events, 0), coalesce(sum_of_parts.up_bytes, 0),
        coalesce(sum_of_parts.down_bytes, 0), coalesce(sum_of_parts.seconds, 0)
    ) <> (
        coalesce(sum_of_wholes.events, 0), coalesce(sum_of_wholes.up_bytes, 0),
        coalesce(sum_of_wholes.down_bytes, 0), coalesce(sum_of_wholes.seconds, 0)
    )
{%- endmacro %}
