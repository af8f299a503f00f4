{{ config(materialized='incremental', incremental_strategy='merge', unique_key='message_id', indexes=[{'columns': ['batch_id']}]) }}

select
    message_id::varchar(50) as message_id,
    room_id::varchar(50) as room_id,
    sender_type::varchar(20) as sender_type,
    message_text,
    message_date,
    upload_date as created_at,
    batch_id
from {{ ref('stg_messages') }}
where
{% if is_incremental() %}
    {{ is_new(ref('rooms'), this) }}
{% else %}
    batch_id <= (select max(batch_id) from {{ ref('rooms') }})
{% endif %}
