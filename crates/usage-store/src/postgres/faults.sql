select
    current_user::text,
    pg_is_in_recovery(),
    current_setting('synchronous_commit') = 'off',
    has_table_privilege('usage.daily', 'INSERT') and has_table_privilege('usage.daily', 'UPDATE')
