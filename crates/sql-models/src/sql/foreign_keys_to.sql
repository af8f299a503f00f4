select
    conrelid::regclass::text,
    quote_ident(conname),
    pg_get_constraintdef(oid)
from pg_constraint
where contype = 'f' and confrelid = $1::text::regclass and conrelid <> confrelid
order by 1, 2
