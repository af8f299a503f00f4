#!/usr/bin/env bash
# prerequisites.sh: what `make test` needs beside Rust and a C toolchain. Names what is missing; installs it as root on
# Debian.
set -euo pipefail

missing=()
# need PACKAGE COMMAND…: the package is missing where the command fails.
need() {
    local package=$1
    shift
    "$@" >/dev/null 2>&1 || missing+=("$package")
}
has_java_17() {
    ls /usr/lib/jvm/java-17-openjdk*/bin/java || { java -version 2>&1 | grep -q '"17\.'; }
}
# has_preload LIBRARY: the loader only warns of one that isn't there.
has_preload() {
    [ -z "$(LD_PRELOAD=$1 /bin/true 2>&1)" ]
}

need openjdk-17-jre-headless has_java_17
need maven command -v mvn
need openssl command -v openssl
need kcat command -v kcat
need curl command -v curl
need postgresql-client command -v psql
need openssh-client command -v sftp
need openssh-server test -x /usr/sbin/sshd
# The users of the tests' sshd.
need libnss-wrapper has_preload libnss_wrapper.so
# SFTP servers of other makes.
need openssh-sftp-server test -x /usr/lib/sftp-server
need dropbear-bin test -x /usr/sbin/dropbear
need libuid-wrapper has_preload libuid_wrapper.so
need proftpd-core test -x /usr/sbin/proftpd
need proftpd-mod-crypto test -e /usr/lib/proftpd/mod_sftp.so
need erlang-ssh sh -c 'ls /usr/lib/erlang/lib/ssh-*'
need python3-venv python3 -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 10))'
# What files are compressed with.
need gzip command -v gzip
need pigz command -v pigz
need zstd sh -c 'command -v zstd && command -v pzstd'
need tabix command -v bgzip
# For building OpenSSL, which the functions' Kafka client is linked with.
need perl perl -MFindBin -MIPC::Cmd -e 1
need make command -v make
# For looking at what the zips' programs need.
need binutils command -v objdump
# For looking at the dashboard as people see it.
need chromium command -v chromium
# For franz-go, one of the embedded broker's clients, and for what checks docker-compose.yml where Docker Compose 2 is not there.
# Debian has none that is new enough.
command -v go >/dev/null || {
    echo "prerequisites.sh: make test needs Go 1.24: install it from https://go.dev/dl" >&2
    exit 1
}
[ ${#missing[@]} -gt 0 ] || exit 0

if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
    echo "prerequisites.sh: installing ${missing[*]}" >&2
    apt-get update -qq
    # With this runlevel no daemon is started: tests start their own, on 127.0.0.1.
    RUNLEVEL=1 DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
    case " ${missing[*]} " in *" proftpd-core "*) update-rc.d proftpd disable >/dev/null ;; esac
else
    echo "prerequisites.sh: make test needs these packages, by their Debian names: ${missing[*]}" >&2
    exit 1
fi
