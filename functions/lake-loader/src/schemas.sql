-- The schemas that the loader and the models fill.
SELECT pg_advisory_xact_lock(hashtext('trunkline: schema'));

-- CREATE SCHEMA IF NOT EXISTS asks for a right on the database also where the schema is there, and a comment is its owner's to
-- make: who has only been given the schemas has neither.
DO $$
DECLARE
    schema record;
BEGIN
    FOR schema IN SELECT * FROM (VALUES
        ('raw', 'Messages and rejected records as they were loaded.'),
        ('cdr_data', 'Call records as they were loaded, and those that were withdrawn.'),
        ('staging', 'The models'' views of their sources: names and types.'),
        ('prepared_layers', 'What the models make of call records and the CRM.'),
        ('analytics', 'What the models make for reports and the dashboard.'),
        ('ops', 'What the loader keeps about its own work.')
    ) AS schemas (name, comment) LOOP
        IF to_regnamespace(schema.name) IS NULL THEN
            EXECUTE format('CREATE SCHEMA %I', schema.name);
        END IF;
        IF EXISTS (SELECT FROM pg_namespace WHERE nspname = schema.name AND pg_has_role(nspowner, 'USAGE')) THEN
            EXECUTE format('COMMENT ON SCHEMA %I IS %L', schema.name, schema.comment);
        END IF;
    END LOOP;
END $$;
