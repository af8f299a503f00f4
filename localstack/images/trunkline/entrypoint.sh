#!/bin/sh
# The template's parameters for the services of docker-compose.yml, then `trunkline COMMAND`.
set -eu
key=/etc/sftp-keys/ssh_host_ed25519_key.pub
if [ -r "$key" ]; then
    SFTP_HOST_KEY=$(cut -d' ' -f1,2 "$key")
    export SFTP_HOST_KEY
    (umask 077 && /opt/trunkline/parameters.sh network >"$TRUNKLINE_PARAMETERS")
else
    # `generate crm` needs none.
    unset TRUNKLINE_PARAMETERS
fi
exec trunkline "$@"
