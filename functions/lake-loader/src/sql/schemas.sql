-- The schemas that the loader and the models fill.
select pg_advisory_xact_lock(hashtext('trunkline: schema'));

-- CREATE SCHEMA IF NOT EXISTS asks for a right on the database also where the schema is there, and a comment is its owner's to
-- make: who has only been given the schemas has neither.
do $$
declare
    schema record;
begin
    for schema in select * from (values
        ('raw', 'Messages and rejected records as they were loaded.'),
        ('cdr_data', 'Call records as they were loaded, and those that were withdrawn.'),
        ('staging', 'The models'' views of their sources: names and types.'),
        ('prepared_layers', 'What the models make of call records and the CRM.'),
        ('analytics', 'What the models make for reports and the dashboard.'),
        ('ops', 'What the loader keeps about its own work.')
    ) as schemas (name, comment) loop
        if to_regnamespace(schema.name) is null then
            execute format('create schema %I', schema.name);
        end if;
        if exists (select from pg_namespace where nspname = schema.name and pg_has_role(nspowner, 'USAGE')) then
            execute format('comment on schema %I is %L', schema.name, schema.comment);
        end if;
    end loop;
end $$;
