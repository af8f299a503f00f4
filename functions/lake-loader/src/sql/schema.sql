-- What the loader keeps about its own work. Run again, it changes nothing.
create table if not exists ops.runs (
    run_id bigint generated always as identity primary key,
    cause text not null check (cause in ('schedule', 'request', 'backfill')),
    status text not null default 'running'
        check (status in ('running', 'succeeded', 'incomplete', 'failed', 'interrupted')),
    message text,
    is_full_refresh boolean not null,
    started_at timestamptz not null default now(),
    finished_at timestamptz
);
create index if not exists runs_running on ops.runs (run_id) where status = 'running';
comment on table ops.runs is 'The loader''s runs.';
comment on column ops.runs.run_id is 'Its number: a later one is higher.';
comment on column ops.runs.cause is 'schedule, request (trunkline load), or backfill (--from, --to).';
comment on column ops.runs.status is
    'incomplete: the time was up, the next run goes on; interrupted: it ended without a word, and the next run found it.';
comment on column ops.runs.message is 'Why it failed, or what is left to do.';
comment on column ops.runs.is_full_refresh is 'Whether it was asked to build the models anew.';
comment on column ops.runs.started_at is 'When it began.';
comment on column ops.runs.finished_at is 'When it ended; NULL while it runs.';

create table if not exists ops.state (
    is_only boolean primary key default true check (is_only),
    run_id bigint,
    checked_batch_id bigint not null default 0,
    messages_lack_moments boolean not null default false
);
insert into ops.state default values on conflict do nothing;
comment on table ops.state is 'One row: which run may write, and how far the models have come.';
comment on column ops.state.is_only is 'True: there is one row.';
comment on column ops.state.run_id is 'The run that holds the warehouse. What another one still wants to write is refused (ops.hold).';
comment on column ops.state.checked_batch_id is
    'The highest batch_id that all models had built and tested: their tests look at what came after it.';
comment on column ops.state.messages_lack_moments is
    'Whether an earlier version loaded messages, whose message_at the next run fills in.';

-- The first statement of every transaction of a run: a run that was given up, and wakes up after another one has begun, writes nothing.
create or replace function ops.hold(holder bigint) returns void language plpgsql as $$
begin
    perform 1 from ops.state where run_id = holder for share;
    if not found then
        raise exception 'run % has been taken over by another run', holder using errcode = 'object_not_in_prerequisite_state';
    end if;
end $$;
comment on function ops.hold is 'Fails unless this run holds the warehouse; until the transaction ends, no other run can take it.';

create table if not exists ops.chunks (
    batch_id bigint generated always as identity primary key,
    stream text not null,
    epoch bigint not null,
    topic text not null,
    partition integer not null,
    start_offset bigint not null,
    end_offset bigint not null check (end_offset > start_offset),
    gap_offsets bigint not null,
    bytes bigint not null,
    planned_at timestamptz not null default now(),
    loaded_at timestamptz,
    run_id bigint references ops.runs,
    records bigint,
    accepted bigint,
    duplicates bigint,
    rejected bigint,
    rebuild_batch_id bigint,
    is_by_offset boolean not null default false,
    earliest_at timestamptz,
    latest_at timestamptz,
    last_record_at timestamptz,
    withdrawn bigint,
    unique (epoch, topic, partition, start_offset)
);
create index if not exists chunks_open on ops.chunks (batch_id) where loaded_at is null;
create index if not exists chunks_rebuild on ops.chunks (rebuild_batch_id) where rebuild_batch_id is not null;
comment on table ops.chunks is
    'What is loaded at a time: the records of a lane (epoch, topic, partition) from start_offset to before end_offset. Decided before anything is read, so that whoever does it makes the same.';
comment on column ops.chunks.batch_id is 'The batch_id of its rows. What comes later has a higher one.';
comment on column ops.chunks.stream is 'cdr_data, cdr_voice, messages or rejected.';
comment on column ops.chunks.epoch is 'The stream epoch.';
comment on column ops.chunks.topic is 'The topic.';
comment on column ops.chunks.partition is 'The partition of it.';
comment on column ops.chunks.start_offset is 'Its first offset, or the first that may have been.';
comment on column ops.chunks.end_offset is 'The offset behind its last record.';
comment on column ops.chunks.gap_offsets is
    'Offsets without a record, between objects of the lake and inside of them: Kafka''s own records, compaction, or retention that was faster. Exact once it is loaded: end_offset - start_offset - records.';
