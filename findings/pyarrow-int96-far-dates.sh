#!/usr/bin/env bash
# One would guess: a timestamp that a reader cannot hold is an error. 9999-12-31, the usual end of a tariff or a contract that is open, is
# in the range of what Parquet stores.
# What happens: PyArrow reads the older INT96 timestamps, which Impala and Spark write and PyArrow's own flavor="spark", as nanoseconds in
# 64 bits, which end in 2262, and lets the number run over: 9999-12-31 comes back as 1816-03-29, without an error, in pandas too. A filter
# for what is still valid loses the row. DuckDB, Polars and PyArrow's coerce_int96_timestamp_unit="us" read it right. The newer INT64
# timestamps are read right by all.
# Since: seen on PyArrow 26.0.1, pandas 3.1.1, DuckDB 2.0.1, Polars 2.1.0.
# Source: Int96GetNanoSeconds in cpp/src/parquet/types.h of Arrow, and its issue 44112; pyarrow.parquet.read_table (the unit is ns if none
# is given).
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip install --quiet pyarrow==26.0.1 pandas==3.1.1 duckdb==2.0.1 polars==2.1.0
venv/bin/python - <<'PYTHON' | tee found
from datetime import datetime

import duckdb
import pandas
import polars
import pyarrow
from pyarrow import parquet

ends = pyarrow.table({"valid_to": pyarrow.array([datetime(2027, 1, 1), datetime(9999, 12, 31)], pyarrow.timestamp("us"))})
parquet.write_table(ends, "int64.parquet")
parquet.write_table(ends, "int96.parquet", flavor="spark")
still_valid = [("valid_to", ">", datetime(2026, 1, 1))]
ways = {
    "pyarrow": lambda path: parquet.read_table(path)["valid_to"].to_pylist(),
    "pyarrow, still valid": lambda path: parquet.read_table(path, filters=still_valid)["valid_to"].to_pylist(),
    "pyarrow, as us": lambda path: parquet.read_table(path, coerce_int96_timestamp_unit="us")["valid_to"].to_pylist(),
    "pandas": lambda path: pandas.read_parquet(path)["valid_to"].tolist(),
    "duckdb": lambda path: [end for (end,) in duckdb.execute(f"SELECT valid_to FROM '{path}'").fetchall()],
    "polars": lambda path: polars.read_parquet(path)["valid_to"].to_list(),
}
print("pyarrow", pyarrow.__version__, "pandas", pandas.__version__, "duckdb", duckdb.__version__, "polars", polars.__version__)
for path in ("int64.parquet", "int96.parquet"):
    print(path, "holds", parquet.ParquetFile(path).schema.column(0).physical_type)
    for name, way in ways.items():
        print(f"    {name}:", *(str(end.date()) for end in way(path)))
PYTHON
diff found - <<'EXPECTED'
pyarrow 26.0.1 pandas 3.1.1 duckdb 2.0.1 polars 2.1.0
int64.parquet holds INT64
    pyarrow: 2027-01-01 9999-12-31
    pyarrow, still valid: 2027-01-01 9999-12-31
    pyarrow, as us: 2027-01-01 9999-12-31
    pandas: 2027-01-01 9999-12-31
    duckdb: 2027-01-01 9999-12-31
    polars: 2027-01-01 9999-12-31
int96.parquet holds INT96
    pyarrow: 2027-01-01 1816-03-29
    pyarrow, still valid: 2027-01-01
    pyarrow, as us: 2027-01-01 9999-12-31
    pandas: 2027-01-01 1816-03-29
    duckdb: 2027-01-01 9999-12-31
    polars: 2027-01-01 9999-12-31
EXPECTED
echo "as described"
