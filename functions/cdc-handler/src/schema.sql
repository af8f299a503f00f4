-- What `trunkline init` makes for the CRM. Run again, it changes nothing but comments, and adds what an older version lacks.

-- `IF NOT EXISTS` would ask for the right to make schemas also where there is nothing to make.
DO $$ BEGIN
    IF to_regnamespace('crm_data') IS NULL THEN
        CREATE SCHEMA crm_data;
    END IF;
END $$;
COMMENT ON SCHEMA crm_data IS 'The CRM''s tables, followed by cdc-handler: as they are now, and as they were (…_history).';

CREATE TABLE IF NOT EXISTS crm_data.progress (
    table_name text PRIMARY KEY,
    stream_lsn bigint NOT NULL DEFAULT 0,
    changed_at timestamptz
);
COMMENT ON TABLE crm_data.progress IS 'How far each table has come. Its row is locked while changes of the table are written.';
COMMENT ON COLUMN crm_data.progress.table_name IS 'The table, without its schema.';
COMMENT ON COLUMN crm_data.progress.stream_lsn IS 'The newest change''s place in the source''s write-ahead log.';
COMMENT ON COLUMN crm_data.progress.changed_at IS 'The latest time at which a change was committed in the source.';

CREATE TABLE IF NOT EXISTS crm_data.deletions (
    table_name text NOT NULL,
    key bigint NOT NULL,
    stream_lsn bigint NOT NULL,
    source_lsn bigint NOT NULL,
    deleted_at timestamptz NOT NULL,
    PRIMARY KEY (table_name, key, stream_lsn, source_lsn)
);
COMMENT ON TABLE crm_data.deletions IS 'Every deletion of a row in the source. Kept, so that an older change that comes late does not bring the row back.';
COMMENT ON COLUMN crm_data.deletions.table_name IS 'The table, without its schema.';
COMMENT ON COLUMN crm_data.deletions.key IS 'The row''s primary key.';
COMMENT ON COLUMN crm_data.deletions.stream_lsn IS 'Orders all changes: the lsn, or the end of the commit before the transaction''s where that is higher.';
COMMENT ON COLUMN crm_data.deletions.source_lsn IS 'The deletion''s own place in the source''s write-ahead log.';
COMMENT ON COLUMN crm_data.deletions.deleted_at IS 'When it was committed in the source.';

CREATE TABLE IF NOT EXISTS crm_data.truncations (
    table_name text NOT NULL,
    stream_lsn bigint NOT NULL,
    source_lsn bigint NOT NULL,
    truncated_at timestamptz NOT NULL,
    PRIMARY KEY (table_name, stream_lsn, source_lsn)
);
COMMENT ON TABLE crm_data.truncations IS 'Every TRUNCATE of a table in the source: what is older is gone.';
COMMENT ON COLUMN crm_data.truncations.table_name IS 'The table, without its schema.';
COMMENT ON COLUMN crm_data.truncations.stream_lsn IS 'Orders all changes: the lsn, or the end of the commit before the transaction''s where that is higher.';
COMMENT ON COLUMN crm_data.truncations.source_lsn IS 'The truncation''s own place in the source''s write-ahead log.';
COMMENT ON COLUMN crm_data.truncations.truncated_at IS 'When it was committed in the source.';

CREATE TABLE IF NOT EXISTS crm_data.unusable (
    table_name text NOT NULL,
    key bigint NOT NULL,
    stream_lsn bigint NOT NULL,
    is_streamed boolean NOT NULL,
    source_lsn bigint NOT NULL,
    changed_at timestamptz NOT NULL,
    reason text NOT NULL,
    PRIMARY KEY (table_name, key, stream_lsn, is_streamed, source_lsn)
);
COMMENT ON TABLE crm_data.unusable IS 'Every change of a row that could not be used, and is in the topic rejected. Kept, as what was told before it is not what the row is after it.';
COMMENT ON COLUMN crm_data.unusable.table_name IS 'The table, without its schema.';
COMMENT ON COLUMN crm_data.unusable.key IS 'The row''s primary key.';
COMMENT ON COLUMN crm_data.unusable.stream_lsn IS 'Orders all changes: the lsn, or the end of the commit before the transaction''s where that is higher.';
COMMENT ON COLUMN crm_data.unusable.is_streamed IS 'False for a row that a snapshot read: it is older than a change at the same place.';
COMMENT ON COLUMN crm_data.unusable.source_lsn IS 'The change''s own place in the source''s write-ahead log.';
COMMENT ON COLUMN crm_data.unusable.changed_at IS 'The change''s time as the source told it.';
COMMENT ON COLUMN crm_data.unusable.reason IS 'Why it could not be used, as in the topic rejected.';