comment on column ops.chunks.bytes is 'The length of its objects of bronze.';
comment on column ops.chunks.planned_at is 'When it was decided.';
comment on column ops.chunks.loaded_at is 'When its rows were there; NULL until then.';
comment on column ops.chunks.run_id is 'The run that wrote its rows last.';
comment on column ops.chunks.rebuild_batch_id is
    'The batch_id of the last rows that were missing in the table and were put back, or that took the place of rows of an earlier run; the models are built anew when they come to it.';
comment on column ops.chunks.records is 'accepted + duplicates + rejected + withdrawn.';
comment on column ops.chunks.accepted is 'Records that became rows of silver objects.';
comment on column ops.chunks.duplicates is 'Records that the lane had had before.';
comment on column ops.chunks.rejected is 'Records that could not be used (ops.unusable_records).';
comment on column ops.chunks.withdrawn is 'Records that took a row back.';
comment on column ops.chunks.is_by_offset is
    'Whether the lane''s objects lie by offset in the lake, from this chunk on. Those of earlier versions lie by hour.';
comment on column ops.chunks.earliest_at is
    'The earliest of its records'' Kafka timestamps, which producers choose: for people and for --from and --to. NULL where an earlier version loaded it.';
comment on column ops.chunks.latest_at is 'The latest of them.';
comment on column ops.chunks.last_record_at is 'That of the record with the highest offset; NULL where it has none.';

create table if not exists ops.loaded_objects (
    key text primary key,
    epoch bigint not null,
    topic text not null,
    partition integer not null,
    hour timestamptz,
    first_offset bigint not null,
    last_offset bigint not null,
    bytes bigint not null,
    batch_id bigint references ops.chunks,
    loaded_at timestamptz
);
create index if not exists loaded_objects_by_hour on ops.loaded_objects (epoch, topic, hour);
create index if not exists loaded_objects_by_batch_id on ops.loaded_objects (batch_id);
comment on table ops.loaded_objects is 'Objects of bronze that chunks take.';
comment on column ops.loaded_objects.key is 'Its name.';
comment on column ops.loaded_objects.epoch is 'The stream epoch.';
comment on column ops.loaded_objects.topic is 'The topic.';
comment on column ops.loaded_objects.partition is 'The partition of it.';
comment on column ops.loaded_objects.hour is
    'The hour in its name, if an earlier version put it: that of its first record''s Kafka timestamp.';
comment on column ops.loaded_objects.first_offset is 'Its first record.';
comment on column ops.loaded_objects.last_offset is 'Its last record.';
comment on column ops.loaded_objects.bytes is 'Its length.';
comment on column ops.loaded_objects.batch_id is 'The chunk that takes it; NULL where earlier chunks had all of it.';
comment on column ops.loaded_objects.loaded_at is 'Written with its rows; NULL until then.';

create table if not exists ops.topics_by_hour (
    epoch bigint not null,
    topic text not null,
    looked_until timestamptz not null default now() + interval '1 day',
    primary key (epoch, topic)
);
comment on table ops.topics_by_hour is 'Topics of which earlier versions have put objects into the lake, by hour.';
comment on column ops.topics_by_hour.epoch is 'The stream epoch.';
comment on column ops.topics_by_hour.topic is 'The topic.';
comment on column ops.topics_by_hour.looked_until is
    'Until then every run looks whether an earlier version has put more; later only where something lacks before an object.';

do $$
begin
    if to_regclass('ops.lanes') is null then
        -- A lane after the other by the index, as there are many chunks and few lanes.
        create view ops.lanes as
        with recursive lane as (
            (select epoch, topic, partition from ops.chunks order by epoch, topic, partition limit 1)
            union all
            select behind.* from lane cross join lateral (
                select c.epoch, c.topic, c.partition from ops.chunks c
                where (c.epoch, c.topic, c.partition) > (lane.epoch, lane.topic, lane.partition)
                order by c.epoch, c.topic, c.partition limit 1
            ) as behind
        )
        select lane.epoch, lane.topic, lane.partition, planned.stream, planned.end_offset as planned_offset,
            planned.is_by_offset, coalesce(loaded.end_offset, 0) as next_offset, loaded.last_record_at, loaded.loaded_at
        from lane
        cross join lateral (
            select * from ops.chunks c
            where c.epoch = lane.epoch and c.topic = lane.topic and c.partition = lane.partition
            order by c.start_offset desc limit 1
        ) as planned
        left join lateral (
            select * from ops.chunks c
            where c.epoch = lane.epoch and c.topic = lane.topic and c.partition = lane.partition
                and c.loaded_at is not null
            order by c.start_offset desc limit 1
        ) as loaded on true;
    end if;
