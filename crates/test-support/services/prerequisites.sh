#!/usr/bin/env bash
# prerequisites.sh: what `make test` needs beside Rust and a C toolchain. Names what is missing; installs it as root on
# Debian.
set -euo pipefail

missing=()
command -v sftp >/dev/null || missing+=(openssh-client)
python3 -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 10))' 2>/dev/null || missing+=(python3 python3-venv)
[ ${#missing[@]} -gt 0 ] || exit 0

if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
    echo "prerequisites.sh: installing ${missing[*]}" >&2
    apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
else
    echo "prerequisites.sh: make test needs these packages, by their Debian names: ${missing[*]}" >&2
    exit 1
fi
