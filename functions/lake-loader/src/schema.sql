-- What the loader keeps about its own work. Run again, it changes nothing.
CREATE TABLE IF NOT EXISTS ops.runs (
    run_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    cause text NOT NULL CHECK (cause IN ('schedule', 'request', 'backfill')),
    status text NOT NULL DEFAULT 'running'
        CHECK (status IN ('running', 'succeeded', 'incomplete', 'failed', 'interrupted')),
    message text,
    is_full_refresh boolean NOT NULL,
    started_at timestamptz NOT NULL DEFAULT now(),
    finished_at timestamptz
);
CREATE INDEX IF NOT EXISTS runs_running ON ops.runs (run_id) WHERE status = 'running';
COMMENT ON TABLE ops.runs IS 'The loader''s runs.';
COMMENT ON COLUMN ops.runs.run_id IS 'Its number: a later one is higher.';
COMMENT ON COLUMN ops.runs.cause IS 'schedule, request (trunkline load), or backfill (--from, --to).';
COMMENT ON COLUMN ops.runs.status IS
    'incomplete: the time was up, the next run goes on; interrupted: it ended without a word, and the next run found it.';
COMMENT ON COLUMN ops.runs.message IS 'Why it failed, or what is left to do.';
COMMENT ON COLUMN ops.runs.is_full_refresh IS 'Whether it was asked to build the models anew.';
COMMENT ON COLUMN ops.runs.started_at IS 'When it began.';
COMMENT ON COLUMN ops.runs.finished_at IS 'When it ended; NULL while it runs.';

CREATE TABLE IF NOT EXISTS ops.state (
    is_only boolean PRIMARY KEY DEFAULT true CHECK (is_only),
    run_id bigint,
    checked_batch_id bigint NOT NULL DEFAULT 0,
    messages_lack_moments boolean NOT NULL DEFAULT false
);
INSERT INTO ops.state DEFAULT VALUES ON CONFLICT DO NOTHING;
COMMENT ON TABLE ops.state IS 'One row: which run may write, and how far the models have come.';
COMMENT ON COLUMN ops.state.is_only IS 'True: there is one row.';
COMMENT ON COLUMN ops.state.run_id IS 'The run that holds the warehouse. What another one still wants to write is refused (ops.hold).';
COMMENT ON COLUMN ops.state.checked_batch_id IS
    'The highest batch_id that all models had built and tested: their tests look at what came after it.';
COMMENT ON COLUMN ops.state.messages_lack_moments IS
    'Whether an earlier version loaded messages, whose message_at the next run fills in.';

-- The first statement of every transaction of a run: a run that was given up, and wakes up after another one has begun, writes nothing.
CREATE OR REPLACE FUNCTION ops.hold(holder bigint) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    PERFORM 1 FROM ops.state WHERE run_id = holder FOR SHARE;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'run % has been taken over by another run', holder USING ERRCODE = 'object_not_in_prerequisite_state';
    END IF;
END $$;
COMMENT ON FUNCTION ops.hold IS 'Fails unless this run holds the warehouse; until the transaction ends, no other run can take it.';

CREATE TABLE IF NOT EXISTS ops.chunks (
    batch_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    stream text NOT NULL,
    epoch bigint NOT NULL,
    topic text NOT NULL,
    partition integer NOT NULL,
    start_offset bigint NOT NULL,
    end_offset bigint NOT NULL CHECK (end_offset > start_offset),
    gap_offsets bigint NOT NULL,
    bytes bigint NOT NULL,
    planned_at timestamptz NOT NULL DEFAULT now(),
    loaded_at timestamptz,
    run_id bigint REFERENCES ops.runs,
    records bigint,
    accepted bigint,
    duplicates bigint,
    rejected bigint,
    rebuild_batch_id bigint,
    is_by_offset boolean NOT NULL DEFAULT false,
    earliest_at timestamptz,
    latest_at timestamptz,
    last_record_at timestamptz,
    withdrawn bigint,
    UNIQUE (epoch, topic, partition, start_offset)
);
CREATE INDEX IF NOT EXISTS chunks_open ON ops.chunks (batch_id) WHERE loaded_at IS NULL;
CREATE INDEX IF NOT EXISTS chunks_rebuild ON ops.chunks (rebuild_batch_id) WHERE rebuild_batch_id IS NOT NULL;
COMMENT ON TABLE ops.chunks IS
    'What is loaded at a time: the records of a lane (epoch, topic, partition) from start_offset to before end_offset. Decided before anything is read, so that whoever does it makes the same.';
