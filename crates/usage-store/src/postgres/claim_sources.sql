-- An update that changes nothing, so that the claim of whoever was first is returned, even if it was made just now.
insert into usage.claims as stored (source_id, epoch, claimed_ms)
select * from unnest($1::text[], $2::bigint[], $3::bigint[])
on conflict (source_id) do update set epoch = stored.epoch
returning source_id, epoch, claimed_ms
