select coalesce(' with (' || array_to_string(reloptions, ', ') || ')', '')
from pg_class
where oid = $1::text::regclass
