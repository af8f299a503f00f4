-- Removes what a chunk brought. A row that was restored has another batch id than its chunk.
with

gone as (
    delete from {table} as kept
    using withdrawing
    where
        kept.kafka_epoch = $1
        and kept.kafka_partition = $2
        and kept.kafka_offset >= $3
        and kept.kafka_offset < $4
        and kept.source_id = withdrawing.source_id
        and kept.source_line = withdrawing.source_line
    returning kept.source_id, kept.source_line, kept.batch_id
),

numbered as (
    update withdrawing
    set row_batch_id = gone.batch_id
    from gone
    where withdrawing.source_id = gone.source_id and withdrawing.source_line = gone.source_line
)

select count(*) from gone
