{#- Removes the rows of `this` for every hour of a subscriber that is made anew, as `relation` has new rows. -#}
{% macro delete_changed_hours(relation, this) -%}
    {% if is_incremental() %}
    delete from {{ this }} as session
    using (
        select distinct
            msisdn,
            {{ window_start('event_time', 60) }} as hour
        from {{ relation }}
        where {{ is_new(relation, this) }}
    ) as changed
    where session.hour = changed.hour and session.msisdn = changed.msisdn
    {% endif %}
{%- endmacro %}
