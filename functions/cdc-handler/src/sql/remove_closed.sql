-- Removes the current rows that have no open version any more.
delete from crm_data.{table} as current_row
where not exists (
    select from crm_data.{table}_history as version
    where version.{key} = current_row.{key} and version.valid_to is null
)
