insert into {table} ({columns})
select {columns}
from withdrawing
order by {key}
on conflict ({key}) do nothing
