insert into usage.sources as stored (lane, source_id, claimed_ms, last_line, withdrawn_line, files, upto)
select (select id from usage.lanes where (epoch, topic, partition) = ($1, $2, $3)),
    new.source_id, new.claimed_ms, new.last_line, new.withdrawn_line, new.files, new.upto
from unnest($4::text[], $5::bigint[], $6::bigint[], $7::bigint[], $8::jsonb[], $9::bigint[])
    as new (source_id, claimed_ms, last_line, withdrawn_line, files, upto)
on conflict (lane, source_id) do update
set claimed_ms = excluded.claimed_ms, last_line = excluded.last_line, withdrawn_line = excluded.withdrawn_line,
    files = excluded.files, upto = excluded.upto
where excluded.upto > stored.upto
