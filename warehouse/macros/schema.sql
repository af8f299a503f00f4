{#- A model's schema is the one that it names, without a prefix: the tables are where the contracts say. -#}
{% macro generate_schema_name(custom_schema_name, node) -%}
    {{ target.schema if custom_schema_name is none else custom_schema_name | trim }}
{%- endmacro %}
