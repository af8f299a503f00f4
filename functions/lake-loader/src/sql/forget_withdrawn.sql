-- A row that was withdrawn later is not restored: it is in the other table.
delete from incoming
using {withdrawn} as gone
where
    gone.source_id = incoming.source_id
    and gone.source_line = incoming.source_line
    and gone.kafka_epoch = incoming.kafka_epoch
    and gone.kafka_partition = incoming.kafka_partition
