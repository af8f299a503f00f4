{{ config(materialized='view') }}

select
    accounts.account_id,
    accounts.msisdn,
    balances.hour,
    balances.cost_zar,
    balances.balance_zar,
    balances.batch_id
from {{ ref('stg_accounts') }} as accounts
inner join {{ ref('hourly_balance') }} as balances using (msisdn)
