#!/usr/bin/env bash
# One would guess: the algorithms that an SSH server announces for keys (`server-sig-algs`) are those that it accepts, so that a client
# with an RSA key picks the best of them and is let in, if any will do.
# What happens: OpenSSH's sshd announces all that its library can do, whatever PubkeyAcceptedAlgorithms says, even ssh-rsa and ssh-dss,
# which are off by default. A server that is set to accept rsa-sha2-256 alone announces rsa-sha2-512 too; Paramiko picks that, and is
# refused, with no other try. Only the server's log names the reason; with rsa-sha2-512 turned off in the client it does not occur.
# Since: seen on OpenSSH 9.2 (Debian 12's package), with Paramiko 5.1.0.
# Source: kex_send_ext_info in OpenSSH's kex.c; RFC 8308, section 3.1; sshd_config(5), PubkeyAcceptedAlgorithms.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip install --quiet paramiko==5.1.0
# Debian's package and libraries that it needs, unpacked beside the system: neither root nor an installation is needed.
mkdir -p apt/state/lists/partial apt/cache/archives/partial
options=(-qq -o "Dir::State=$folder/apt/state" -o "Dir::Cache=$folder/apt/cache" -o Dir::State::status=/var/lib/dpkg/status)
options+=(-o APT::Sandbox::User=)
apt-get "${options[@]}" update
apt-get "${options[@]}" download openssh-server=1:9.2p1-2+deb12u10 libwrap0 libnsl2 libtirpc3
for package in *.deb; do dpkg -x "$package" .; done
# As root, sshd wants an account and a folder of the system.
as_user=()
if [ "$(id -u)" = 0 ]; then
    chown -R nobody "$folder"
    as_user=(setpriv --reuid=nobody --regid=nogroup --clear-groups)
fi

"${as_user[@]}" venv/bin/python - <<'PYTHON' | tee found
import os
import pwd
import socket
import subprocess
from glob import glob

import paramiko
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

CONFIG = """
HostKey {folder}/host
AuthorizedKeysFile {folder}/authorized
PubkeyAcceptedAlgorithms rsa-sha2-256
PidFile none
StrictModes no
UsePAM no
"""
key = paramiko.RSAKey.generate(3072)
folder = os.getcwd()
with open("authorized", "w") as file:
    file.write(f"ssh-rsa {key.get_base64()}\n")
with open(os.open("host", os.O_WRONLY | os.O_CREAT, 0o600), "wb") as file:
    file.write(Ed25519PrivateKey.generate().private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption()))
with open("sshd_config", "w") as file:
    file.write(CONFIG.format(folder=folder))


def connect(*not_these):
    """sshd, started for one connection, as inetd does."""
    ours, theirs = socket.socketpair()
    sshd = [f"{folder}/usr/sbin/sshd", "-i", "-e", "-f", "sshd_config"]
    env = {**os.environ, "LD_LIBRARY_PATH": ":".join(glob(f"{folder}/usr/lib/*-linux-gnu") + glob(f"{folder}/lib/*-linux-gnu"))}
    with subprocess.Popen(sshd, stdin=theirs, stdout=theirs, stderr=subprocess.PIPE, text=True, env=env) as server:
        theirs.close()
        transport = paramiko.Transport(ours, disabled_algorithms={"pubkeys": not_these})
        try:
            transport.connect(username=pwd.getpwuid(os.getuid()).pw_name, pkey=key)
        except paramiko.AuthenticationException:
            pass
        announced = transport.server_extensions["server-sig-algs"].decode().split(",")
        transport.close()
        log = server.stderr.read()
    print("client without:", *not_these)
    print("  announced:", *(name for name in announced if name in ("ssh-dss", "ssh-rsa", "rsa-sha2-256", "rsa-sha2-512")))
    print("  log:", *(line.strip() for line in log.splitlines() if "not in PubkeyAcceptedAlgorithms" in line))


print("paramiko", paramiko.__version__)
connect()
connect("rsa-sha2-512")
PYTHON
diff found - <<'EXPECTED'
paramiko 5.1.0
client without:
  announced: ssh-dss ssh-rsa rsa-sha2-256 rsa-sha2-512
  log: userauth_pubkey: signature algorithm rsa-sha2-512 not in PubkeyAcceptedAlgorithms [preauth]
client without: rsa-sha2-512
  announced: ssh-dss ssh-rsa rsa-sha2-256 rsa-sha2-512
  log:
EXPECTED
echo "as described"