COMMENT ON COLUMN ops.chunks.batch_id IS 'The batch_id of its rows. What comes later has a higher one.';
COMMENT ON COLUMN ops.chunks.stream IS 'cdr_data, cdr_voice, messages or rejected.';
COMMENT ON COLUMN ops.chunks.epoch IS 'The stream epoch.';
COMMENT ON COLUMN ops.chunks.topic IS 'The topic.';
COMMENT ON COLUMN ops.chunks.partition IS 'The partition of it.';
COMMENT ON COLUMN ops.chunks.start_offset IS 'Its first offset, or the first that may have been.';
COMMENT ON COLUMN ops.chunks.end_offset IS 'The offset behind its last record.';
COMMENT ON COLUMN ops.chunks.gap_offsets IS
    'Offsets without a record, between objects of the lake and inside of them: Kafka''s own records, compaction, or retention that was faster. Exact once it is loaded: end_offset - start_offset - records.';
COMMENT ON COLUMN ops.chunks.bytes IS 'The length of its objects of bronze.';
COMMENT ON COLUMN ops.chunks.planned_at IS 'When it was decided.';
COMMENT ON COLUMN ops.chunks.loaded_at IS 'When its rows were there; NULL until then.';
COMMENT ON COLUMN ops.chunks.run_id IS 'The run that wrote its rows last.';
COMMENT ON COLUMN ops.chunks.rebuild_batch_id IS
    'The batch_id of the last rows that were missing in the table and were put back, or that took the place of rows of an earlier run; the models are built anew when they come to it.';
COMMENT ON COLUMN ops.chunks.records IS 'accepted + duplicates + rejected + withdrawn.';
COMMENT ON COLUMN ops.chunks.accepted IS 'Records that became rows of silver objects.';
COMMENT ON COLUMN ops.chunks.duplicates IS 'Records that the lane had had before.';
COMMENT ON COLUMN ops.chunks.rejected IS 'Records that could not be used (ops.unusable_records).';
COMMENT ON COLUMN ops.chunks.withdrawn IS 'Records that took a row back.';
COMMENT ON COLUMN ops.chunks.is_by_offset IS
    'Whether the lane''s objects lie by offset in the lake, from this chunk on. Those of earlier versions lie by hour.';
COMMENT ON COLUMN ops.chunks.earliest_at IS
    'The earliest of its records'' Kafka timestamps, which producers choose: for people and for --from and --to. NULL where an earlier version loaded it.';
COMMENT ON COLUMN ops.chunks.latest_at IS 'The latest of them.';
COMMENT ON COLUMN ops.chunks.last_record_at IS 'That of the record with the highest offset; NULL where it has none.';

CREATE TABLE IF NOT EXISTS ops.loaded_objects (
    key text PRIMARY KEY,
    epoch bigint NOT NULL,
    topic text NOT NULL,
    partition integer NOT NULL,
    hour timestamptz,
    first_offset bigint NOT NULL,
    last_offset bigint NOT NULL,
    bytes bigint NOT NULL,
    batch_id bigint REFERENCES ops.chunks,
    loaded_at timestamptz
);
CREATE INDEX IF NOT EXISTS loaded_objects_by_hour ON ops.loaded_objects (epoch, topic, hour);
CREATE INDEX IF NOT EXISTS loaded_objects_by_batch_id ON ops.loaded_objects (batch_id);
COMMENT ON TABLE ops.loaded_objects IS 'Objects of bronze that chunks take.';
COMMENT ON COLUMN ops.loaded_objects.key IS 'Its name.';
COMMENT ON COLUMN ops.loaded_objects.epoch IS 'The stream epoch.';
COMMENT ON COLUMN ops.loaded_objects.topic IS 'The topic.';
COMMENT ON COLUMN ops.loaded_objects.partition IS 'The partition of it.';
COMMENT ON COLUMN ops.loaded_objects.hour IS
    'The hour in its name, if an earlier version put it: that of its first record''s Kafka timestamp.';
