select
    0::int2,
    null,
    obj_description($1::text::regclass, 'pg_class')

union all

select
    attnum,
    attname::text,
    col_description(attrelid, attnum)
from pg_attribute
where attrelid = $1::text::regclass and attnum > 0 and not attisdropped
