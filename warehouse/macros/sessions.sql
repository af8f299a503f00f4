{#- Removes the rows of `this` for every hour of a subscriber that `relation` has new rows for. -#}
{% macro delete_changed_hours(relation, this) -%}
    {% if is_incremental() %}
    delete from {{ this }} as session
    using (
        {{ changed_windows(relation, this, 'event_time', 60) }}
    ) as changed
    where session.msisdn = changed.msisdn and session.hour = changed.window_start
    {% endif %}
{%- endmacro %}
