with

ended as (
    update ops.runs
    set
        status = 'interrupted',
        finished_at = now()
    where status = 'running'
),

begun as (
    insert into ops.runs (cause, is_full_refresh) values ($1, $2)
    returning run_id
)

update ops.state
set run_id = begun.run_id
from begun
returning begun.run_id
