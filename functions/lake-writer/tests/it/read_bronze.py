"""Reads the objects of bronze below a folder, and prints their records."""

import sys

import duckdb

rows = duckdb.sql(
    """
    SELECT epoch, topic, partition, "offset", timestamp_ms, key, key_base64, value_base64,
           length(value) AS characters, list_transform(headers, lambda header: header.name) AS headers
    FROM read_json($objects, format = 'newline_delimited', hive_partitioning = true, columns = {
        'offset': 'BIGINT', 'timestamp_ms': 'BIGINT', 'key': 'VARCHAR', 'key_base64': 'VARCHAR',
        'value': 'VARCHAR', 'value_base64': 'VARCHAR',
        'headers': 'STRUCT(name VARCHAR, value VARCHAR, value_base64 VARCHAR)[]'
    })
    ORDER BY topic, partition, "offset"
    """,
    params={"objects": sys.argv[1] + "/bronze/**/*.jsonl.zst"},
)
print(*rows.columns, sep=" | ")
for row in rows.fetchall():
    print(*row, sep=" | ")
