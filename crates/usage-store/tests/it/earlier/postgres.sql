-- The tables of version 0.1, and what it had counted of one file and of records without one.

CREATE SCHEMA usage;

CREATE TABLE usage.settings (
    only_one boolean PRIMARY KEY DEFAULT true CHECK (only_one),
    buckets smallint NOT NULL CHECK (buckets > 0)
);

CREATE TABLE usage.kinds (
    kind smallint PRIMARY KEY,
    category text NOT NULL,
    usage_type text NOT NULL,
    UNIQUE (category, usage_type)
);

CREATE TABLE usage.lanes (
    id smallint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    epoch bigint NOT NULL,
    topic text NOT NULL,
    partition integer NOT NULL,
    next_offset bigint NOT NULL DEFAULT 0,
    records bigint NOT NULL DEFAULT 0,
    newest_timestamp_ms bigint,
    UNIQUE (epoch, topic, partition)
);

-- No foreign keys: they would double the time of an insert, and nothing but the protocol writes here.
CREATE TABLE usage.daily (
    msisdn bigint NOT NULL,
    up_bytes bigint NOT NULL,
    down_bytes bigint NOT NULL,
    seconds bigint NOT NULL,
    events bigint NOT NULL,
    upto bigint NOT NULL,
    day date NOT NULL,
    bucket smallint NOT NULL,
    kind smallint NOT NULL,
    lane smallint NOT NULL,
    PRIMARY KEY (bucket, msisdn, day, kind, lane)
) WITH (fillfactor = 70); -- room on the page, so that an update needs no new index entry

CREATE TABLE usage.sources (
    lane smallint NOT NULL REFERENCES usage.lanes,
    source_id text NOT NULL,
    claimed_ms bigint NOT NULL,
    last_line bigint NOT NULL,
    files jsonb NOT NULL,
    upto bigint NOT NULL,
    PRIMARY KEY (lane, source_id)
) WITH (fillfactor = 70);

CREATE TABLE usage.claims (
    source_id text PRIMARY KEY,
    epoch bigint NOT NULL,
    claimed_ms bigint NOT NULL
);

CREATE TABLE usage.tower_activity (
    tower_id bigint NOT NULL,
    up_bytes bigint NOT NULL,
    down_bytes bigint NOT NULL,
    seconds bigint NOT NULL,
    events bigint NOT NULL,
    day date NOT NULL,
    hour smallint NOT NULL CHECK (hour BETWEEN 0 AND 23),
    PRIMARY KEY (tower_id, day, hour)
) WITH (fillfactor = 70);

CREATE OR REPLACE VIEW usage.daily_usage AS
SELECT stored.msisdn, stored.day, kinds.category, kinds.usage_type,
    sum(stored.up_bytes) AS up_bytes, sum(stored.down_bytes) AS down_bytes, sum(stored.seconds) AS seconds,
    sum(stored.events) AS events
FROM usage.daily AS stored
JOIN usage.kinds USING (kind)
GROUP BY stored.msisdn, stored.day, kinds.category, kinds.usage_type;

INSERT INTO usage.settings (buckets) VALUES (96);
INSERT INTO usage.kinds (kind, category, usage_type) VALUES (1, 'data', 'video'), (2, 'data', 'audio'), (3, 'data', 'image'),
    (4, 'data', 'text'), (5, 'data', 'application'), (6, 'call', 'voice'), (7, 'call', 'video');
INSERT INTO usage.lanes (epoch, topic, partition) VALUES (1, 'cdr-data', 0);
UPDATE usage.lanes SET next_offset = 6, records = 6, newest_timestamp_ms = 1704103200005;
INSERT INTO usage.daily (lane, bucket, msisdn, day, kind, up_bytes, down_bytes, seconds, events, upto)
    VALUES (1, 73, 27821234567, '2024-01-01', 1, 60, 600, 0, 6, 6);
INSERT INTO usage.sources (lane, source_id, claimed_ms, last_line, files, upto) VALUES
    (1, 'bbbbbbbbbbbbbbbb', 1702375200000, 3,
        '{"cdr_data_20231212_120000.csv": {"last_line": 3, "counted": 3, "duplicates": 0, "repeats": 0}}', 3),
    (1, 'aaaaaaaaaaaaaaaa', 1704103200003, 3,
        '{"cdr_data_20240101_120000.csv": {"last_line": 3, "counted": 3, "duplicates": 0, "repeats": 0}}', 6);
INSERT INTO usage.claims (source_id, epoch, claimed_ms)
    VALUES ('bbbbbbbbbbbbbbbb', 1, 1702375200000), ('aaaaaaaaaaaaaaaa', 1, 1704103200003);
