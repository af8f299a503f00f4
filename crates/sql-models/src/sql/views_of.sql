-- All that is made of a relation, directly or through others: its name, and whether it is a plain view.
with recursive made_of (oid, depth) as (
    select
        $1::text::regclass::oid,
        0

    union

    select
        ev_class,
        depth + 1
    from made_of
    join pg_depend
        on refobjid = made_of.oid and refclassid = 'pg_class'::regclass and classid = 'pg_rewrite'::regclass
    join pg_rewrite on pg_rewrite.oid = objid and ev_class <> made_of.oid
)

select
    format('%I.%I', relnamespace::regnamespace, relname),
    relkind = 'v' and not exists (
        select from pg_trigger where tgrelid = pg_class.oid
        union all
        select from pg_rewrite where ev_class = pg_class.oid and rulename <> '_RETURN'
    ),
    relnamespace::regnamespace::text,
    relname::text
from made_of
join pg_class using (oid)
where depth > 0
group by pg_class.oid, relnamespace, relname, relkind
order by max(depth), 1
