#!/usr/bin/env bash
# One would guess: a library that can read a .zst file reads all of it, by whichever of its functions, as `zstd -d` does.
# What happens: python-zstandard has several ways to read. `stream_reader`, `open` and `copy_stream` read all frames; `decompress` and
# `read_to_iter` return the first frame and say nothing of the others. So a file of two frames (`cat a.zst b.zst`, a log that is appended
# to, everything that pzstd writes) loses its later rows without an error. Where a skippable frame comes first, as in every file of
# pzstd, `read_to_iter` returns nothing at all, also without an error; so does `decompress` in 0.19.0 and 0.22.0, while 0.25.0 raises.
# Since: the same in 0.19.0, 0.22.0 and 0.25.0, but for that. pyzstd 0.18.0 reads all of both.
# Source: RFC 8878, section 3 (frames may be concatenated, skippable ones are passed over); the docstring of ZstdDecompressor.decompress
# says that reading across frames is not implemented there.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet zstandard==0.25.0 pyzstd==0.18.0
"$folder/venv/bin/python" - <<'PYTHON' | tee "$folder/found"
import io

import pyzstd
import zstandard

rows = b"msisdn,seconds\n" + b"27820000001,60\n" * 1000
two_frames = zstandard.compress(rows) + zstandard.compress(rows)
skippable_first = (0x184D2A50).to_bytes(4, "little") + (4).to_bytes(4, "little") + b"size" + zstandard.compress(rows)


def copied(stored):
    out = io.BytesIO()
    zstandard.ZstdDecompressor().copy_stream(io.BytesIO(stored), out)
    return out.getvalue()


ways = {
    "zstandard.decompress": zstandard.decompress,
    "zstandard read_to_iter": lambda stored: b"".join(zstandard.ZstdDecompressor().read_to_iter(io.BytesIO(stored))),
    "zstandard stream_reader": lambda stored: zstandard.ZstdDecompressor().stream_reader(io.BytesIO(stored)).read(),
    "zstandard.open": lambda stored: zstandard.open(io.BytesIO(stored), "rb").read(),
    "zstandard copy_stream": copied,
    "pyzstd.decompress": pyzstd.decompress,
}
print("zstandard", zstandard.__version__)
for name, way in ways.items():
    told = []
    for stored in (two_frames, skippable_first):
        try:
            told.append(f"{len(way(stored)) / len(rows):g} x")
        except zstandard.ZstdError as error:
            told.append(str(error))
    print(f"{name}: two frames {told[0]}; a skippable frame first: {told[1]}")
PYTHON
diff "$folder/found" - <<'EXPECTED'
zstandard 0.25.0
zstandard.decompress: two frames 1 x; a skippable frame first: decompression error: decompressed 0 bytes; expected 4
zstandard read_to_iter: two frames 1 x; a skippable frame first: 0 x
zstandard stream_reader: two frames 2 x; a skippable frame first: 1 x
zstandard.open: two frames 2 x; a skippable frame first: 1 x
zstandard copy_stream: two frames 2 x; a skippable frame first: 1 x
pyzstd.decompress: two frames 2 x; a skippable frame first: 1 x
EXPECTED
echo "as described"
