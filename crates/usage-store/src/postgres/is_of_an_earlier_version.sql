select
    to_regclass('usage.settings') is not null
    and not exists (
        select from pg_attribute
        where attrelid = to_regclass('usage.settings') and attname = 'rules'
    )
