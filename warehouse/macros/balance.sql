{#-
  Where usage in windows is not the sum of what it was made of: a test's whole statement. It brings a row for each
  subscriber and type with another sum, over the windows that have changed since they were last checked.
-#}
{% macro usage_differences(parts, parts_time, parts_events, wholes, wholes_time, minutes) -%}
with

{% if var('checked_batch') | int == 0 %}
parts as (
    select * from {{ parts }}
),

wholes as (
    select * from {{ wholes }}
),
{% else %}
spans as (
    {{ changed_spans(wholes, 'batch_id > ' ~ var('checked_batch'), wholes_time ~ '::timestamp', minutes) }}
),

parts as (
    {{ rows_in_spans(parts, 'spans', parts_time) }}
),

wholes as (
    {{ rows_in_spans(wholes, 'spans', wholes_time) }}
),
{% endif %}

sum_of_parts as (
    select
        msisdn,
        category,
        usage_type,
        {{ parts_events }} as events,
        sum(up_bytes) as up_bytes,
        sum(down_bytes) as down_bytes,
        sum(seconds) as seconds
    from parts
    group by 1, 2, 3
),

sum_of_wholes as (
    select
        msisdn,
        category,
        usage_type,
        sum(events) as events,
        sum(up_bytes) as up_bytes,
        sum(down_bytes) as down_bytes,
        sum(seconds) as seconds
    from wholes
    group by 1, 2, 3
)

select
    msisdn,
    category,
    usage_type
from sum_of_parts
full join sum_of_wholes using (msisdn, category, usage_type)
where
    (sum_of_parts.events, sum_of_parts.up_bytes, sum_of_parts.down_bytes, sum_of_parts.seconds)
    is distinct from (sum_of_wholes.events, sum_of_wholes.up_bytes, sum_of_wholes.down_bytes, sum_of_wholes.seconds)
{%- endmacro %}
