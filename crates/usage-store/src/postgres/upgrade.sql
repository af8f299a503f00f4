-- A store of the version before this: its columns, and nothing else of it, is changed. In one transaction.
SELECT pg_advisory_xact_lock(hashtextextended('trunkline usage store', 0));

ALTER TABLE usage.settings
    ADD COLUMN IF NOT EXISTS rules integer,
    ADD COLUMN IF NOT EXISTS zone text,
    ADD COLUMN IF NOT EXISTS closed_before_ms bigint;
ALTER TABLE usage.lanes ADD COLUMN IF NOT EXISTS rules_from bigint NOT NULL DEFAULT 0;
-- The default is for the rows that are there.
ALTER TABLE usage.sources ADD COLUMN IF NOT EXISTS withdrawn_line bigint NOT NULL DEFAULT 0;
ALTER TABLE usage.sources ALTER COLUMN withdrawn_line DROP DEFAULT;
