-- A day is the sum of its hours.
{{ usage_differences(ref('usage_1h'), 'window_start', 'sum(events)', ref('daily_usage'), 'day', 1440) }}
