-- Every message that was loaded is in analytics, as it was written.
select message_id
from {{ ref('stg_messages') }} as loaded
where
    loaded.batch_id > {{ var('checked_batch') }}
    and not exists (
        select 1 from {{ ref('messages') }} as message
        where
            message.message_id = loaded.message_id
            and message.room_id = loaded.room_id
            and message.message_text = loaded.message_text
            and message.message_date = loaded.message_date
    )
