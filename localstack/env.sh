#!/usr/bin/env bash
# env.sh: passwords for docker-compose.yml, made at random.   localstack/env.sh > .env
set -euo pipefail
random() { head -c 18 /dev/urandom | base64 | tr '+/' '-_'; }
umask 077
cat <<END
API_PASSWORD=$(random)
CRM_PASSWORD=$(random)
POSTGRES_PASSWORD=$(random)
S3_PASSWORD=$(random)
SFTP_PASSWORD=$(random)
END
