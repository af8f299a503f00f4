select
    relkind in ('r', 'p'),
    array(
        select attname::text from pg_attribute
        where attrelid = pg_class.oid and attnum > 0 and not attisdropped
        order by attnum
    )
from pg_class
where relnamespace = to_regnamespace(quote_ident($1)) and relname = $2
