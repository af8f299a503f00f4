{{ config(materialized='incremental', incremental_strategy='merge', unique_key='room_id', indexes=[{'columns': ['batch_id']}]) }}

with

messages as (
    {{ messages_of_changed(ref('stg_messages'), ref('customers'), this, 'room_id') }}
),

latest as (
    select distinct on (room_id)
        room_id,
        customer_id,
        channel,
        room_created_at
    from messages
    order by room_id, message_at desc, kafka_epoch desc, kafka_partition desc, kafka_offset desc
),

seen as (
    select
        room_id,
        min(upload_date) as created_at,
        max(batch_id) as batch_id
    from messages
    group by 1
)

select
    seen.room_id::varchar(50) as room_id,
    latest.customer_id::varchar(50) as customer_id,
    latest.channel::varchar(50) as channel,
    latest.room_created_at,
    seen.created_at,
    seen.batch_id
from seen
inner join latest using (room_id)
