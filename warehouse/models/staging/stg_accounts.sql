with

numbers as (
    select
        *,
        regexp_replace(regexp_replace(phone_number, '\s', '', 'g'), '^(\+|00)', '') as digits
    from {{ source('crm_data', 'accounts') }}
)

select
    account_id,
    owner_name,
    email,
    phone_number,
    case when digits ~ '^[1-9][0-9]{4,14}$' then digits end as msisdn,
    modified_ts
from numbers
