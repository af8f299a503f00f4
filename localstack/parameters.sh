#!/bin/sh
# parameters.sh host|network: the parameters of template.yaml for the services of docker-compose.yml, as they are reached
# from the host or from its network. Passwords come from the environment, or from .env; the API's user is API_USER (demo);
# the program that hashes its password is TRUNKLINE (the one in PATH, or the one that was built). LAKE=localstack says that
# the lake is LocalStack's S3, as for the functions that deploy.sh puts there: their credentials are good for no other.
#
#   localstack/parameters.sh host > local.parameters
#   TRUNKLINE_PARAMETERS=local.parameters trunkline up
set -eu

case ${1:-} in
host)
    brokers=127.0.0.1:19092,127.0.0.1:29092,127.0.0.1:39092 sftp_host=127.0.0.1 sftp_port=10022
    scylla=127.0.0.1 postgres=127.0.0.1 s3=127.0.0.1 localstack=127.0.0.1
    ;;
network)
    brokers=redpanda-0:9092,redpanda-1:9092,redpanda-2:9092 sftp_host=sftp sftp_port=22
    scylla=scylla postgres=postgres s3=s3 localstack=localstack
    ;;
*)
    echo "parameters.sh: say host (ports on 127.0.0.1) or network (names of services)" >&2
    exit 1
    ;;
esac

if [ -z "${API_PASSWORD:-}" ]; then
    env_file=$(dirname "$0")/../.env
    [ -r "$env_file" ] || { echo "parameters.sh: there is no .env: run localstack/env.sh > .env" >&2; exit 1; }
    set -a
    . "$env_file"
    set +a
fi

case ${LAKE:-s3} in
s3) lake=http://$s3:7070 access_key=trunkline secret_key=$S3_PASSWORD ;;
localstack) lake=http://$localstack:4566 access_key=test secret_key=test ;;
*)
    echo "parameters.sh: LAKE is s3 or localstack, not $LAKE" >&2
    exit 1
    ;;
esac

# The server makes its key when it is first started; on one's own machine it may be taken as it comes. A container is given
# it: so who asks here is on the host, also for what will run on the network.
if [ -z "${SFTP_HOST_KEY:-}" ]; then
    SFTP_HOST_KEY=$(ssh-keyscan -p 10022 -t ed25519 127.0.0.1 2>/dev/null | cut -d' ' -f2,3)
    [ -n "$SFTP_HOST_KEY" ] || {
        echo "parameters.sh: no SSH server answers at 127.0.0.1:10022: start it first (docker compose up -d sftp)" >&2
        exit 1
    }
fi

: "${TRUNKLINE:=$(command -v trunkline || echo "${CARGO_TARGET_DIR:-target}/cli/trunkline")}"
hash=$(printf %s "$API_PASSWORD" | "$TRUNKLINE" hash-password)

cat <<END
KafkaBrokers=$brokers
SftpHost=$sftp_host
SftpPort=$sftp_port
SftpUser=cdr_data
SftpPassword=$SFTP_PASSWORD
SftpHostKey=$SFTP_HOST_KEY
SftpRemotePath=/upload
SftpSettleSeconds=5
SftpLastLineSeconds=5
LakeBucket=trunkline
LakeEndpoint=$lake
UsageStore=scylla://$scylla:9042/trunkline
DatabaseUrl=postgres://trunkline:$POSTGRES_PASSWORD@$postgres:5432/trunkline
ApiUsers=[{"user":"${API_USER:-demo}","password_hash":"$hash","msisdns":"*","may_post":true}]
AWS_REGION=us-east-1
AWS_ACCESS_KEY_ID=$access_key
AWS_SECRET_ACCESS_KEY=$secret_key
END
