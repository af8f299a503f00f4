{{ config(
    materialized='incremental',
    incremental_strategy='delete+insert',
    unique_key=['window_start', 'msisdn', 'category', 'usage_type'],
    indexes=[
        {'columns': ['window_start', 'msisdn', 'category', 'usage_type'], 'unique': True},
        {'columns': ['batch_id']}
    ]
) }}

{{ usage_per_window(ref('stg_usage_changes'), this, window_start('event_time', 30), 'window_start') }}
