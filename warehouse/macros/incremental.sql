{#-
  Which rows of `relation` the model `this` has not seen. Batches are numbered in the order in which models see them.

  The upper bound is true of every row. It is there for the planner: between two bounds that it does not know it expects few
  rows and goes by the index on batch_id; above one bound it expects a third of the table and reads all of its history.
-#}
{% macro is_new(relation, this) -%}
    batch_id > (select coalesce(max(batch_id), 0) from {{ this }})
    and batch_id <= (select max(batch_id) from {{ relation }})
{%- endmacro %}

{#- The beginning of the window of so many minutes that a civil time lies in. -#}
{% macro window_start(time, minutes) -%}
    date_bin(interval '{{ minutes }} minutes', {{ time }}, timestamp '2000-01-01')
{%- endmacro %}

{#-
  The windows of so many minutes, each with its subscriber, that have rows in `relation` which the model has not seen.
-#}
{% macro changed_windows(relation, this, time, minutes) -%}
    select distinct
        msisdn,
        {{ window_start(time, minutes) }} as window_start
    from {{ relation }}
    where {{ is_new(relation, this) }}
{%- endmacro %}

{#-
  All rows of `relation` in the `changed` windows, new or not. OFFSET 0 keeps the planner from turning the lookups by the
  index on (msisdn, time) into a join over the whole history.
-#}
{% macro rows_of_changed_windows(relation, changed, time, minutes) -%}
    select rows_of_window.*
    from {{ changed }}
    cross join lateral (
        select *
        from {{ relation }} as looked_up
        where
            looked_up.msisdn = {{ changed }}.msisdn
            and looked_up.{{ time }} >= {{ changed }}.window_start
            and looked_up.{{ time }} < {{ changed }}.window_start + interval '{{ minutes }} minutes'
        offset 0
    ) as rows_of_window
{%- endmacro %}
