-- In the order of the key: lanes that are loaded at the same time lock rows in one order, so they can't deadlock.
with

written as (
    insert into {table} as kept ({columns})
    select {columns}
    from incoming
    order by {key}
    on conflict ({key}) {on_conflict}
    returning xmax = 0 as is_new
)

select count(*) filter (where is_new) from written
