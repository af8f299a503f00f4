-- The usage store. Run as one transaction, any number of times.
SELECT pg_advisory_xact_lock(hashtextextended('trunkline usage store', 0));

CREATE SCHEMA IF NOT EXISTS usage;
COMMENT ON SCHEMA usage IS 'Exact daily usage per subscriber, counted from the CDR topics. Every row is a function of the log: only the counting protocol may write here.';

CREATE TABLE IF NOT EXISTS usage.settings (
    only_one boolean PRIMARY KEY DEFAULT true CHECK (only_one),
    buckets smallint NOT NULL CHECK (buckets > 0),
    rules integer NOT NULL,
    zone text NOT NULL,
    closed_before_ms bigint
);
COMMENT ON TABLE usage.settings IS 'What holds for the whole store.';
COMMENT ON COLUMN usage.settings.buckets IS 'Over how many buckets the subscribers are spread: murmur2(MSISDN) modulo this. Fixed.';
COMMENT ON COLUMN usage.settings.rules IS 'Number of the rules by which records are read (telecom::RULES). Functions with others refuse to count.';
COMMENT ON COLUMN usage.settings.zone IS 'Zone in which days are billed. Functions with another one refuse to count.';
COMMENT ON COLUMN usage.settings.closed_before_ms IS 'Sources claimed earlier, in ms since 1970-01-01 UTC, were judged by an earlier version and are not counted any more. NULL where this one made the store.';

CREATE TABLE IF NOT EXISTS usage.kinds (
    kind smallint PRIMARY KEY,
    category text NOT NULL,
    usage_type text NOT NULL,
    UNIQUE (category, usage_type)
);
COMMENT ON TABLE usage.kinds IS 'The kinds of usage that are counted, and their numbers in usage.daily.';
COMMENT ON COLUMN usage.kinds.category IS 'data (bytes) or call (seconds).';

CREATE TABLE IF NOT EXISTS usage.lanes (
    id smallint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    epoch bigint NOT NULL,
    topic text NOT NULL,
    partition integer NOT NULL,
    next_offset bigint NOT NULL DEFAULT 0,
    records bigint NOT NULL DEFAULT 0,
    newest_timestamp_ms bigint,
    rules_from bigint NOT NULL DEFAULT 0,
    UNIQUE (epoch, topic, partition)
);
COMMENT ON TABLE usage.lanes IS 'The lanes that are counted, a partition of a topic within a stream epoch each, and how far.';
COMMENT ON COLUMN usage.lanes.next_offset IS 'All records below this offset have been counted.';
COMMENT ON COLUMN usage.lanes.records IS 'Records there were below next_offset; fewer than next_offset means offsets without a record: deleted before they were counted, passed over by hand, or a transaction''s marks.';
COMMENT ON COLUMN usage.lanes.newest_timestamp_ms IS 'Latest Kafka timestamp of the records below next_offset, in ms since 1970-01-01 UTC. A newer record below next_offset belongs to a topic that was created again.';
COMMENT ON COLUMN usage.lanes.rules_from IS 'Records below this offset were counted by other rules than usage.settings names.';

CREATE TABLE IF NOT EXISTS usage.marks (
    lane smallint NOT NULL REFERENCES usage.lanes,
    at_ms bigint NOT NULL,
    end_offset bigint NOT NULL,
    PRIMARY KEY (lane, at_ms)
);
COMMENT ON TABLE usage.marks IS 'How long each lane''s log was, every night: by these it is known what may be deleted from usage.sources and usage.claims. Kept 45 days.';
COMMENT ON COLUMN usage.marks.at_ms IS 'When that was asked for, in ms since 1970-01-01 UTC.';
COMMENT ON COLUMN usage.marks.end_offset IS 'Offset that the next record was to get.';

-- No foreign keys: they would double the time of an insert, and nothing but the protocol writes here.
CREATE TABLE IF NOT EXISTS usage.daily (
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
COMMENT ON TABLE usage.daily IS 'Totals of one lane''s records below offset upto, per subscriber, day and kind. Usage is the sum over lanes.';
COMMENT ON COLUMN usage.daily.upto IS 'The row holds the lane''s records below this offset. A write with a lower or equal one changes nothing.';
COMMENT ON COLUMN usage.daily.day IS 'Day of the event in the operator''s zone.';
COMMENT ON COLUMN usage.daily.kind IS 'See usage.kinds.';
COMMENT ON COLUMN usage.daily.lane IS 'See usage.lanes.';
COMMENT ON COLUMN usage.daily.bucket IS 'murmur2(MSISDN) modulo usage.settings.buckets.';

CREATE TABLE IF NOT EXISTS usage.sources (
    lane smallint NOT NULL REFERENCES usage.lanes,
    source_id text NOT NULL,
    claimed_ms bigint NOT NULL,
    last_line bigint NOT NULL,
    files jsonb NOT NULL,
    upto bigint NOT NULL,
    withdrawn_line bigint NOT NULL, -- without a default: an earlier version, which does not know it, can't write here
    PRIMARY KEY (lane, source_id)
) WITH (fillfactor = 70);
COMMENT ON TABLE usage.sources IS 'How far a lane has counted each file, by content: what makes a file that is published twice count once. Kept at least 35 days after the last of its records.';
COMMENT ON COLUMN usage.sources.claimed_ms IS 'Timestamp of one of the source''s first records, in ms since 1970-01-01 UTC.';
COMMENT ON COLUMN usage.sources.last_line IS 'Last line that is settled, under whatever file name.';
COMMENT ON COLUMN usage.sources.withdrawn_line IS 'Last line taken back, as its file was replaced; 0 before the first.';
COMMENT ON COLUMN usage.sources.files IS 'Per file name: first_line and last_line seen, lines counted (also those taken back since), withdrawn (taken back), duplicates (counted under another name), repeats (published again).';
COMMENT ON COLUMN usage.sources.upto IS 'The entry holds the lane''s records below this offset.';

CREATE TABLE IF NOT EXISTS usage.claims (
    source_id text PRIMARY KEY,
    epoch bigint NOT NULL,
    claimed_ms bigint NOT NULL
);
COMMENT ON TABLE usage.claims IS 'The stream epoch that saw a source first, and when. Deleted with the last of the source''s entries.';

CREATE TABLE IF NOT EXISTS usage.tower_activity (
    tower_id bigint NOT NULL,
    up_bytes bigint NOT NULL,
    down_bytes bigint NOT NULL,
    seconds bigint NOT NULL,
    events bigint NOT NULL,
    day date NOT NULL,
    hour smallint NOT NULL CHECK (hour BETWEEN 0 AND 23),
    PRIMARY KEY (tower_id, day, hour)
) WITH (fillfactor = 70);
COMMENT ON TABLE usage.tower_activity IS 'Live activity per tower and hour, seconds old: each batch is added blindly, so it is approximate under faults. Never price from it.';
COMMENT ON COLUMN usage.tower_activity.day IS 'Day of the event in the operator''s zone, as the hour.';

CREATE OR REPLACE VIEW usage.daily_usage AS
SELECT stored.msisdn, stored.day, kinds.category, kinds.usage_type,
    sum(stored.up_bytes) AS up_bytes, sum(stored.down_bytes) AS down_bytes, sum(stored.seconds) AS seconds,
    sum(stored.events) AS events
FROM usage.daily AS stored
JOIN usage.kinds USING (kind)
GROUP BY stored.msisdn, stored.day, kinds.category, kinds.usage_type;
COMMENT ON VIEW usage.daily_usage IS 'Daily usage per subscriber, category and type, summed over the lanes.';
