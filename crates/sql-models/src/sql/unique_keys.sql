select
    array_agg(attname::text order by nth),
    bool_and(attnotnull),
    indpred is null
from pg_index
cross join unnest(indkey::int2[]) with ordinality as part (number, nth)
left join pg_attribute on attrelid = indrelid and attnum = number
where indrelid = $1::text::regclass and indisunique and indisvalid and nth <= indnkeyatts
group by indexrelid, indpred is null
