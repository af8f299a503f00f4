-- An hour is the sum of its quarters.
{{ usage_differences(ref('usage_15min'), 'window_start', 'sum(events)', ref('usage_1h'), 'window_start', '1 hour', 'msisdn, category, usage_type') }}
