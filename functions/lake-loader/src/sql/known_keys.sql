select key
from ops.record_keys
where epoch = $1 and topic = $2 and partition = $3 and key = any($4) and first_offset < $5
