-- What this user finds in the warehouse. $1: schemas; $2: tables that are written to, as schema.table.
SELECT current_user::text,
       pg_is_in_recovery(),
       has_database_privilege(current_database(), 'CREATE'),
       ARRAY(SELECT name FROM unnest($1::text[]) AS name WHERE to_regnamespace(name) IS NULL),
       ARRAY(SELECT name FROM unnest($1::text[]) AS name
             WHERE NOT has_schema_privilege(to_regnamespace(name)::oid, 'USAGE')
                OR NOT has_schema_privilege(to_regnamespace(name)::oid, 'CREATE')),
       ARRAY(SELECT name FROM unnest($2::text[]) AS name
             WHERE to_regnamespace(split_part(name, '.', 1)) IS NOT NULL
               AND NOT EXISTS (SELECT FROM pg_class
                               WHERE relnamespace = to_regnamespace(split_part(name, '.', 1))
                                 AND relname = split_part(name, '.', 2))),
       ARRAY(SELECT name FROM unnest($2::text[]) AS name
             JOIN pg_class ON relnamespace = to_regnamespace(split_part(name, '.', 1))
                          AND relname = split_part(name, '.', 2)
             -- Of several rights in one text, it is enough to have one.
             WHERE NOT has_table_privilege(pg_class.oid, 'SELECT')
                OR NOT has_table_privilege(pg_class.oid, 'INSERT'))
