-- What the dashboard reads of the warehouse: the columns that it names, and no others.
CREATE SCHEMA raw;
CREATE SCHEMA prepared_layers;
CREATE SCHEMA analytics;
CREATE SCHEMA ops;

CREATE TABLE prepared_layers.daily_usage (msisdn text, day date, category text, usage_type text,
    events bigint, up_bytes bigint, down_bytes bigint, seconds bigint, PRIMARY KEY (msisdn, day, category, usage_type));
-- Twenty subscribers, each with a habit of its own; 3 January has nothing, so the last 14 days with data begin on 31 December.
INSERT INTO prepared_layers.daily_usage
SELECT (27821000000 + n * 7919)::text, day, category, usage_type, events,
       CASE category WHEN 'data' THEN events * size * 37 ELSE 0 END, CASE category WHEN 'data' THEN events * size * 211 ELSE 0 END,
       CASE category WHEN 'call' THEN events * (35 + n) ELSE 0 END
FROM generate_series(1, 20) AS n, generate_series(date '2023-12-30', date '2024-01-14', '1 day') AS day,
     (VALUES ('data', 'video', 90001::bigint), ('data', 'audio', 31013), ('data', 'image', 17011), ('data', 'text', 997), ('data', 'application', 45007),
             ('call', 'voice', 0), ('call', 'video', 0)) AS kind (category, usage_type, size),
     LATERAL (SELECT 1 + (hashtext(concat_ws(' ', n, day::date, category, usage_type)) & 65535) % (40 + 5 * n)) AS drawn (events)
WHERE day <> '2024-01-03';

CREATE TABLE prepared_layers.daily_cost (msisdn text, day date, cost_zar numeric, PRIMARY KEY (msisdn, day));
INSERT INTO prepared_layers.daily_cost
SELECT msisdn, day, round(sum(seconds) / 60.0 + sum(up_bytes + down_bytes) * 49 / 1000000000.0, 2) FROM prepared_layers.daily_usage GROUP BY 1, 2;

CREATE TABLE analytics.usage_by_day AS
SELECT day, category, usage_type, sum(events) AS events, sum(up_bytes) AS up_bytes, sum(down_bytes) AS down_bytes, sum(seconds) AS seconds,
       count(DISTINCT msisdn) AS subscribers
FROM prepared_layers.daily_usage GROUP BY 1, 2, 3;

-- The same by the hour: most of it at nine, one record's share at eight in the evening.
CREATE TABLE prepared_layers.usage_1h (window_start timestamp, msisdn text, category text, usage_type text,
    events bigint, up_bytes bigint, down_bytes bigint, seconds bigint, PRIMARY KEY (window_start, msisdn, category, usage_type));
INSERT INTO prepared_layers.usage_1h
SELECT day + interval '9 hours', msisdn, category, usage_type, events - 1, up_bytes - up_bytes / events, down_bytes - down_bytes / events,
       seconds - seconds / events
FROM prepared_layers.daily_usage
UNION ALL
SELECT day + interval '20 hours', msisdn, category, usage_type, 1, up_bytes / events, down_bytes / events, seconds / events
FROM prepared_layers.daily_usage;

CREATE TABLE analytics.messages_by_day (day date, channel text, sender_type text, messages bigint);
INSERT INTO analytics.messages_by_day
SELECT day, channel, sender_type, 1 + (hashtext(concat_ws(' ', channel, sender_type, day::date)) & 65535) % (weight * 9)
FROM generate_series(date '2024-01-01', date '2024-01-14', '1 day') AS day,
     (VALUES ('whatsapp', 13), ('webchat', 11), ('sms', 8), ('email', 7), ('app', 6), ('<script>console.log("hostile")</script>', 5), ('fax', 2),
             ('telex', 1)) AS channel (channel, weight),
     (VALUES ('customer'), ('agent'), ('bot')) AS sender (sender_type);

-- Each message of the last day.
CREATE TABLE raw.messages (channel text, sender_type text, message_date timestamp);
INSERT INTO raw.messages
SELECT channel, sender_type, day + interval '1 hour' * (8 + n % 10) FROM analytics.messages_by_day, generate_series(1, messages) AS n
WHERE day = '2024-01-14';

