update ops.runs
set
    status = $2,
    message = $3,
    finished_at = now()
where run_id = $1 and status = 'running'