end $$;
comment on view ops.lanes is 'How far each partition of each loaded topic has come.';
comment on column ops.lanes.epoch is 'The stream epoch.';
comment on column ops.lanes.topic is 'The topic.';
comment on column ops.lanes.partition is 'The partition of it.';
comment on column ops.lanes.stream is 'cdr_data, cdr_voice, messages or rejected.';
comment on column ops.lanes.planned_offset is 'The offset behind the last record that a chunk has been planned for.';
comment on column ops.lanes.is_by_offset is 'Whether its objects lie by offset in the lake (ops.chunks).';
comment on column ops.lanes.next_offset is 'The offset behind the last record that was loaded; 0 where none was.';
comment on column ops.lanes.last_record_at is 'Kafka''s timestamp of that record, which its producer chose; NULL where it has none.';
comment on column ops.lanes.loaded_at is 'When that record was loaded.';

create table if not exists ops.source_lines (
    epoch bigint not null,
    topic text not null,
    partition integer not null,
    source_id text not null,
    start_offset bigint not null,
    last_line bigint not null,
    withdrawn_line bigint not null default 0,
    primary key (epoch, topic, partition, source_id, start_offset)
);
comment on table ops.source_lines is
    'How far a file''s rows had come in a lane after a chunk: a record at or below its source''s last line is a duplicate.';
comment on column ops.source_lines.epoch is 'The stream epoch.';
comment on column ops.source_lines.topic is 'The topic.';
comment on column ops.source_lines.partition is 'The partition of it.';
comment on column ops.source_lines.source_id is 'The content of the file: the beginning of its SHA-256.';
comment on column ops.source_lines.last_line is 'The last data row that had come.';
comment on column ops.source_lines.withdrawn_line is
    'How far its rows had been taken back: published again, they are duplicates; taken back again, it changes nothing.';
comment on column ops.source_lines.start_offset is 'The chunk''s. What is known before a chunk is what chunks with a smaller one say.';

create table if not exists ops.record_keys (
    epoch bigint not null,
    topic text not null,
    partition integer not null,
    key text not null,
    first_offset bigint not null,
    primary key (epoch, topic, partition, key)
);
comment on table ops.record_keys is 'Where a lane first had a message_id, or the key of a rejected record: there again, it is a duplicate.';
comment on column ops.record_keys.epoch is 'The stream epoch.';
comment on column ops.record_keys.topic is 'The topic.';
comment on column ops.record_keys.partition is 'The partition of it.';
comment on column ops.record_keys.key is 'The message_id, or the key of a rejected record.';
comment on column ops.record_keys.first_offset is 'Where it came first.';

create table if not exists ops.unusable_records (
    epoch bigint not null,
    topic text not null,
    partition integer not null,
    "offset" bigint not null,
    reason text not null,
    detail text not null,
    key bytea,
    value bytea,
    is_truncated boolean not null,
    batch_id bigint not null,
    primary key (epoch, topic, partition, "offset")
);
comment on table ops.unusable_records is 'Records of the loaded topics that could not be used, and why.';
comment on column ops.unusable_records.epoch is 'The stream epoch.';
comment on column ops.unusable_records.topic is 'The topic.';
comment on column ops.unusable_records.partition is 'The partition of it.';
comment on column ops.unusable_records.reason is 'Why it could not be used: a code, such as bad_json.';
comment on column ops.unusable_records.detail is 'The reason in words.';
comment on column ops.unusable_records.key is 'Its key, at most the first 64 KiB; NULL where it has none.';
comment on column ops.unusable_records."offset" is 'The offset in that partition.';
comment on column ops.unusable_records.value is 'Its bytes, at most the first 64 KiB.';
comment on column ops.unusable_records.is_truncated is 'Whether key or value is only the beginning.';
comment on column ops.unusable_records.batch_id is 'Its chunk (ops.chunks).';

