-- The usage store. Run as one transaction, any number of times.
select pg_advisory_xact_lock(hashtextextended('trunkline usage store', 0));

create schema if not exists usage;
comment on schema usage is 'Exact daily usage per subscriber, counted from the CDR topics. Every row is a function of the log: only the counting protocol may write here.';

create table if not exists usage.settings (
    only_one boolean primary key default true check (only_one),
    buckets smallint not null check (buckets > 0),
    rules integer not null,
    zone text not null,
    closed_before_ms bigint
);
comment on table usage.settings is 'What holds for the whole store.';
comment on column usage.settings.buckets is 'Over how many buckets the subscribers are spread: murmur2(MSISDN) modulo this. Fixed.';
comment on column usage.settings.rules is 'Number of the rules by which records are read (telecom::RULES). Functions with others refuse to count.';
comment on column usage.settings.zone is 'Zone in which days are billed. Functions with another one refuse to count.';
comment on column usage.settings.closed_before_ms is 'Sources claimed earlier, in ms since 1970-01-01 UTC, were judged by an earlier version and are not counted any more. NULL where this one made the store.';

create table if not exists usage.kinds (
    kind smallint primary key,
    category text not null,
    usage_type text not null,
    unique (category, usage_type)
);
comment on table usage.kinds is 'The kinds of usage that are counted, and their numbers in usage.daily.';
comment on column usage.kinds.category is 'data (bytes) or call (seconds).';

create table if not exists usage.lanes (
    id smallint generated always as identity primary key,
    epoch bigint not null,
    topic text not null,
    partition integer not null,
    next_offset bigint not null default 0,
    records bigint not null default 0,
    newest_timestamp_ms bigint,
    rules_from bigint not null default 0,
    unique (epoch, topic, partition)
);
comment on table usage.lanes is 'The lanes that are counted, a partition of a topic within a stream epoch each, and how far.';
comment on column usage.lanes.next_offset is 'All records below this offset have been counted.';
comment on column usage.lanes.records is 'Records there were below next_offset; fewer than next_offset means offsets without a record: deleted before they were counted, passed over by hand, or a transaction''s marks.';
comment on column usage.lanes.newest_timestamp_ms is 'Latest Kafka timestamp of the records below next_offset, in ms since 1970-01-01 UTC. A newer record below next_offset belongs to a topic that was created again.';
comment on column usage.lanes.rules_from is 'Records below this offset were counted by other rules than usage.settings names.';

create table if not exists usage.marks (
    lane smallint not null references usage.lanes,
    at_ms bigint not null,
    end_offset bigint not null,
    primary key (lane, at_ms)
);
comment on table usage.marks is 'How long each lane''s log was, every night: by these it is known what may be deleted from usage.sources and usage.claims. Kept 45 days.';
comment on column usage.marks.at_ms is 'When that was asked for, in ms since 1970-01-01 UTC.';
comment on column usage.marks.end_offset is 'Offset that the next record was to get.';

-- No foreign keys: they would double the time of an insert, and nothing but the protocol writes here.
create table if not exists usage.daily (
    msisdn bigint not null,
    up_bytes bigint not null,
    down_bytes bigint not null,
    seconds bigint not null,
    events bigint not null,
    upto bigint not null,
    day date not null,
    bucket smallint not null,
    kind smallint not null,
    lane smallint not null,
    primary key (bucket, msisdn, day, kind, lane)
) with (fillfactor = 70); -- room on the page, so that an update needs no new index entry
comment on table usage.daily is 'Totals of one lane''s records below offset upto, per subscriber, day and kind. Usage is the sum over lanes.';
comment on column usage.daily.upto is 'The row holds the lane''s records below this offset. A write with a lower or equal one changes nothing.';
comment on column usage.daily.day is 'Day of the event in the operator''s zone.';
comment on column usage.daily.kind is 'See usage.kinds.';
comment on column usage.daily.lane is 'See usage.lanes.';
comment on column usage.daily.bucket is 'murmur2(MSISDN) modulo usage.settings.buckets.';

create table if not exists usage.sources (
    lane smallint not null references usage.lanes,
    source_id text not null,
    claimed_ms bigint not null,
    last_line bigint not null,
    files jsonb not null,
    upto bigint not null,
    withdrawn_line bigint not null, -- without a default: an earlier version, which does not know it, can't write here
    primary key (lane, source_id)
) with (fillfactor = 70);
comment on table usage.sources is 'How far a lane has counted each file, by content: what makes a file that is published twice count once. Kept at least 35 days after the last of its records.';
comment on column usage.sources.claimed_ms is 'Timestamp of one of the source''s first records, in ms since 1970-01-01 UTC.';
comment on column usage.sources.last_line is 'Last line that is settled, under whatever file name.';
comment on column usage.sources.withdrawn_line is 'Last line taken back, as its file was replaced; 0 before the first.';
comment on column usage.sources.files is 'Per file name: first_line and last_line seen, lines counted (also those taken back since), withdrawn (taken back), duplicates (counted under another name), repeats (published again).';
comment on column usage.sources.upto is 'The entry holds the lane''s records below this offset.';

create table if not exists usage.claims (
    source_id text primary key,
    epoch bigint not null,
    claimed_ms bigint not null
);
comment on table usage.claims is 'The stream epoch that saw a source first, and when. Deleted with the last of the source''s entries.';

create table if not exists usage.tower_activity (
    tower_id bigint not null,
    up_bytes bigint not null,
    down_bytes bigint not null,
    seconds bigint not null,
    events bigint not null,
    day date not null,
    hour smallint not null check (hour between 0 and 23),
    primary key (tower_id, day, hour)
) with (fillfactor = 70);
comment on table usage.tower_activity is 'Live activity per tower and hour, seconds old: each batch is added blindly, so it is approximate under faults. Never price from it.';
comment on column usage.tower_activity.day is 'Day of the event in the operator''s zone, as the hour.';

create or replace view usage.daily_usage as
select stored.msisdn, stored.day, kinds.category, kinds.usage_type,
    sum(stored.up_bytes) as up_bytes, sum(stored.down_bytes) as down_bytes, sum(stored.seconds) as seconds,
    sum(stored.events) as events
from usage.daily as stored
join usage.kinds using (kind)
group by stored.msisdn, stored.day, kinds.category, kinds.usage_type;
comment on view usage.daily_usage is 'Daily usage per subscriber, category and type, summed over the lanes.';
