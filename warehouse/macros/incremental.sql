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
  Which windows of so many minutes are to be made anew, as a span of time for each subscriber and day: from the first to the
  last window with a row for which `condition` holds. Windows between them are made anew as well, and come out as they were:
  one lookup a day is less work than one a window.
-#}
{% macro changed_spans(relation, condition, time, minutes) -%}
    select
        msisdn,
        min({{ window_start(time, minutes) }}) as since,
        max({{ window_start(time, minutes) }}) + interval '{{ minutes }} minutes' as until
    from {{ relation }}
    where {{ condition }}
    group by msisdn, date_trunc('day', {{ time }})
{%- endmacro %}

{#-
  All rows of `relation` in the `spans`, new or not. OFFSET 0 keeps the planner from turning the lookups by the index on
  (msisdn, time) into a join over the whole history.
-#}
{% macro rows_in_spans(relation, spans, time) -%}
    select found.*
    from {{ spans }}
    cross join lateral (
        select *
        from {{ relation }} as looked_up
        where
            looked_up.msisdn = {{ spans }}.msisdn
            and looked_up.{{ time }} >= {{ spans }}.since
            and looked_up.{{ time }} < {{ spans }}.until
        offset 0
    ) as found
{%- endmacro %}