create table if not exists ops.layer_audit (
    run_id bigint not null references ops.runs,
    layer text not null check (layer in ('silver', 'raw', 'models')),
    table_name text not null,
    rows_in bigint not null,
    rows_out bigint not null,
    duplicates bigint not null,
    rejected bigint not null,
    is_balanced boolean not null,
    chunks bigint not null default 0,
    gap_offsets bigint not null default 0,
    bytes bigint not null default 0,
    withdrawn bigint not null default 0,
    primary key (run_id, layer, table_name)
);
comment on table ops.layer_audit is
    'What a run brought into each table. Balanced: rows_in = rows_out + duplicates + rejected + withdrawn, and of models, that all their tests passed.';
comment on column ops.layer_audit.run_id is 'The run.';
comment on column ops.layer_audit.table_name is 'The table, or the folder of silver.';
comment on column ops.layer_audit.rows_in is 'What came to this layer.';
comment on column ops.layer_audit.layer is 'silver: records into Parquet; raw: those rows into PostgreSQL; models: what they wrote.';
comment on column ops.layer_audit.rows_out is 'Of raw: as PostgreSQL counts them.';
comment on column ops.layer_audit.duplicates is
    'Of silver: repeats in their lane; of raw: rows that were there, also of another lane or among the withdrawn.';
comment on column ops.layer_audit.rejected is 'Of silver: records that could not be used.';
comment on column ops.layer_audit.is_balanced is 'Whether it is.';
comment on column ops.layer_audit.chunks is 'In how many pieces.';
comment on column ops.layer_audit.gap_offsets is 'Of silver: offsets without a record.';
comment on column ops.layer_audit.withdrawn is
    'Of silver: records that took a row back; of raw: rows that went. A raw table has its rows_out less its withdrawn.';
comment on column ops.layer_audit.bytes is 'Of silver: the length of the objects that were read.';

create table if not exists ops.file_conflicts (
    file_name text primary key,
    other_file text not null,
    reason text not null,
    rows bigint not null,
    shared_rows bigint not null,
    landed_at timestamptz
);
comment on table ops.file_conflicts is
    'Files whose rows wait for a decision (trunkline files accept|replace|drop), as the lake''s conflicts/ had them when the last run began.';
comment on column ops.file_conflicts.file_name is 'The file that waits.';
comment on column ops.file_conflicts.other_file is 'The file that it changes or repeats: the same name, if it is a later version.';
comment on column ops.file_conflicts.reason is
    'changed: the same name, with other rows; shares: most rows are the other file''s; withdrawn: what was replaced before; unreadable: its note.';
comment on column ops.file_conflicts.rows is 'Rows that wait.';
comment on column ops.file_conflicts.shared_rows is 'About how many rows both have.';
comment on column ops.file_conflicts.landed_at is 'Since when it waits.';

create table if not exists ops.unmatched_files (
    file_name text primary key,
    files bigint not null,
    noted_at timestamptz not null
);
comment on table ops.unmatched_files is
    'Files on the SFTP servers that nobody takes, as the lake''s unmatched.json had them when the last run began: their names are not those of call detail records, or they can''t be read.';
comment on column ops.unmatched_files.file_name is 'With its server and folder, where there are several.';
comment on column ops.unmatched_files.files is 'How many there are in all: the first 1,000 have a row.';
comment on column ops.unmatched_files.noted_at is 'Since when it is known.';

create table if not exists ops.tariff (
    valid_from date primary key,
    voice_zar_per_minute numeric(16, 6) not null,
    video_zar_per_minute numeric(16, 6) not null,
    data_zar_per_gb numeric(16, 6) not null
);
comment on table ops.tariff is 'The prices of the variable TARIFF, as the loader last read it. A row holds until the next one begins.';
comment on column ops.tariff.valid_from is 'The first day of these prices.';
comment on column ops.tariff.voice_zar_per_minute is 'A voice call, in rand.';
comment on column ops.tariff.video_zar_per_minute is 'A video call, in rand.';
comment on column ops.tariff.data_zar_per_gb is 'Of 10^9 bytes, up and down.';
