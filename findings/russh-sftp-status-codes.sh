#!/usr/bin/env bash
# One would guess: a request that an SFTP server refuses with a status that the client doesn't know fails, and only that request.
# What happens: russh-sftp reads a status code into an enum of the codes 0 to 8. Any other ends the session: the caller is told "sender
# dropped", and each later request "session closed". Servers send such codes to clients of version 3 too: Erlang's ssh_sftpd answers a
# rename onto a name that exists with 11, "file already exists". AsyncSSH reports that, and goes on in the same session.
# Since: seen on russh-sftp 3.0.1 and AsyncSSH 2.24.1, with ssh 4.15.2 (Erlang/OTP 25, Debian 12's package).
# Source: StatusCode in src/protocol/status.rs and run_with_config in src/client/mod.rs of russh-sftp; handle_op for SSH_FXP_RENAME in
# lib/ssh/src/ssh_sftpd.erl. draft-ietf-secsh-filexfer-02, section 7 (codes 0 to 8); -13, section 9.1 (11).
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
mkdir files keys src
for name in first second; do echo rows > "files/$name"; done

cat > Cargo.toml <<'TOML'
[package]
name = "client"
version = "0.0.0"
edition = "2021"

[dependencies]
russh-sftp = "=3.0.1"
tokio = { version = "=1.54.1", features = ["io-util", "macros", "net", "rt", "time"] }
TOML
cat > src/main.rs <<'RUST'
use std::error::Error;

use russh_sftp::client::SftpSession;
use tokio::net::UnixStream;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let session = SftpSession::new(UnixStream::connect("sftp").await?).await?;
    println!("russh-sftp: exists: {:?}", session.try_exists("first").await);
    println!("russh-sftp: rename: {:?}", session.rename("first", "second").await);
    println!("russh-sftp: exists: {:?}", session.try_exists("first").await);
    Ok(())
}
RUST
CARGO_TARGET_DIR=$folder/target cargo build --quiet

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


async def with_asyncssh(connection):
    async with connection.start_sftp_client() as sftp:
        print(f"asyncssh, SFTP {sftp.version}: exists:", await sftp.exists("first"))
        try:
            await sftp.rename("first", "second")
        except asyncssh.SFTPError as error:
            print(f"asyncssh: rename: {type(error).__name__}, {error.code}")
        print("asyncssh: exists:", await sftp.exists("first"))


async def with_russh_sftp(connection):
    """russh-sftp speaks to the server's sftp subsystem over a socket that is joined to an SSH channel."""

    async def join(reader, writer):
        await connection.create_process(subsystem="sftp", encoding=None, stdin=reader, stdout=writer)

    async with await asyncio.start_unix_server(join, "sftp"):
        client = await asyncio.create_subprocess_exec("target/debug/client", stdout=asyncio.subprocess.PIPE)
        print((await client.communicate())[0].decode(), end="")


async def compare(port):
    login = {"username": "any", "known_hosts": None, "client_keys": None, "config": None}
    async with asyncssh.connect("127.0.0.1", port, **login) as connection:
        await with_asyncssh(connection)
        await with_russh_sftp(connection)


asyncssh.generate_private_key("ssh-ed25519").write_private_key("keys/ssh_host_ed25519_key")
erl = [os.environ["ERL_ROOTDIR"] + "/bin/erl", "-noshell", "-eval", SERVER]
# The server ends when its input does.
with subprocess.Popen(erl, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as server:
    version, port = server.stdout.readline().split()
    print("ssh", version, "asyncssh", asyncssh.__version__)
    asyncio.run(compare(int(port)))
PYTHON
diff found - <<'EXPECTED'
ssh 4.15.2 asyncssh 2.24.1
asyncssh, SFTP 3: exists: True
asyncssh: rename: SFTPFileAlreadyExists, 11
asyncssh: exists: True
russh-sftp: exists: Ok(true)
russh-sftp: rename: Err(UnexpectedBehavior("sender dropped"))
russh-sftp: exists: Err(UnexpectedBehavior("session closed"))
EXPECTED
echo "as described"
