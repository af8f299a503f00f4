{#-
  Usage per subscriber and window: a model's whole statement. `window` is the window of a change in `relation`, which the column
  `name` holds. What the model has is added to: it has every batch up to its highest once, as that one is in the same transaction.
  A window of which all was taken back stays, with 0 events: else the model would forget which batches it has.
  OFFSET 0 keeps the planner from reading all of the model's history instead of looking up what it adds to.
-#}
{% macro usage_per_window(relation, this, window, name) -%}
with

added as (
    select
        msisdn,
        {{ window }} as {{ name }},
        category,
        usage_type,
        sum(events) as events,
        sum(up_bytes)::bigint as up_bytes,
        sum(down_bytes)::bigint as down_bytes,
        sum(seconds)::bigint as seconds,
        max(batch_id) as batch_id
    from {{ relation }}
    {% if is_incremental() %}
    where {{ is_new(relation, this) }}
    {% endif %}
    group by 1, 2, 3, 4
)

select
    added.msisdn,
    added.{{ name }},
    added.category,
    added.usage_type,
    {% if is_incremental() %}
    added.events + coalesce(before.events, 0) as events,
    added.up_bytes + coalesce(before.up_bytes, 0) as up_bytes,
    added.down_bytes + coalesce(before.down_bytes, 0) as down_bytes,
    added.seconds + coalesce(before.seconds, 0) as seconds,
    added.batch_id
from added
left join lateral (
    select events, up_bytes, down_bytes, seconds
    from {{ this }} as looked_up
    where
        looked_up.{{ name }} = added.{{ name }}
        and looked_up.msisdn = added.msisdn
        and looked_up.category = added.category
        and looked_up.usage_type = added.usage_type
    offset 0
) as before on true
    {% else %}
    added.events,
    added.up_bytes,
    added.down_bytes,
    added.seconds,
    added.batch_id
from added
    {% endif %}
{%- endmacro %}
