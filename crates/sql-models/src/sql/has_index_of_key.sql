select exists (
    select from pg_index
    where
        indrelid = $1::text::regclass
        and indisvalid
        and indpred is null
        and (
            select array_agg(attname::text order by attname::text)
            from unnest(indkey::int2[]) with ordinality as part (number, nth)
            join pg_attribute on attrelid = indrelid and attnum = number
            where nth <= cardinality($2::text[])
        ) = (select array_agg(name order by name) from unnest($2::text[]) as name)
)
