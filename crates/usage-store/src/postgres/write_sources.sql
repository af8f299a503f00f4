INSERT INTO usage.sources AS stored (lane, source_id, claimed_ms, last_line, withdrawn_line, files, upto)
SELECT (SELECT id FROM usage.lanes WHERE (epoch, topic, partition) = ($1, $2, $3)),
    new.source_id, new.claimed_ms, new.last_line, new.withdrawn_line, new.files, new.upto
FROM unnest($4::text[], $5::bigint[], $6::bigint[], $7::bigint[], $8::jsonb[], $9::bigint[])
    AS new (source_id, claimed_ms, last_line, withdrawn_line, files, upto)
ON CONFLICT (lane, source_id) DO UPDATE
SET claimed_ms = excluded.claimed_ms, last_line = excluded.last_line, withdrawn_line = excluded.withdrawn_line,
    files = excluded.files, upto = excluded.upto
WHERE excluded.upto > stored.upto