-- Tables of before there was `stale_since`. The column is looked for first, as `IF NOT EXISTS` would wait for all readers.
DO $$
DECLARE
    old regclass;
BEGIN
    FOR old IN
        SELECT c.oid FROM pg_class c
        WHERE c.relnamespace = 'crm_data'::regnamespace
            AND c.relname IN ('accounts', 'addresses', 'devices', 'accounts_history', 'addresses_history', 'devices_history')
            AND NOT EXISTS (SELECT FROM pg_attribute WHERE attrelid = c.oid AND attname = 'stale_since')
    LOOP
        EXECUTE format('ALTER TABLE %s ADD COLUMN stale_since timestamptz', old);
    END LOOP;
END $$;

CREATE TABLE IF NOT EXISTS crm_data.accounts (
    account_id bigint PRIMARY KEY,
    owner_name text,
    email text,
    phone_number text,
    modified_ts timestamptz,
    valid_from timestamptz NOT NULL,
    source_lsn bigint NOT NULL,
    stale_since timestamptz
);
CREATE TABLE IF NOT EXISTS crm_data.accounts_history (
    account_id bigint NOT NULL,
    owner_name text,
    email text,
    phone_number text,
    modified_ts timestamptz,
    valid_from timestamptz NOT NULL,
    valid_to timestamptz CHECK (valid_to >= valid_from),
    op text NOT NULL,
    changed_at timestamptz NOT NULL,
    stream_lsn bigint NOT NULL,
    is_streamed boolean NOT NULL,
    source_lsn bigint NOT NULL,
    unchanged text[] NOT NULL,
    base_key bigint,
    stale_since timestamptz,
    PRIMARY KEY (account_id, stream_lsn, is_streamed, source_lsn)
);
CREATE UNIQUE INDEX IF NOT EXISTS accounts_history_open ON crm_data.accounts_history (account_id) WHERE valid_to IS NULL;
CREATE INDEX IF NOT EXISTS accounts_history_based ON crm_data.accounts_history (base_key) WHERE base_key IS NOT NULL AND unchanged <> '{}';
COMMENT ON TABLE crm_data.accounts IS 'An account of the CRM, as it is now.';
COMMENT ON TABLE crm_data.accounts_history IS 'Every version of a row of accounts, valid from valid_from until just before valid_to. Versions of a row never overlap; a row that was deleted and created again has a gap.';
COMMENT ON COLUMN crm_data.accounts.account_id IS 'The account.';
COMMENT ON COLUMN crm_data.accounts.owner_name IS 'Who owns the account.';
COMMENT ON COLUMN crm_data.accounts.email IS 'Where the owner gets mail.';
COMMENT ON COLUMN crm_data.accounts.phone_number IS 'The number the owner gave; not canonical, so not always an MSISDN.';
COMMENT ON COLUMN crm_data.accounts.modified_ts IS 'When the CRM says it was modified; a time without a zone is taken for UTC.';
COMMENT ON COLUMN crm_data.accounts_history.account_id IS 'The account.';
COMMENT ON COLUMN crm_data.accounts_history.owner_name IS 'Who owns the account.';
COMMENT ON COLUMN crm_data.accounts_history.email IS 'Where the owner gets mail.';
COMMENT ON COLUMN crm_data.accounts_history.phone_number IS 'The number the owner gave; not canonical, so not always an MSISDN.';
COMMENT ON COLUMN crm_data.accounts_history.modified_ts IS 'When the CRM says it was modified; a time without a zone is taken for UTC.';
COMMENT ON COLUMN crm_data.accounts.valid_from IS 'Since when it has been like this: as in the history.';
COMMENT ON COLUMN crm_data.accounts.source_lsn IS 'The place of its last change in the source''s write-ahead log.';
COMMENT ON COLUMN crm_data.accounts.stale_since IS 'When a change of it came that could not be used: what is here is from before. NULL: it is as the source has it.';
COMMENT ON COLUMN crm_data.accounts_history.stale_since IS 'When a change of it came that could not be used: from then on until valid_to the row is not known. NULL: there was none.';
COMMENT ON COLUMN crm_data.accounts_history.valid_from IS 'When the change was committed in the source, or a snapshot read the row; not before the version before it began.';
COMMENT ON COLUMN crm_data.accounts_history.valid_to IS 'When the next version began, or the row was deleted; NULL: it is the current one.';
COMMENT ON COLUMN crm_data.accounts_history.op IS 'Debezium''s operation: c created, u updated, r read by a snapshot.';
COMMENT ON COLUMN crm_data.accounts_history.changed_at IS 'The change''s time as the source told it.';
COMMENT ON COLUMN crm_data.accounts_history.stream_lsn IS 'Orders all changes: the lsn, or the end of the commit before the transaction''s where that is higher.';
COMMENT ON COLUMN crm_data.accounts_history.is_streamed IS 'False for a row that a snapshot read: it is older than a change at the same place.';
COMMENT ON COLUMN crm_data.accounts_history.source_lsn IS 'The change''s own place in the source''s write-ahead log.';
COMMENT ON COLUMN crm_data.accounts_history.unchanged IS 'Columns whose value the change did not tell (large and untouched): it is that of the row before the change.';
COMMENT ON COLUMN crm_data.accounts_history.base_key IS 'The key that the row had before, if the change gave it this one: what the change did not tell is that row''s.';

