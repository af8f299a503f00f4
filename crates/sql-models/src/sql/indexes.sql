-- Definitions of the indexes that belong to no constraint, with ? for the names of the index and of the table.
select
    replace(
        replace(pg_get_indexdef(indexrelid), quote_ident(named.relname), '?'),
        format('%I.%I', relnamespace::regnamespace, relation.relname),
        '?'
    )
from pg_index
join pg_class as relation on relation.oid = indrelid
join lateral (select relname from pg_class where oid = indexrelid) as named on true
where
    indrelid = $1::text::regclass
    and indisvalid
    and not exists (select from pg_constraint where conindid = indexrelid and conrelid = indrelid)
order by 1
