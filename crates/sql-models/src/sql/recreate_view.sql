select
    format(
        'create view %s%s as %s',
        $1::text,
        ' with (' || array_to_string(reloptions, ', ') || ')',
        pg_get_viewdef(oid)
    )
from pg_class
where oid = $1::text::regclass

union all

select format('alter view %s owner to %I', $1::text, pg_get_userbyid(relowner))
from pg_class
where oid = $1::text::regclass

union all

select format('comment on view %s is %L', $1::text, obj_description($1::text::regclass, 'pg_class'))
where obj_description($1::text::regclass, 'pg_class') is not null

union all

select format('comment on column %s.%I is %L', $1::text, attname, col_description(attrelid, attnum))
from pg_attribute
where attrelid = $1::text::regclass and col_description(attrelid, attnum) is not null