COMMENT ON COLUMN ops.loaded_objects.first_offset IS 'Its first record.';
COMMENT ON COLUMN ops.loaded_objects.last_offset IS 'Its last record.';
COMMENT ON COLUMN ops.loaded_objects.bytes IS 'Its length.';
COMMENT ON COLUMN ops.loaded_objects.batch_id IS 'The chunk that takes it; NULL where earlier chunks had all of it.';
COMMENT ON COLUMN ops.loaded_objects.loaded_at IS 'Written with its rows; NULL until then.';

CREATE TABLE IF NOT EXISTS ops.topics_by_hour (
    epoch bigint NOT NULL,
    topic text NOT NULL,
    looked_until timestamptz NOT NULL DEFAULT now() + interval '1 day',
    PRIMARY KEY (epoch, topic)
);
COMMENT ON TABLE ops.topics_by_hour IS 'Topics of which earlier versions have put objects into the lake, by hour.';
COMMENT ON COLUMN ops.topics_by_hour.epoch IS 'The stream epoch.';
COMMENT ON COLUMN ops.topics_by_hour.topic IS 'The topic.';
COMMENT ON COLUMN ops.topics_by_hour.looked_until IS
    'Until then every run looks whether an earlier version has put more; later only where something lacks before an object.';

DO $$
BEGIN
    IF to_regclass('ops.lanes') IS NULL THEN
        -- A lane after the other by the index, as there are many chunks and few lanes.
        CREATE VIEW ops.lanes AS
        WITH RECURSIVE lane AS (
            (SELECT epoch, topic, partition FROM ops.chunks ORDER BY epoch, topic, partition LIMIT 1)
            UNION ALL
            SELECT behind.* FROM lane CROSS JOIN LATERAL (
                SELECT c.epoch, c.topic, c.partition FROM ops.chunks c
                WHERE (c.epoch, c.topic, c.partition) > (lane.epoch, lane.topic, lane.partition)
                ORDER BY c.epoch, c.topic, c.partition LIMIT 1
            ) AS behind
        )
        SELECT lane.epoch, lane.topic, lane.partition, planned.stream, planned.end_offset AS planned_offset,
            planned.is_by_offset, coalesce(loaded.end_offset, 0) AS next_offset, loaded.last_record_at, loaded.loaded_at
        FROM lane
        CROSS JOIN LATERAL (
            SELECT * FROM ops.chunks c
            WHERE c.epoch = lane.epoch AND c.topic = lane.topic AND c.partition = lane.partition
            ORDER BY c.start_offset DESC LIMIT 1
        ) AS planned
        LEFT JOIN LATERAL (
            SELECT * FROM ops.chunks c
            WHERE c.epoch = lane.epoch AND c.topic = lane.topic AND c.partition = lane.partition
                AND c.loaded_at IS NOT NULL
            ORDER BY c.start_offset DESC LIMIT 1
        ) AS loaded ON true;
    END IF;
END $$;
COMMENT ON VIEW ops.lanes IS 'How far each partition of each loaded topic has come.';
COMMENT ON COLUMN ops.lanes.epoch IS 'The stream epoch.';
COMMENT ON COLUMN ops.lanes.topic IS 'The topic.';
COMMENT ON COLUMN ops.lanes.partition IS 'The partition of it.';
COMMENT ON COLUMN ops.lanes.stream IS 'cdr_data, cdr_voice, messages or rejected.';
COMMENT ON COLUMN ops.lanes.planned_offset IS 'The offset behind the last record that a chunk has been planned for.';
COMMENT ON COLUMN ops.lanes.is_by_offset IS 'Whether its objects lie by offset in the lake (ops.chunks).';
COMMENT ON COLUMN ops.lanes.next_offset IS 'The offset behind the last record that was loaded; 0 where none was.';
COMMENT ON COLUMN ops.lanes.last_record_at IS 'Kafka''s timestamp of that record, which its producer chose; NULL where it has none.';
COMMENT ON COLUMN ops.lanes.loaded_at IS 'When that record was loaded.';

CREATE TABLE IF NOT EXISTS ops.source_lines (
    epoch bigint NOT NULL,
    topic text NOT NULL,
    partition integer NOT NULL,
    source_id text NOT NULL,
    start_offset bigint NOT NULL,
    last_line bigint NOT NULL,
    withdrawn_line bigint NOT NULL DEFAULT 0,
    PRIMARY KEY (epoch, topic, partition, source_id, start_offset)
);
COMMENT ON TABLE ops.source_lines IS
    'How far a file''s rows had come in a lane after a chunk: a record at or below its source''s last line is a duplicate.';
