{{ config(
    materialized='incremental',
    incremental_strategy='delete+insert',
    unique_key=['day', 'msisdn', 'category', 'usage_type'],
    indexes=[
        {'columns': ['day', 'msisdn', 'category', 'usage_type'], 'unique': True},
        {'columns': ['batch_id']}
    ]
) }}

{{ usage_per_window(ref('stg_usage_changes'), this, 'event_time::date', 'day') }}