CREATE TABLE IF NOT EXISTS crm_data.addresses (
    account_id bigint PRIMARY KEY,
    street_address text,
    city text,
    state text,
    postal_code text,
    country text,
    modified_ts timestamptz,
    valid_from timestamptz NOT NULL,
    source_lsn bigint NOT NULL,
    stale_since timestamptz
);
CREATE TABLE IF NOT EXISTS crm_data.addresses_history (
    account_id bigint NOT NULL,
    street_address text,
    city text,
    state text,
    postal_code text,
    country text,
    modified_ts timestamptz,
    valid_from timestamptz NOT NULL,
    valid_to timestamptz CHECK (valid_to >= valid_from),
    op text NOT NULL,
    changed_at timestamptz NOT NULL,
    stream_lsn bigint NOT NULL,
    is_streamed boolean NOT NULL,
    source_lsn bigint NOT NULL,
    unchanged text[] NOT NULL,
    base_key bigint,
    stale_since timestamptz,
    PRIMARY KEY (account_id, stream_lsn, is_streamed, source_lsn)
);
CREATE UNIQUE INDEX IF NOT EXISTS addresses_history_open ON crm_data.addresses_history (account_id) WHERE valid_to IS NULL;
CREATE INDEX IF NOT EXISTS addresses_history_based ON crm_data.addresses_history (base_key) WHERE base_key IS NOT NULL AND unchanged <> '{}';
COMMENT ON TABLE crm_data.addresses IS 'An account''s address in the CRM, as it is now.';
COMMENT ON TABLE crm_data.addresses_history IS 'Every version of a row of addresses, valid from valid_from until just before valid_to. Versions of a row never overlap; a row that was deleted and created again has a gap.';
COMMENT ON COLUMN crm_data.addresses.account_id IS 'The account that lives there; it has one address.';
COMMENT ON COLUMN crm_data.addresses.street_address IS 'Street and number.';
COMMENT ON COLUMN crm_data.addresses.city IS 'City.';
COMMENT ON COLUMN crm_data.addresses.state IS 'State or province.';
COMMENT ON COLUMN crm_data.addresses.postal_code IS 'Postal code, as text: zeros lead.';
COMMENT ON COLUMN crm_data.addresses.country IS 'Country, as the CRM writes it.';
COMMENT ON COLUMN crm_data.addresses.modified_ts IS 'When the CRM says it was modified; a time without a zone is taken for UTC.';
COMMENT ON COLUMN crm_data.addresses_history.account_id IS 'The account that lives there; it has one address.';
COMMENT ON COLUMN crm_data.addresses_history.street_address IS 'Street and number.';
COMMENT ON COLUMN crm_data.addresses_history.city IS 'City.';
COMMENT ON COLUMN crm_data.addresses_history.state IS 'State or province.';
COMMENT ON COLUMN crm_data.addresses_history.postal_code IS 'Postal code, as text: zeros lead.';
COMMENT ON COLUMN crm_data.addresses_history.country IS 'Country, as the CRM writes it.';
COMMENT ON COLUMN crm_data.addresses_history.modified_ts IS 'When the CRM says it was modified; a time without a zone is taken for UTC.';
COMMENT ON COLUMN crm_data.addresses.valid_from IS 'Since when it has been like this: as in the history.';
COMMENT ON COLUMN crm_data.addresses.source_lsn IS 'The place of its last change in the source''s write-ahead log.';
COMMENT ON COLUMN crm_data.addresses.stale_since IS 'When a change of it came that could not be used: what is here is from before. NULL: it is as the source has it.';
COMMENT ON COLUMN crm_data.addresses_history.stale_since IS 'When a change of it came that could not be used: from then on until valid_to the row is not known. NULL: there was none.';
COMMENT ON COLUMN crm_data.addresses_history.valid_from IS 'When the change was committed in the source, or a snapshot read the row; not before the version before it began.';
COMMENT ON COLUMN crm_data.addresses_history.valid_to IS 'When the next version began, or the row was deleted; NULL: it is the current one.';
COMMENT ON COLUMN crm_data.addresses_history.op IS 'Debezium''s operation: c created, u updated, r read by a snapshot.';
COMMENT ON COLUMN crm_data.addresses_history.changed_at IS 'The change''s time as the source told it.';
COMMENT ON COLUMN crm_data.addresses_history.stream_lsn IS 'Orders all changes: the lsn, or the end of the commit before the transaction''s where that is higher.';
COMMENT ON COLUMN crm_data.addresses_history.is_streamed IS 'False for a row that a snapshot read: it is older than a change at the same place.';
COMMENT ON COLUMN crm_data.addresses_history.source_lsn IS 'The change''s own place in the source''s write-ahead log.';
COMMENT ON COLUMN crm_data.addresses_history.unchanged IS 'Columns whose value the change did not tell (large and untouched): it is that of the row before the change.';
COMMENT ON COLUMN crm_data.addresses_history.base_key IS 'The key that the row had before, if the change gave it this one: what the change did not tell is that row''s.';