COMMENT ON COLUMN ops.source_lines.epoch IS 'The stream epoch.';
COMMENT ON COLUMN ops.source_lines.topic IS 'The topic.';
COMMENT ON COLUMN ops.source_lines.partition IS 'The partition of it.';
COMMENT ON COLUMN ops.source_lines.source_id IS 'The content of the file: the beginning of its SHA-256.';
COMMENT ON COLUMN ops.source_lines.last_line IS 'The last data row that had come.';
COMMENT ON COLUMN ops.source_lines.withdrawn_line IS
    'How far its rows had been taken back: published again, they are duplicates; taken back again, it changes nothing.';
COMMENT ON COLUMN ops.source_lines.start_offset IS 'The chunk''s. What is known before a chunk is what chunks with a smaller one say.';

CREATE TABLE IF NOT EXISTS ops.record_keys (
    epoch bigint NOT NULL,
    topic text NOT NULL,
    partition integer NOT NULL,
    key text NOT NULL,
    first_offset bigint NOT NULL,
    PRIMARY KEY (epoch, topic, partition, key)
);
COMMENT ON TABLE ops.record_keys IS 'Where a lane first had a message_id, or the key of a rejected record: there again, it is a duplicate.';
COMMENT ON COLUMN ops.record_keys.epoch IS 'The stream epoch.';
COMMENT ON COLUMN ops.record_keys.topic IS 'The topic.';
COMMENT ON COLUMN ops.record_keys.partition IS 'The partition of it.';
COMMENT ON COLUMN ops.record_keys.key IS 'The message_id, or the key of a rejected record.';
COMMENT ON COLUMN ops.record_keys.first_offset IS 'Where it came first.';

CREATE TABLE IF NOT EXISTS ops.unusable_records (
    epoch bigint NOT NULL,
    topic text NOT NULL,
    partition integer NOT NULL,
    "offset" bigint NOT NULL,
    reason text NOT NULL,
    detail text NOT NULL,
    key bytea,
    value bytea,
    is_truncated boolean NOT NULL,
    batch_id bigint NOT NULL,
    PRIMARY KEY (epoch, topic, partition, "offset")
);
COMMENT ON TABLE ops.unusable_records IS 'Records of the loaded topics that could not be used, and why.';
COMMENT ON COLUMN ops.unusable_records.epoch IS 'The stream epoch.';
COMMENT ON COLUMN ops.unusable_records.topic IS 'The topic.';
COMMENT ON COLUMN ops.unusable_records.partition IS 'The partition of it.';
COMMENT ON COLUMN ops.unusable_records.reason IS 'Why it could not be used: a code, such as bad_json.';
COMMENT ON COLUMN ops.unusable_records.detail IS 'The reason in words.';
COMMENT ON COLUMN ops.unusable_records.key IS 'Its key, at most the first 64 KiB; NULL where it has none.';
COMMENT ON COLUMN ops.unusable_records."offset" IS 'The offset in that partition.';
COMMENT ON COLUMN ops.unusable_records.value IS 'Its bytes, at most the first 64 KiB.';
COMMENT ON COLUMN ops.unusable_records.is_truncated IS 'Whether key or value is only the beginning.';
COMMENT ON COLUMN ops.unusable_records.batch_id IS 'Its chunk (ops.chunks).';

CREATE TABLE IF NOT EXISTS ops.layer_audit (
    run_id bigint NOT NULL REFERENCES ops.runs,
    layer text NOT NULL CHECK (layer IN ('silver', 'raw', 'models')),
    table_name text NOT NULL,
    rows_in bigint NOT NULL,
    rows_out bigint NOT NULL,
    duplicates bigint NOT NULL,
    rejected bigint NOT NULL,
    is_balanced boolean NOT NULL,
    chunks bigint NOT NULL DEFAULT 0,
    gap_offsets bigint NOT NULL DEFAULT 0,
    bytes bigint NOT NULL DEFAULT 0,
    withdrawn bigint NOT NULL DEFAULT 0,
    PRIMARY KEY (run_id, layer, table_name)
);
COMMENT ON TABLE ops.layer_audit IS
    'What a run brought into each table. Balanced: rows_in = rows_out + duplicates + rejected + withdrawn, and of models, that all their tests passed.';
