#!/usr/bin/env bash
# One would guess: whether zero bytes may stand behind the end of a .gz, as tapes and block devices leave them, is a matter of the format, so
# readers agree.
# What happens: gzip itself and Python's gzip pass over them, and pandas with it; DuckDB, Polars and Arrow refuse the whole file, each with
# another error, though all its rows are whole. None says that the rows before were read.
# Since: seen on DuckDB 2.0.1, Polars 2.1.0, PyArrow 26.0.1, pandas 3.1.1, Python 3.11.
# Source: RFC 1952, section 2.2 (a file is a series of members, and nothing else); gzip's manual, "tapes" (zeros behind are ignored).
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet polars==2.1.0 duckdb==2.0.1 pandas==3.1.1 pyarrow==26.0.1
cd "$folder"
{ echo msisdn,seconds; for row in $(seq 1000); do echo "2782000$row,60"; done; } > rows.csv
{ gzip -c rows.csv; head -c 512 /dev/zero; } > padded.csv.gz
{
    echo "gzip: $(gzip -dc padded.csv.gz 2>/dev/null | tail -n +2 | wc -l) rows"
    "$folder/venv/bin/python" - <<'PYTHON'
import duckdb
import pandas
import polars
from pyarrow import csv

ways = {
    "pandas": lambda path: len(pandas.read_csv(path)),
    "duckdb": lambda path: duckdb.execute(f"SELECT count(*) FROM read_csv('{path}', header = true)").fetchone()[0],
    "polars": lambda path: polars.read_csv(path).height,
    "pyarrow": lambda path: csv.read_csv(path).num_rows,
}
for name, way in ways.items():
    try:
        print(f"{name}: {way('padded.csv.gz')} rows")
    except Exception as error:
        print(f"{name}: {str(error).splitlines()[0]}")
PYTHON
} | tee found
diff found - <<'EXPECTED'
gzip: 1000 rows
pandas: 1000 rows
duckdb: IO Error: Input is not a GZIP stream
polars: invalid gzip header
pyarrow: zlib inflate failed: unknown compression method
EXPECTED
echo "as described"
