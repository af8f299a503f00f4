insert into ops.file_conflicts as old (file_name, other_file, reason, rows, shared_rows, landed_at)
select
    file_name,
    other_file,
    reason,
    rows,
    shared_rows,
    to_timestamp(landed_at)
from unnest($1::text[], $2::text[], $3::text[], $4::bigint[], $5::bigint[], $6::bigint[])
    as new (file_name, other_file, reason, rows, shared_rows, landed_at)
on conflict (file_name) do update
set
    other_file = excluded.other_file,
    reason = excluded.reason,
    rows = excluded.rows,
    shared_rows = excluded.shared_rows,
    landed_at = excluded.landed_at
where
    (old.other_file, old.reason, old.rows, old.shared_rows, old.landed_at)
    is distinct from (excluded.other_file, excluded.reason, excluded.rows, excluded.shared_rows, excluded.landed_at)
