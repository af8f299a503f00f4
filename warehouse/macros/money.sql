{#- What costs something in rows of usage: columns of a query that groups them. Summed first, priced once. -#}
{% macro quantities() -%}
    coalesce(sum(up_bytes) filter (where category = 'data'), 0)
        + coalesce(sum(down_bytes) filter (where category = 'data'), 0) as bytes,
    coalesce(sum(seconds) filter (where category = 'call' and usage_type <> 'video'), 0) as voice_seconds,
    coalesce(sum(seconds) filter (where category = 'call' and usage_type = 'video'), 0) as video_seconds
{%- endmacro %}

{#-
  Exact amounts are whole numbers of 1/3,000,000,000,000,000 ZAR: both a byte's share of a gigabyte and a second's of a
  minute, at a price in millionths of a rand, are whole numbers of these. `tariff` is the row of stg_tariff for the usage's day.
-#}
{% macro data_cost_units(usage) -%}
    {{ usage }}.bytes * tariff.data_zar_per_gb * 3000000
{%- endmacro %}

{% macro call_cost_units(usage) -%}
    ({{ usage }}.voice_seconds * tariff.voice_zar_per_minute + {{ usage }}.video_seconds * tariff.video_zar_per_minute)
        * 50000000000000
{%- endmacro %}

{#- An exact amount in rand with two decimals, rounded half to even. numeric's own round() rounds halves up. -#}
{% macro zar(units) -%}
    {%- set cents = "div(" ~ units ~ ", 30000000000000)" -%}
    {%- set rest = "mod(" ~ units ~ ", 30000000000000)" -%}
    (
        (
            {{ cents }}
            + case
                when {{ rest }} > 15000000000000 then 1
                when {{ rest }} = 15000000000000 then mod({{ cents }}, 2)
                else 0
            end
        ) * 0.01
    )::numeric(25, 2)
{%- endmacro %}

{#- Whether anything in `this` was priced by another tariff than the one in force: then all of it is priced anew. -#}
{% macro is_repriced(tariff, this) -%}
    (
        select min(tariff_id) <> (select min(tariff_id) from {{ tariff }})
            or max(tariff_id) <> (select min(tariff_id) from {{ tariff }})
        from {{ this }}
    )
{%- endmacro %}
