#!/usr/bin/env bash
# One would guess: an SFTP server gives each file that is open in a session a handle of its own.
# What happens: Erlang's ssh_sftpd gives the third file the handle of the second, and so the fourth. That handle means the file opened
# last: whoever reads the second file gets the bytes of the fourth, without an error; once the fourth is closed, those of the third. A
# client that copies several files at once hits it; with two open files all is well.
# Since: seen on ssh 4.15.2 (Erlang/OTP 25, Debian 12's package), with AsyncSSH 2.24.1.
# Source: new_handle in lib/ssh/src/ssh_sftpd.erl looks for the first free number in a list that is sorted upwards; add_handle puts new
# handles in front. draft-ietf-secsh-filexfer-02, section 6.3: the handle identifies the open file.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip install --quiet asyncssh==2.24.1
# Debian's packages, unpacked beside the system: neither root nor an installation is needed.
mkdir -p apt/state/lists/partial apt/cache/archives/partial
options=(-qq -o "Dir::State=$folder/apt/state" -o "Dir::Cache=$folder/apt/cache" -o Dir::State::status=/var/lib/dpkg/status)
options+=(-o APT::Sandbox::User=)
apt-get "${options[@]}" update
for package in erlang-base erlang-crypto erlang-asn1 erlang-public-key erlang-ssh; do
    apt-get "${options[@]}" download "$package=1:25.2.3+dfsg-1+deb12u4"
done
for package in *.deb; do dpkg -x "$package" .; done
mkdir files keys
for name in first second third fourth; do echo "rows of the $name" > "files/$name"; done

HOME=$folder ERL_ROOTDIR=$folder/usr/lib/erlang venv/bin/python - <<'PYTHON' | tee found
import asyncio
import os
import subprocess

import asyncssh

SERVER = """
{ok, _} = application:ensure_all_started(ssh),
{ok, Version} = application:get_key(ssh, vsn),
Files = ssh_sftpd:subsystem_spec([{root, filename:absname("files")}]),
{ok, Server} = ssh:daemon({127,0,0,1}, 0, [{system_dir, "keys"}, {no_auth_needed, true}, {subsystems, [Files]}]),
{ok, Info} = ssh:daemon_info(Server),
io:format("~s ~p~n", [Version, proplists:get_value(port, Info)]),
io:get_line(""), halt().
"""


async def read_all(port):
    reached = asyncssh.connect("127.0.0.1", port, username="any", known_hosts=None, client_keys=None, config=None)
    async with reached as connection, connection.start_sftp_client() as sftp:
        files = [(name, await sftp.open(name, "rb")) for name in ("first", "second", "third", "fourth")]
        for name, file in files:
            print(f"{name}: {(await file.read()).decode().strip()}")
        await files.pop()[1].close()
        for name, file in files:
            print(f"{name}, with the fourth closed: {(await file.read(offset=0)).decode().strip()}")


asyncssh.generate_private_key("ssh-ed25519").write_private_key("keys/ssh_host_ed25519_key")
erl = [os.environ["ERL_ROOTDIR"] + "/bin/erl", "-noshell", "-eval", SERVER]
# The server ends when its input does.
with subprocess.Popen(erl, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as server:
    version, port = server.stdout.readline().split()
    print("ssh", version, "asyncssh", asyncssh.__version__)
    asyncio.run(read_all(int(port)))
PYTHON
diff found - <<'EXPECTED'
ssh 4.15.2 asyncssh 2.24.1
first: rows of the first
second: rows of the fourth
third: rows of the fourth
fourth: rows of the fourth
first, with the fourth closed: rows of the first
second, with the fourth closed: rows of the third
third, with the fourth closed: rows of the third
EXPECTED
echo "as described"
