select
    message_id,
    room_id,
    room_created_at,
    channel,
    customer_id,
    customer_name,
    phone,
    sender_type,
    message_text,
    message_date,
    upload_date,
    kafka_epoch,
    kafka_partition,
    kafka_offset,
    batch_id,
    message_at
from {{ source('raw', 'messages') }}
