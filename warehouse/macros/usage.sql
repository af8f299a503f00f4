{#- Usage per subscriber and window of so many minutes: a model's whole statement. `relation` has events by `time`. -#}
{% macro usage_per_window(relation, this, time, minutes, events) -%}
with

{% if is_incremental() %}
spans as (
    {{ changed_spans(relation, is_new(relation, this), time, minutes) }}
),

usage as (
    {{ rows_in_spans(relation, 'spans', time) }}
)
{% else %}
usage as (
    select * from {{ relation }}
)
{% endif %}

select
    msisdn,
    {{ window_start(time, minutes) }} as window_start,
    category,
    usage_type,
    {{ events }}::bigint as events,
    sum(up_bytes)::bigint as up_bytes,
    sum(down_bytes)::bigint as down_bytes,
    sum(seconds)::bigint as seconds,
    max(batch_id) as batch_id
from usage
group by 1, 2, 3, 4
{%- endmacro %}
