{{ config(materialized='view') }}

with

devices as (
    select
        account_id,
        count(*) as device_count,
        jsonb_agg(
            jsonb_build_object('device_id', device_id, 'name', device_name, 'type', device_type, 'os', device_os)
            order by device_id
        ) as devices,
        max(modified_ts) as modified_ts
    from {{ ref('stg_devices') }}
    group by 1
)

select
    accounts.account_id,
    accounts.owner_name,
    accounts.email,
    accounts.phone_number,
    accounts.msisdn,
    addresses.street_address,
    addresses.city,
    addresses.state,
    addresses.postal_code,
    addresses.country,
    coalesce(devices.device_count, 0) as device_count,
    coalesce(devices.devices, '[]') as devices,
    greatest(accounts.modified_ts, addresses.modified_ts, devices.modified_ts) as modified_ts
from {{ ref('stg_accounts') }} as accounts
left join {{ ref('stg_addresses') }} as addresses using (account_id)
left join devices using (account_id)
