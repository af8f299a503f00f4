-- Constraints of a table. "Not null" is read with the columns.
select
    conname::text,
    pg_get_constraintdef(oid)
from pg_constraint
where conrelid = $1::text::regclass and contype in ('c', 'f', 'p', 'u', 'x')
order by 1
