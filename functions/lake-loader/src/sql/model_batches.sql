-- Rows that were restored have batch ids of the sequence, and no chunk of their own.
select
    checked_batch_id,
    coalesce(pg_sequence_last_value(pg_get_serial_sequence('ops.chunks', 'batch_id')::regclass), 0),
    exists (select from ops.chunks where rebuild_batch_id > checked_batch_id)
from ops.state