COMMENT ON COLUMN ops.layer_audit.run_id IS 'The run.';
COMMENT ON COLUMN ops.layer_audit.table_name IS 'The table, or the folder of silver.';
COMMENT ON COLUMN ops.layer_audit.rows_in IS 'What came to this layer.';
COMMENT ON COLUMN ops.layer_audit.layer IS 'silver: records into Parquet; raw: those rows into PostgreSQL; models: what they wrote.';
COMMENT ON COLUMN ops.layer_audit.rows_out IS 'Of raw: as PostgreSQL counts them.';
COMMENT ON COLUMN ops.layer_audit.duplicates IS
    'Of silver: repeats in their lane; of raw: rows that were there, also of another lane or among the withdrawn.';
COMMENT ON COLUMN ops.layer_audit.rejected IS 'Of silver: records that could not be used.';
COMMENT ON COLUMN ops.layer_audit.is_balanced IS 'Whether it is.';
COMMENT ON COLUMN ops.layer_audit.chunks IS 'In how many pieces.';
COMMENT ON COLUMN ops.layer_audit.gap_offsets IS 'Of silver: offsets without a record.';
COMMENT ON COLUMN ops.layer_audit.withdrawn IS
    'Of silver: records that took a row back; of raw: rows that went. A raw table has its rows_out less its withdrawn.';
COMMENT ON COLUMN ops.layer_audit.bytes IS 'Of silver: the length of the objects that were read.';

CREATE TABLE IF NOT EXISTS ops.file_conflicts (
    file_name text PRIMARY KEY,
    other_file text NOT NULL,
    reason text NOT NULL,
    rows bigint NOT NULL,
    shared_rows bigint NOT NULL,
    landed_at timestamptz
);
COMMENT ON TABLE ops.file_conflicts IS
    'Files whose rows wait for a decision (trunkline files accept|replace|drop), as the lake''s conflicts/ had them when the last run began.';
COMMENT ON COLUMN ops.file_conflicts.file_name IS 'The file that waits.';
COMMENT ON COLUMN ops.file_conflicts.other_file IS 'The file that it changes or repeats: the same name, if it is a later version.';
COMMENT ON COLUMN ops.file_conflicts.reason IS
    'changed: the same name, with other rows; shares: most rows are the other file''s; withdrawn: what was replaced before; unreadable: its note.';
COMMENT ON COLUMN ops.file_conflicts.rows IS 'Rows that wait.';
COMMENT ON COLUMN ops.file_conflicts.shared_rows IS 'About how many rows both have.';
COMMENT ON COLUMN ops.file_conflicts.landed_at IS 'Since when it waits.';

CREATE TABLE IF NOT EXISTS ops.unmatched_files (
    file_name text PRIMARY KEY,
    files bigint NOT NULL,
    noted_at timestamptz NOT NULL
);
COMMENT ON TABLE ops.unmatched_files IS
    'Files on the SFTP servers that nobody takes, as the lake''s unmatched.json had them when the last run began: their names are not those of call detail records, or they can''t be read.';
COMMENT ON COLUMN ops.unmatched_files.file_name IS 'With its server and folder, where there are several.';
COMMENT ON COLUMN ops.unmatched_files.files IS 'How many there are in all: the first 1,000 have a row.';
COMMENT ON COLUMN ops.unmatched_files.noted_at IS 'Since when it is known.';

CREATE TABLE IF NOT EXISTS ops.tariff (
    valid_from date PRIMARY KEY,
    voice_zar_per_minute numeric(16, 6) NOT NULL,
    video_zar_per_minute numeric(16, 6) NOT NULL,
    data_zar_per_gb numeric(16, 6) NOT NULL
);
COMMENT ON TABLE ops.tariff IS 'The prices of the variable TARIFF, as the loader last read it. A row holds until the next one begins.';
COMMENT ON COLUMN ops.tariff.valid_from IS 'The first day of these prices.';
COMMENT ON COLUMN ops.tariff.voice_zar_per_minute IS 'A voice call, in rand.';
COMMENT ON COLUMN ops.tariff.video_zar_per_minute IS 'A video call, in rand.';
COMMENT ON COLUMN ops.tariff.data_zar_per_gb IS 'Of 10^9 bytes, up and down.';
