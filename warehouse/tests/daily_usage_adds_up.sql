-- A day is the sum of its hours: of all subscribers together, as a day has too many of them to look at each after every hour.
{{ usage_differences(ref('usage_1h'), 'window_start', 'sum(events)', ref('daily_usage'), 'day', '1 day', 'category, usage_type') }}
