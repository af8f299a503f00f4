#!/bin/sh
# Makes the user and, the first time, the host keys; then serves.
set -eu
: "${SFTP_USER:?the user's name}" "${SFTP_PASSWORD:?the password}"
id "$SFTP_USER" >/dev/null 2>&1 || useradd --shell /usr/sbin/nologin "$SFTP_USER"
echo "$SFTP_USER:$SFTP_PASSWORD" | chpasswd
# sshd wants the folder that it locks the user into to be root's.
install -d -o root -m 755 "/home/$SFTP_USER"
install -d -o "$SFTP_USER" "/home/$SFTP_USER/upload"
for type in ed25519 ecdsa; do
    key=/etc/sftp-keys/ssh_host_${type}_key
    [ -f "$key" ] || ssh-keygen -q -t "$type" -N "" -f "$key"
done
mkdir -p /run/sshd
exec /usr/sbin/sshd -D -e
