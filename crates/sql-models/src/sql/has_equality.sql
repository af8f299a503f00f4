select
    attname::text,
    exists (
        select from pg_operator
        where oprname = '=' and oprleft = atttypid and oprright = atttypid and oprcanhash
    )
from pg_attribute
where attrelid = $1::text::regclass and attnum > 0 and not attisdropped
