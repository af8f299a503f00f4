-- The CRM as its operator would have it: no foreign keys, every table with its own time of change.
CREATE SCHEMA IF NOT EXISTS crm_system;

CREATE TABLE IF NOT EXISTS crm_system.accounts (
    account_id   integer PRIMARY KEY,
    owner_name   text NOT NULL,
    email        text,
    phone_number text,
    modified_ts  timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE IF NOT EXISTS crm_system.addresses (
    account_id     integer PRIMARY KEY,
    street_address text,
    city           text,
    state          text,
    postal_code    text,
    country        text,
    modified_ts    timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE IF NOT EXISTS crm_system.devices (
    device_id   integer PRIMARY KEY,
    account_id  integer NOT NULL,
    device_name text,
    device_type text,
    device_os   text,
    modified_ts timestamptz NOT NULL DEFAULT now()
);

-- Where Debezium is asked for incremental snapshots, and notes their windows: connector.json names it.
CREATE TABLE IF NOT EXISTS crm_system.debezium_signal (
    id   varchar(64) PRIMARY KEY,
    type varchar(32) NOT NULL,
    data varchar(2048)
);

-- How far each run has come. Outside the CRM's own schema: nobody captures it.
CREATE SCHEMA IF NOT EXISTS crm_generator;

CREATE TABLE IF NOT EXISTS crm_generator.progress (
    run              text PRIMARY KEY,
    next_transaction bigint NOT NULL
);
