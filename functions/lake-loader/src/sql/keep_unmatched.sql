insert into ops.unmatched_files as old (file_name, files, noted_at)
select
    file_name,
    $2,
    to_timestamp($3)
from unnest($1::text[]) as new (file_name)
on conflict (file_name) do update
set files = excluded.files
where old.files <> excluded.files
