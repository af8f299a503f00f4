{{ config(
    materialized='incremental',
    incremental_strategy='delete+insert',
    unique_key='room_id',
    indexes=[
        {'columns': ['room_id']},
        {'columns': ['day']},
        {'columns': ['batch_id']}
    ]
) }}

with

messages as (
    {{ messages_of_changed(ref('stg_messages'), ref('stg_messages'), this, 'room_id') }}
),

-- Questions and answers in the order in which they were written, which is that of moments: clocks that are set show an hour twice
-- or not at all. What else speaks in a room, such as a bot, is neither.
ordered as (
    select
        room_id,
        channel,
        sender_type,
        message_date,
        message_at,
        lag(sender_type) over in_order as previous_sender_type,
        max(batch_id) over (partition by room_id) as batch_id,
        kafka_epoch,
        kafka_partition,
        kafka_offset
    from messages
    where sender_type in ('customer', 'agent')
    window in_order as (partition by room_id order by message_at, kafka_epoch, kafka_partition, kafka_offset)
),

-- A customer's messages in a row are one question, an agent's in a row one answer.
turns as (
    select
        room_id,
        channel,
        sender_type,
        message_date,
        message_at,
        lead(message_date) over in_order as next_date,
        lead(message_at) over in_order as next_at,
        batch_id
    from ordered
    where previous_sender_type is distinct from sender_type
    window in_order as (partition by room_id order by message_at, kafka_epoch, kafka_partition, kafka_offset)
)

select
    room_id,
    channel,
    message_date as asked_at,
    next_date as answered_at,
    extract(epoch from next_at - message_at)::bigint as response_seconds,
    message_date::date as day,
    batch_id
from turns
where sender_type = 'customer'
