-- The loader's last run, and how far each topic has been loaded, as one JSON value. `…_s` is seconds ago.
SELECT jsonb_build_object(
    'run', (
        SELECT jsonb_build_object(
            'status', status,
            'message', message,
            'started_s', greatest(extract(epoch FROM now() - started_at), 0)::bigint,
            'finished_s', greatest(extract(epoch FROM now() - finished_at), 0)::bigint)
        FROM ops.runs ORDER BY run_id DESC LIMIT 1),
    'succeeded_s', (
        SELECT greatest(extract(epoch FROM now() - finished_at), 0)::bigint
        FROM ops.runs WHERE status = 'succeeded' ORDER BY run_id DESC LIMIT 1),
    'topics', coalesce((
        SELECT jsonb_agg(jsonb_build_object(
            'topic', topic,
            'newest_record_at', to_char(newest AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"'),
            'loaded_s', greatest(extract(epoch FROM now() - loaded_at), 0)::bigint) ORDER BY topic)
        -- Clocks that are ahead do not speak for those that are not.
        FROM (SELECT topic, max(loaded_at) AS loaded_at,
                     coalesce(max(last_record_at) FILTER (WHERE last_record_at <= now()), min(last_record_at)) AS newest
              FROM ops.lanes WHERE epoch = (SELECT max(epoch) FROM ops.lanes) AND loaded_at IS NOT NULL
              GROUP BY topic) AS topics), '[]'))
