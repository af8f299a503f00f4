select
    attname::text,
    format_type(atttypid, atttypmod),
    attnotnull
from pg_attribute
where attrelid = $1::text::regclass and attnum > 0 and not attisdropped
order by attnum
