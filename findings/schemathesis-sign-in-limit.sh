#!/usr/bin/env bash
# One would guess: Schemathesis's check `ignored_auth` reports an API that lets a request without credentials in; one that refuses every
# such request passes. 429 counts as a refusal, as it does for the checks `unsupported_method` and `negative_data_rejection`.
# What happens: the check sends a request again without credentials and with wrong ones, and takes only 401, 403 and redirects for a
# refusal. An API that limits failed sign-ins, and so answers 429 after a few, fails with ST401, "Authentication not enforced", which is
# critical, though it let none of these requests in. Without the limit it passes. `--rate-limit=auto`, which waits as Retry-After says,
# does not wait here.
# Since: seen on Schemathesis 4.32.5.
# Source: _enforces_auth and unsupported_method in schemathesis/specs/openapi/checks.py, send_probe in _auth_retry.py beside it;
# `st explain ST401`. RFC 6585, section 4 (429 refuses a request).
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip install --quiet schemathesis==4.32.5
venv/bin/python - <<'PYTHON' | tee found
import base64
import http.server
import json
import subprocess
import threading
from collections import Counter

RIGHT = "Basic " + base64.b64encode(b"user:right").decode()
OPERATION = {"get": {"responses": {status: {"description": "an answer"} for status in ("200", "401", "429")}}}
SCHEMA = {
    "openapi": "3.1.0",
    "info": {"title": "Rows", "version": "1"},
    "components": {"securitySchemes": {"basic": {"type": "http", "scheme": "basic"}}},
    "security": [{"basic": []}],
    "paths": {"/files": OPERATION, "/rows": OPERATION},
}


class Api(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        if self.path not in SCHEMA["paths"]:
            self.answer(*((200, SCHEMA) if self.path == "/openapi.json" else (404, {})))
        elif self.headers.get("Authorization") == RIGHT:
            self.answer(200, {})
        else:
            refusal = 429 if sum(self.server.refused.values()) >= self.server.limit else 401
            self.server.refused[refusal] += 1
            self.answer(refusal, {}, {"Retry-After": "1"} if refusal == 429 else {"WWW-Authenticate": "Basic"})

    def answer(self, status, body, headers={}):
        self.send_response(status)
        for name, value in {"Content-Type": "application/json", **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(json.dumps(body).encode())

    def log_message(self, *_):
        pass


def check(limit, *options):
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Api) as server:
        server.limit, server.refused = limit, Counter()
        threading.Thread(target=server.serve_forever).start()
        run = ["venv/bin/schemathesis", "--no-color", "run", f"http://127.0.0.1:{server.server_port}/openapi.json"]
        run += ["--auth=user:right", "--checks=ignored_auth", "--phases=coverage", *options]
        told = subprocess.run(run, capture_output=True, text=True).stdout
        server.shutdown()
    print(f"limit {limit}:", *options, "all refused, with", *sorted(server.refused))
    for line in told.splitlines():
        if line.startswith(("Schemathesis v", "- ST", "    Expected")):
            print(line.strip())


check(float("inf"))
check(2)
check(2, "--rate-limit=auto")
PYTHON
diff found - <<'EXPECTED'
limit inf: all refused, with 401
Schemathesis v4.32.5
limit 2: all refused, with 401 429
Schemathesis v4.32.5
- ST401 Unexpected response to invalid authentication
Expected 401 or 403, got `429 Too Many Requests` for `GET /files` (invalid credentials provided)
- ST401 Unexpected response to a request without authentication
Expected 401 or 403, got `429 Too Many Requests` for `GET /rows`
limit 2: --rate-limit=auto all refused, with 401 429
Schemathesis v4.32.5
- ST401 Unexpected response to invalid authentication
Expected 401 or 403, got `429 Too Many Requests` for `GET /files` (invalid credentials provided)
- ST401 Unexpected response to a request without authentication
Expected 401 or 403, got `429 Too Many Requests` for `GET /rows`
EXPECTED
echo "as described"
