select quote_ident(name)
from unnest($1::text[]) as name
where not exists (select from pg_namespace where nspname = name)
