select
    account_id,
    street_address,
    city,
    state,
    postal_code,
    country,
    modified_ts
from {{ source('crm_data', 'addresses') }}
