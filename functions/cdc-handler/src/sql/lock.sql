update crm_data.progress
set
    stream_lsn = greatest(stream_lsn, $2),
    changed_at = greatest(changed_at, $3)
where table_name = $1