CREATE TABLE IF NOT EXISTS crm_data.devices (
    device_id bigint PRIMARY KEY,
    account_id bigint,
    device_name text,
    device_type text,
    device_os text,
    modified_ts timestamptz,
    valid_from timestamptz NOT NULL,
    source_lsn bigint NOT NULL,
    stale_since timestamptz
);
CREATE TABLE IF NOT EXISTS crm_data.devices_history (
    device_id bigint NOT NULL,
    account_id bigint,
    device_name text,
    device_type text,
    device_os text,
    modified_ts timestamptz,
    valid_from timestamptz NOT NULL,
    valid_to timestamptz CHECK (valid_to >= valid_from),
    op text NOT NULL,
    changed_at timestamptz NOT NULL,
    stream_lsn bigint NOT NULL,
    is_streamed boolean NOT NULL,
    source_lsn bigint NOT NULL,
    unchanged text[] NOT NULL,
    base_key bigint,
    stale_since timestamptz,
    PRIMARY KEY (device_id, stream_lsn, is_streamed, source_lsn)
);
CREATE UNIQUE INDEX IF NOT EXISTS devices_history_open ON crm_data.devices_history (device_id) WHERE valid_to IS NULL;
CREATE INDEX IF NOT EXISTS devices_history_based ON crm_data.devices_history (base_key) WHERE base_key IS NOT NULL AND unchanged <> '{}';
COMMENT ON TABLE crm_data.devices IS 'A device of an account of the CRM, as it is now.';
COMMENT ON TABLE crm_data.devices_history IS 'Every version of a row of devices, valid from valid_from until just before valid_to. Versions of a row never overlap; a row that was deleted and created again has a gap.';
COMMENT ON COLUMN crm_data.devices.device_id IS 'The device.';
COMMENT ON COLUMN crm_data.devices.account_id IS 'The account it belongs to; the CRM may tell of it before it tells of the account.';
COMMENT ON COLUMN crm_data.devices.device_name IS 'What the owner calls it.';
COMMENT ON COLUMN crm_data.devices.device_type IS 'Kind of device.';
COMMENT ON COLUMN crm_data.devices.device_os IS 'Its operating system.';
COMMENT ON COLUMN crm_data.devices.modified_ts IS 'When the CRM says it was modified; a time without a zone is taken for UTC.';
COMMENT ON COLUMN crm_data.devices_history.device_id IS 'The device.';
COMMENT ON COLUMN crm_data.devices_history.account_id IS 'The account it belongs to; the CRM may tell of it before it tells of the account.';
COMMENT ON COLUMN crm_data.devices_history.device_name IS 'What the owner calls it.';
COMMENT ON COLUMN crm_data.devices_history.device_type IS 'Kind of device.';
COMMENT ON COLUMN crm_data.devices_history.device_os IS 'Its operating system.';
COMMENT ON COLUMN crm_data.devices_history.modified_ts IS 'When the CRM says it was modified; a time without a zone is taken for UTC.';
COMMENT ON COLUMN crm_data.devices.valid_from IS 'Since when it has been like this: as in the history.';
COMMENT ON COLUMN crm_data.devices.source_lsn IS 'The place of its last change in the source''s write-ahead log.';
COMMENT ON COLUMN crm_data.devices.stale_since IS 'When a change of it came that could not be used: what is here is from before. NULL: it is as the source has it.';
COMMENT ON COLUMN crm_data.devices_history.stale_since IS 'When a change of it came that could not be used: from then on until valid_to the row is not known. NULL: there was none.';
COMMENT ON COLUMN crm_data.devices_history.valid_from IS 'When the change was committed in the source, or a snapshot read the row; not before the version before it began.';
COMMENT ON COLUMN crm_data.devices_history.valid_to IS 'When the next version began, or the row was deleted; NULL: it is the current one.';
COMMENT ON COLUMN crm_data.devices_history.op IS 'Debezium''s operation: c created, u updated, r read by a snapshot.';
COMMENT ON COLUMN crm_data.devices_history.changed_at IS 'The change''s time as the source told it.';
COMMENT ON COLUMN crm_data.devices_history.stream_lsn IS 'Orders all changes: the lsn, or the end of the commit before the transaction''s where that is higher.';
COMMENT ON COLUMN crm_data.devices_history.is_streamed IS 'False for a row that a snapshot read: it is older than a change at the same place.';
COMMENT ON COLUMN crm_data.devices_history.source_lsn IS 'The change''s own place in the source''s write-ahead log.';
COMMENT ON COLUMN crm_data.devices_history.unchanged IS 'Columns whose value the change did not tell (large and untouched): it is that of the row before the change.';
COMMENT ON COLUMN crm_data.devices_history.base_key IS 'The key that the row had before, if the change gave it this one: what the change did not tell is that row''s.';

INSERT INTO crm_data.progress (table_name) VALUES ('accounts'), ('addresses'), ('devices') ON CONFLICT DO NOTHING;
