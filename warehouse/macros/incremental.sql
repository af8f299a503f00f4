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