CREATE TABLE analytics.response_times (room_id text, channel text, response_seconds bigint, day date, asked_at timestamp);
INSERT INTO analytics.response_times
SELECT room_id, channel, response_seconds, day, day + interval '1 hour' * (8 + response_seconds % 10) FROM (SELECT n::text, (ARRAY['whatsapp', 'webchat', 'sms', 'email'])[1 + n % 4], 5 + (hashint8(n * 7919) & 65535) % (60 + n % 4 * 240),
       date '2024-01-01' + n % 14
FROM generate_series(1, 2000) AS n WHERE n % 14 <> 5) AS rooms (room_id, channel, response_seconds, day);
-- Not answered yet.
INSERT INTO analytics.response_times VALUES ('waiting', 'sms', NULL, '2024-01-14', '2024-01-14 10:00');

CREATE TABLE ops.runs (run_id bigint PRIMARY KEY, started_at timestamptz, finished_at timestamptz, status text, message text);
INSERT INTO ops.runs VALUES
    (1, now() - interval '125 minutes', now() - interval '124 minutes', 'succeeded', NULL),
    (2, now() - interval '65 minutes', now() - interval '64 minutes', 'failed', 'raw.messages: in <> out'),
    (3, now() - interval '5 minutes', now() - interval '5 minutes' + interval '9 seconds', 'succeeded', NULL);
CREATE TABLE ops.layer_audit (run_id bigint, layer text, table_name text, rows_in bigint, rows_out bigint, duplicates bigint, rejected bigint,
    is_balanced boolean, withdrawn bigint NOT NULL DEFAULT 0);
INSERT INTO ops.layer_audit VALUES
    (2, 'raw', 'raw.messages', 10, 8, 0, 0, false),
    (3, 'raw', 'cdr_data.data', 432000, 431880, 100, 20, true), (3, 'raw', 'cdr_data.voice', 432000, 432000, 0, 0, true),
    (3, 'raw', 'raw.messages', 6400, 6391, 8, 1, true), (3, 'silver', 'messages', 6409, 6400, 9, 0, true),
    (3, 'models', 'analytics.rooms', 40, 40, 0, 0, true), (3, 'models', 'analytics.messages', 6391, 6391, 0, 0, true);

UPDATE ops.layer_audit SET rows_out = rows_out - 30, withdrawn = 30 WHERE table_name = 'cdr_data.voice';

CREATE TABLE ops.lanes (epoch bigint, topic text, stream text, partition integer, last_record_at timestamptz, loaded_at timestamptz);
INSERT INTO ops.lanes VALUES
    -- Of another epoch.
    (1, 'cdr-data', 'cdr_data', 0, now(), now()),
    (2, 'cdr-data', 'cdr_data', 0, now() - interval '2 hours 10 seconds', now() - interval '1 hour 10 seconds'),
    (2, 'cdr-data', 'cdr_data', 1, now() - interval '3 days', now() - interval '3 days'),
    (2, 'cdr-data', 'cdr_data', 2, now() + interval '3 days', now() - interval '3 hours'),
    (2, 'cdr-voice', 'cdr_voice', 0, now() - interval '50 hours 10 seconds', now() - interval '49 hours 10 seconds'),
    (2, 'chat-messages', 'messages', 0, now() + interval '72 hours 10 seconds', now() - interval '1 hour 10 seconds'),
    (2, 'rejected', 'rejected', 0, NULL, now() - interval '2 days 10 seconds');
CREATE TABLE ops.file_conflicts (file_name text, other_file text, reason text, rows bigint, shared_rows bigint, landed_at timestamptz);
INSERT INTO ops.file_conflicts VALUES
    ('cdr_voice_20240102_000000.csv', 'cdr_voice_20240101_000000.csv', 'shares', 1300, 1299, now() - interval '2 hours 10 seconds'),
    ('cdr_data_20240101_000000.csv', 'cdr_data_20240101_000000.csv', 'changed', 3, 2, now() - interval '26 hours 10 seconds');
CREATE TABLE ops.unmatched_files (file_name text, files bigint, noted_at timestamptz);
INSERT INTO ops.unmatched_files VALUES
    ('README', 3, now() - interval '26 hours 10 seconds'),
    ('cdr_data_20240132_000000.csv', 3, now() - interval '2 hours 10 seconds');

CREATE TABLE raw.rejected (reason text, rows bigint, batch_id bigint);
INSERT INTO raw.rejected VALUES ('bad_header', 1200, 1), ('unknown_type', 1, 1), ('unknown_type', 1, 2), ('day_out_of_range', 1, 2);
CREATE TABLE ops.unusable_records (reason text, batch_id bigint);
INSERT INTO ops.unusable_records VALUES ('bad_json', 1), ('bad_json', 2);
