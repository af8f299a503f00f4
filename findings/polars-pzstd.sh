#!/usr/bin/env bash
# One would guess: Polars reads a .csv.zst that pzstd wrote, as it reads one that zstd wrote; or it refuses it.
# What happens: Polars knows a compressed file by its first bytes, and pzstd begins with a skippable frame, whose bytes are others. So the
# file is taken for plain text: `scan_csv(…).select(len())` counts 1 row of 1,000 without an error (line ends happen to be few in
# compressed bytes), `read_csv` and a `collect` of the columns fail with "invalid utf-8 sequence". A skippable frame behind the data, and several
# frames, are read. DuckDB and pandas read the file.
# Since: seen on Polars 2.1.0, DuckDB 2.0.1, pandas 3.1.1.
# Source: RFC 8878, section 3.1.2 (skippable frames; their magic number is 0x184D2A50 to 0x184D2A5F); pzstd's own files begin so.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet polars==2.1.0 duckdb==2.0.1 pandas==3.1.1 zstandard==0.25.0
cd "$folder"
"$folder/venv/bin/python" - <<'PYTHON' | tee "$folder/found"
import duckdb
import pandas
import polars
import zstandard

rows = "msisdn,seconds\n" + "".join(f"2782000{row:04},60\n" for row in range(1000))
frame = zstandard.compress(rows.encode())
# What pzstd writes before each frame: the length of that frame.
skippable = (0x184D2A50).to_bytes(4, "little") + (4).to_bytes(4, "little") + len(frame).to_bytes(4, "little")
files = {"zstd": frame, "skippable frame last": frame + skippable, "pzstd": skippable + frame}
ways = {
    "polars scan_csv, len": lambda path: polars.scan_csv(path).select(polars.len()).collect().item(),
    "polars read_csv": lambda path: polars.read_csv(path).height,
    "duckdb": lambda path: duckdb.execute(f"SELECT count(*) FROM read_csv('{path}', header = true)").fetchone()[0],
    "pandas": lambda path: len(pandas.read_csv(path)),
}
print("polars", polars.__version__, "duckdb", duckdb.__version__, "pandas", pandas.__version__)
for kind, stored in files.items():
    path = kind.replace(" ", "-") + ".csv.zst"
    with open(path, "wb") as file:
        file.write(stored)
    for name, way in ways.items():
        try:
            told = f"{way(path)} rows"
        except Exception as error:
            told = str(error).splitlines()[0]
        print(f"{kind}: {name}: {told}")
PYTHON
diff "$folder/found" - <<'EXPECTED'
polars 2.1.0 duckdb 2.0.1 pandas 3.1.1
zstd: polars scan_csv, len: 1000 rows
zstd: polars read_csv: 1000 rows
zstd: duckdb: 1000 rows
zstd: pandas: 1000 rows
skippable frame last: polars scan_csv, len: 1000 rows
skippable frame last: polars read_csv: 1000 rows
skippable frame last: duckdb: 1000 rows
skippable frame last: pandas: 1000 rows
pzstd: polars scan_csv, len: 1 rows
pzstd: polars read_csv: invalid utf-8 sequence
pzstd: duckdb: 1000 rows
pzstd: pandas: 1000 rows
EXPECTED
echo "as described"
