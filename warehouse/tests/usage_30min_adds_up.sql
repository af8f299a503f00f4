-- Half an hour is the sum of its quarters.
{{ usage_differences(ref('usage_15min'), 'window_start', 'sum(events)', ref('usage_30min'), 'window_start', '30 minutes', 'msisdn, category, usage_type') }}
