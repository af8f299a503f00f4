#!/bin/sh
# The CRM's database and its owner, who may also replicate: the generator and Debezium log in as `crm`.
set -eu
psql -v ON_ERROR_STOP=1 -v password="$CRM_PASSWORD" --username "$POSTGRES_USER" --dbname postgres <<'END'
CREATE ROLE crm LOGIN REPLICATION PASSWORD :'password';
CREATE DATABASE wtc_prod OWNER crm;
END
