-- The new batch_id makes the messages new to the models, which rebuild a room or a day from all its messages: nothing
-- is counted twice.
with

batch as (
    select nextval(pg_get_serial_sequence('ops.chunks', 'batch_id')) as id
)

update raw.messages
set
    message_at = message_date at time zone $1,
    batch_id = batch.id
from batch
where message_at is null
