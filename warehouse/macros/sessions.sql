{#- Removes the rows of `this` for every hour of a subscriber that is made anew, as `relation` has new rows. -#}
{% macro delete_changed_hours(relation, this) -%}
    {% if is_incremental() %}
    delete from {{ this }} as session
    using (
        {{ changed_spans(relation, is_new(relation, this), 'event_time', 60) }}
    ) as spans
    where session.msisdn = spans.msisdn and session.hour >= spans.since and session.hour < spans.until
    {% endif %}
{%- endmacro %}
