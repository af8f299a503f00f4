-- What tables that an earlier version made lack. Each step first looks whether it is needed: ALTER TABLE keeps readers waiting also
-- where there is nothing to do.
CREATE OR REPLACE FUNCTION ops.lacks(relation text, column_name text) RETURNS boolean LANGUAGE sql STABLE AS $$
    SELECT to_regclass(relation) IS NOT NULL AND NOT EXISTS (
        SELECT FROM pg_attribute
        WHERE attrelid = to_regclass(relation) AND attname = column_name AND NOT attisdropped)
$$;
COMMENT ON FUNCTION ops.lacks IS 'Whether a table is there and has no column of this name.';

DO $$
BEGIN
    IF ops.lacks('ops.chunks', 'is_by_offset') THEN
        ALTER TABLE ops.chunks
            ADD COLUMN is_by_offset boolean NOT NULL DEFAULT false,
            ADD COLUMN earliest_at timestamptz,
            ADD COLUMN latest_at timestamptz,
            ADD COLUMN last_record_at timestamptz;
        ALTER TABLE ops.loaded_objects ALTER COLUMN hour DROP NOT NULL;
    END IF;
    IF ops.lacks('ops.source_lines', 'withdrawn_line') THEN
        ALTER TABLE ops.chunks ADD COLUMN withdrawn bigint;
        ALTER TABLE ops.source_lines ADD COLUMN withdrawn_line bigint NOT NULL DEFAULT 0;
        ALTER TABLE ops.layer_audit ADD COLUMN withdrawn bigint NOT NULL DEFAULT 0;
    END IF;
    IF ops.lacks('ops.state', 'messages_lack_moments') THEN
        ALTER TABLE ops.state ADD COLUMN messages_lack_moments boolean NOT NULL DEFAULT false;
    END IF;
    IF ops.lacks('raw.messages', 'message_at') THEN
        ALTER TABLE raw.messages ADD COLUMN message_at timestamptz;
        UPDATE ops.state SET messages_lack_moments = true;
    END IF;
END $$;

-- A record may name no tower, and usage of which all was taken back is 0 events.
DO $$
DECLARE
    lacking record;
BEGIN
    FOR lacking IN
        SELECT attrelid::regclass AS relation FROM pg_attribute
        WHERE attrelid IN (to_regclass('cdr_data.data'), to_regclass('cdr_data.voice'))
            AND attname = 'tower_id' AND attnotnull
    LOOP
        EXECUTE format('ALTER TABLE %s ALTER COLUMN tower_id DROP NOT NULL', lacking.relation);
    END LOOP;
    FOR lacking IN
        SELECT conrelid::regclass AS relation, conname AS name FROM pg_constraint
        WHERE contype = 'c' AND pg_get_constraintdef(oid) LIKE '%(events > 0)%' AND conrelid IN (
            to_regclass('prepared_layers.usage_15min'), to_regclass('prepared_layers.usage_30min'),
            to_regclass('prepared_layers.usage_1h'), to_regclass('prepared_layers.daily_usage'),
            to_regclass('analytics.usage_by_day'))
    LOOP
        EXECUTE format(
            'ALTER TABLE %s DROP CONSTRAINT %I, ADD CHECK (events >= 0 AND up_bytes >= 0 AND down_bytes >= 0 AND seconds >= 0)',
            lacking.relation, lacking.name);
    END LOOP;
END $$;
