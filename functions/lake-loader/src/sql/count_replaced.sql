-- Counts the messages of earlier runs that incoming ones will replace.
select count(*)
from incoming
join {table} as kept using ({key})
left join ops.chunks as chunk on chunk.batch_id = kept.batch_id
where chunk.run_id is distinct from $1 and {is_earlier}
