-- An update that changes nothing, so that the claim of whoever was first is returned, even if it was made just now.
INSERT INTO usage.claims AS stored (source_id, epoch, claimed_ms)
SELECT * FROM unnest($1::text[], $2::bigint[], $3::bigint[])
ON CONFLICT (source_id) DO UPDATE SET epoch = stored.epoch
RETURNING source_id, epoch, claimed_ms
