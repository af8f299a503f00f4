select nth
from unnest($1::text[]) with ordinality as listed (key, nth)
where not exists (select from ops.loaded_objects as known where known.key = listed.key)
order by nth
