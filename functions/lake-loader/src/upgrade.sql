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
    IF ops.lacks('ops.state', 'messages_lack_moments') THEN
        ALTER TABLE ops.state ADD COLUMN messages_lack_moments boolean NOT NULL DEFAULT false;
    END IF;
    IF ops.lacks('raw.messages', 'message_at') THEN
        ALTER TABLE raw.messages ADD COLUMN message_at timestamptz;
        UPDATE ops.state SET messages_lack_moments = true;
    END IF;
END $$;
