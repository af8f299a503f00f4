{{ config(
    materialized='incremental',
    incremental_strategy='delete+insert',
    unique_key=['msisdn', 'window_start'],
    indexes=[
        {'columns': ['msisdn', 'window_start', 'category', 'usage_type'], 'unique': True},
        {'columns': ['batch_id']}
    ]
) }}

{{ usage_per_window(ref('usage_15min'), this, 'window_start', 30, 'sum(events)') }}
