{{ config(
    materialized='incremental',
    incremental_strategy='delete+insert',
    unique_key=['msisdn', 'day'],
    indexes=[
        {'columns': ['msisdn', 'day', 'category', 'usage_type'], 'unique': True},
        {'columns': ['batch_id']},
        {'columns': ['day']}
    ]
) }}

with

usage as (
    {{ usage_per_window(ref('usage_1h'), this, 'window_start', 1440, 'sum(events)') }}
)

select
    msisdn,
    window_start::date as day,
    category,
    usage_type,
    events,
    up_bytes,
    down_bytes,
    seconds,
    batch_id
from usage
