-- Every session and call is in its quarter of an hour, once.
{{ usage_differences(ref('stg_interactions'), 'event_time', 'count(*)', ref('usage_15min'), 'window_start', '15 minutes', 'msisdn, category, usage_type') }}
