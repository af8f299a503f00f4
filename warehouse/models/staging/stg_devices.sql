select
    device_id,
    account_id,
    device_name,
    device_type,
    device_os,
    modified_ts
from {{ source('crm_data', 'devices') }}
