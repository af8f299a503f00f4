select
    valid_from,
    coalesce(lead(valid_from) over (order by valid_from), 'infinity') as valid_to,
    voice_zar_per_minute,
    video_zar_per_minute,
    data_zar_per_gb,
    (
        select md5(string_agg(concat_ws(' ', to_char(valid_from::timestamp, 'YYYY-MM-DD'), voice_zar_per_minute, video_zar_per_minute, data_zar_per_gb), ',' order by valid_from))
        from {{ source('ops', 'tariff') }}
    ) as tariff_id
from {{ source('ops', 'tariff') }}
