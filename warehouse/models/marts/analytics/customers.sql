{{ config(materialized='incremental', incremental_strategy='merge', unique_key='customer_id', indexes=[{'columns': ['batch_id']}]) }}

with

messages as (
    {{ messages_of_changed(ref('stg_messages'), ref('stg_messages'), this, 'customer_id') }}
),

named as (
    select distinct on (customer_id)
        customer_id,
        customer_name
    from messages
    where customer_name is not null
    order by customer_id, message_at desc, kafka_epoch desc, kafka_partition desc, kafka_offset desc
),

reachable as (
    select distinct on (customer_id)
        customer_id,
        phone
    from messages
    where phone is not null
    order by customer_id, message_at desc, kafka_epoch desc, kafka_partition desc, kafka_offset desc
),

seen as (
    select
        customer_id,
        min(upload_date) as created_at,
        max(batch_id) as batch_id
    from messages
    group by 1
)

select
    seen.customer_id::varchar(50) as customer_id,
    named.customer_name::varchar(255) as customer_name,
    reachable.phone::varchar(20) as phone,
    seen.created_at,
    seen.batch_id
from seen
left join named using (customer_id)
left join reachable using (customer_id)
