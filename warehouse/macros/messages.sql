{#-
  All messages of every room, or customer, that has messages which the model has not seen, up to the last batch in `known`:
  the table that the model refers to.
-#}
{% macro messages_of_changed(messages, known, this, key) -%}
    {% if is_incremental() %}
    select found.*
    from (
        select distinct {{ key }}
        from {{ messages }}
        where {{ is_new(known, this) }}
    ) as changed
    cross join lateral (
        select *
        from {{ messages }} as looked_up
        where
            looked_up.{{ key }} = changed.{{ key }}
            and looked_up.batch_id <= (select max(batch_id) from {{ known }})
        offset 0
    ) as found
    {% else %}
    select * from {{ messages }}
    where batch_id <= (select max(batch_id) from {{ known }})
    {% endif %}
{%- endmacro %}
