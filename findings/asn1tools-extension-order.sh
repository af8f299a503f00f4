#!/usr/bin/env bash
# One would guess: two ASN.1 libraries that are given the same specification exchange BER, its oldest encoding, without a loss.
# What happens: where a SEQUENCE can be extended in its middle (between two markers, "..."), the added fields stand there in BER and DER
# too, as in the specification; so pycrate writes and reads them. asn1tools puts them behind all other fields, and looks for them there.
# Each reads the other's record without an error and without a field: asn1tools loses the optional charge behind the added field, pycrate
# the added field itself. With one marker, at the end, both agree.
# Since: seen on asn1tools 0.169.0 and pycrate 0.8.1.
# Source: X.690, section 8.9.2 (the fields are encoded in the order of their appearance in the definition) and the note of 8.1.1.4 (BER
# ignores the markers); asn1c, a third library, had the same in its issue 19.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip install --quiet asn1tools==0.169.0 pycrate==0.8.1
venv/bin/python - <<'PYTHON' | tee found
import contextlib
import importlib
import io
import sys
from importlib.metadata import version

import asn1tools
from pycrate_asn1c.asnproc import compile_text
from pycrate_asn1c.generator import PycrateGenerator

MODULE = "{name} DEFINITIONS IMPLICIT TAGS ::= BEGIN Call ::= SEQUENCE {{ seconds [1] INTEGER, {rest} }} END"
MODULES = {
    "End": MODULE.format(name="End", rest="charge [3] INTEGER OPTIONAL, ..., roaming [2] INTEGER"),
    "Middle": MODULE.format(name="Middle", rest="..., roaming [2] INTEGER, ..., charge [3] INTEGER OPTIONAL"),
}
RECORD = {"seconds": 60, "roaming": 1, "charge": 5}


def told(record):
    return dict(sorted(record.items()))


with contextlib.redirect_stdout(io.StringIO()):
    compile_text("\n".join(MODULES.values()))
    PycrateGenerator("generated.py")
sys.path.insert(0, ".")
generated = importlib.import_module("generated")
print("asn1tools", version("asn1tools"), "pycrate", version("pycrate"))
for name, module in MODULES.items():
    pycrate, tools = getattr(generated, name).Call, asn1tools.compile_string(module, "ber")
    pycrate.set_val(RECORD)
    for writer, ber in (("pycrate", pycrate.to_ber()), ("asn1tools", tools.encode("Call", RECORD))):
        print(f"{name}: {writer} writes {ber.hex(' ')}")
        pycrate.from_ber(ber)
        print("    pycrate reads", told(pycrate.get_val()))
        print("    asn1tools reads", told(tools.decode("Call", ber)))
PYTHON
diff found - <<'EXPECTED'
asn1tools 0.169.0 pycrate 0.8.1
End: pycrate writes 30 09 81 01 3c 83 01 05 82 01 01
    pycrate reads {'charge': 5, 'roaming': 1, 'seconds': 60}
    asn1tools reads {'charge': 5, 'roaming': 1, 'seconds': 60}
End: asn1tools writes 30 09 81 01 3c 83 01 05 82 01 01
    pycrate reads {'charge': 5, 'roaming': 1, 'seconds': 60}
    asn1tools reads {'charge': 5, 'roaming': 1, 'seconds': 60}
Middle: pycrate writes 30 09 81 01 3c 82 01 01 83 01 05
    pycrate reads {'charge': 5, 'roaming': 1, 'seconds': 60}
    asn1tools reads {'roaming': 1, 'seconds': 60}
Middle: asn1tools writes 30 09 81 01 3c 83 01 05 82 01 01
    pycrate reads {'charge': 5, 'seconds': 60}
    asn1tools reads {'charge': 5, 'roaming': 1, 'seconds': 60}
EXPECTED
echo "as described"
