{{ config(
    materialized='incremental',
    incremental_strategy='delete+insert',
    unique_key=['msisdn', 'window_start'],
    indexes=[
        {'columns': ['msisdn', 'window_start', 'category', 'usage_type'], 'unique': True},
        {'columns': ['batch_id']}
    ]
) }}

{{ usage_per_window(ref('stg_interactions'), this, 'event_time', 15, 'count(*)') }}
