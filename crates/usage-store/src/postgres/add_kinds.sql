insert into usage.kinds (kind, category, usage_type)
select * from unnest($1::smallint[], $2::text[], $3::text[])
on conflict do nothing
