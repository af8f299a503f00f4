-- What `trunkline init` makes for the CRM. Run again, it changes nothing but comments, and adds what an older version lacks.

-- `IF NOT EXISTS` would ask for the right to make schemas also where there is nothing to make.
do $$ begin
    if to_regnamespace('crm_data') is null then
        create schema crm_data;
    end if;
end $$;
comment on schema crm_data is 'The CRM''s tables, followed by cdc-handler: as they are now, and as they were (…_history).';

create table if not exists crm_data.progress (
    table_name text primary key,
    stream_lsn bigint not null default 0,
    changed_at timestamptz
);
comment on table crm_data.progress is 'How far each table has come. Its row is locked while changes of the table are written.';
comment on column crm_data.progress.table_name is 'The table, without its schema.';
comment on column crm_data.progress.stream_lsn is 'The newest change''s place in the source''s write-ahead log.';
comment on column crm_data.progress.changed_at is 'The latest time at which a change was committed in the source.';

create table if not exists crm_data.deletions (
    table_name text not null,
    key bigint not null,
    stream_lsn bigint not null,
    source_lsn bigint not null,
    deleted_at timestamptz not null,
    primary key (table_name, key, stream_lsn, source_lsn)
);
comment on table crm_data.deletions is 'Every deletion of a row in the source. Kept, so that an older change that comes late does not bring the row back.';
comment on column crm_data.deletions.table_name is 'The table, without its schema.';
comment on column crm_data.deletions.key is 'The row''s primary key.';
comment on column crm_data.deletions.stream_lsn is 'Orders all changes: the lsn, or the end of the commit before the transaction''s where that is higher.';
comment on column crm_data.deletions.source_lsn is 'The deletion''s own place in the source''s write-ahead log.';
comment on column crm_data.deletions.deleted_at is 'When it was committed in the source.';

create table if not exists crm_data.truncations (
    table_name text not null,
    stream_lsn bigint not null,
    source_lsn bigint not null,
    truncated_at timestamptz not null,
    primary key (table_name, stream_lsn, source_lsn)
);
comment on table crm_data.truncations is 'Every TRUNCATE of a table in the source: what is older is gone.';
comment on column crm_data.truncations.table_name is 'The table, without its schema.';
comment on column crm_data.truncations.stream_lsn is 'Orders all changes: the lsn, or the end of the commit before the transaction''s where that is higher.';
comment on column crm_data.truncations.source_lsn is 'The truncation''s own place in the source''s write-ahead log.';
comment on column crm_data.truncations.truncated_at is 'When it was committed in the source.';

create table if not exists crm_data.unusable (
    table_name text not null,
    key bigint not null,
    stream_lsn bigint not null,
    is_streamed boolean not null,
    source_lsn bigint not null,
    changed_at timestamptz not null,
    reason text not null,
    primary key (table_name, key, stream_lsn, is_streamed, source_lsn)
);
comment on table crm_data.unusable is 'Every change of a row that could not be used, and is in the topic rejected. Kept, as what was told before it is not what the row is after it.';
comment on column crm_data.unusable.table_name is 'The table, without its schema.';
comment on column crm_data.unusable.key is 'The row''s primary key.';
comment on column crm_data.unusable.stream_lsn is 'Orders all changes: the lsn, or the end of the commit before the transaction''s where that is higher.';
comment on column crm_data.unusable.is_streamed is 'False for a row that a snapshot read: it is older than a change at the same place.';
comment on column crm_data.unusable.source_lsn is 'The change''s own place in the source''s write-ahead log.';
comment on column crm_data.unusable.changed_at is 'The change''s time as the source told it.';
comment on column crm_data.unusable.reason is 'Why it could not be used, as in the topic rejected.';

-- Tables of before there was `stale_since`. The column is looked for first, as `IF NOT EXISTS` would wait for all readers.
do $$
declare
    old regclass;
begin
    for old in
        select c.oid from pg_class c
        where c.relnamespace = 'crm_data'::regnamespace
            and c.relname in ('accounts', 'addresses', 'devices', 'accounts_history', 'addresses_history', 'devices_history')
            and not exists (select from pg_attribute where attrelid = c.oid and attname = 'stale_since')
    loop
        execute format('alter table %s add column stale_since timestamptz', old);
    end loop;
end $$;

create table if not exists crm_data.accounts (
    account_id bigint primary key,
    owner_name text,
    email text,
    phone_number text,
    modified_ts timestamptz,
    valid_from timestamptz not null,
    source_lsn bigint not null,
    stale_since timestamptz
);
create table if not exists crm_data.accounts_history (
    account_id bigint not null,
    owner_name text,
    email text,
    phone_number text,
    modified_ts timestamptz,
    valid_from timestamptz not null,
    valid_to timestamptz check (valid_to >= valid_from),
    op text not null,
    changed_at timestamptz not null,
    stream_lsn bigint not null,
    is_streamed boolean not null,
    source_lsn bigint not null,
    unchanged text[] not null,
    base_key bigint,
    stale_since timestamptz,
    primary key (account_id, stream_lsn, is_streamed, source_lsn)
);
create unique index if not exists accounts_history_open on crm_data.accounts_history (account_id) where valid_to is null;
create index if not exists accounts_history_based on crm_data.accounts_history (base_key) where base_key is not null and unchanged <> '{}';
comment on table crm_data.accounts is 'An account of the CRM, as it is now.';
comment on table crm_data.accounts_history is 'Every version of a row of accounts, valid from valid_from until just before valid_to. Versions of a row never overlap; a row that was deleted and created again has a gap.';
comment on column crm_data.accounts.account_id is 'The account.';
comment on column crm_data.accounts.owner_name is 'Who owns the account.';
comment on column crm_data.accounts.email is 'Where the owner gets mail.';
comment on column crm_data.accounts.phone_number is 'The number the owner gave; not canonical, so not always an MSISDN.';
comment on column crm_data.accounts.modified_ts is 'When the CRM says it was modified; a time without a zone is taken for UTC.';
comment on column crm_data.accounts_history.account_id is 'The account.';
comment on column crm_data.accounts_history.owner_name is 'Who owns the account.';
comment on column crm_data.accounts_history.email is 'Where the owner gets mail.';
comment on column crm_data.accounts_history.phone_number is 'The number the owner gave; not canonical, so not always an MSISDN.';
comment on column crm_data.accounts_history.modified_ts is 'When the CRM says it was modified; a time without a zone is taken for UTC.';
comment on column crm_data.accounts.valid_from is 'Since when it has been like this: as in the history.';
comment on column crm_data.accounts.source_lsn is 'The place of its last change in the source''s write-ahead log.';
comment on column crm_data.accounts.stale_since is 'When a change of it came that could not be used: what is here is from before. NULL: it is as the source has it.';
comment on column crm_data.accounts_history.stale_since is 'When a change of it came that could not be used: from then on until valid_to the row is not known. NULL: there was none.';
comment on column crm_data.accounts_history.valid_from is 'When the change was committed in the source, or a snapshot read the row; not before the version before it began.';
comment on column crm_data.accounts_history.valid_to is 'When the next version began, or the row was deleted; NULL: it is the current one.';
comment on column crm_data.accounts_history.op is 'Debezium''s operation: c created, u updated, r read by a snapshot.';
comment on column crm_data.accounts_history.changed_at is 'The change''s time as the source told it.';
comment on column crm_data.accounts_history.stream_lsn is 'Orders all changes: the lsn, or the end of the commit before the transaction''s where that is higher.';
comment on column crm_data.accounts_history.is_streamed is 'False for a row that a snapshot read: it is older than a change at the same place.';
comment on column crm_data.accounts_history.source_lsn is 'The change''s own place in the source''s write-ahead log.';
comment on column crm_data.accounts_history.unchanged is 'Columns whose value the change did not tell (large and untouched): it is that of the row before the change.';
comment on column crm_data.accounts_history.base_key is 'The key that the row had before, if the change gave it this one: what the change did not tell is that row''s.';

create table if not exists crm_data.addresses (
    account_id bigint primary key,
    street_address text,
    city text,
    state text,
    postal_code text,
    country text,
    modified_ts timestamptz,
    valid_from timestamptz not null,
    source_lsn bigint not null,
    stale_since timestamptz
);
create table if not exists crm_data.addresses_history (
    account_id bigint not null,
    street_address text,
    city text,
    state text,
    postal_code text,
    country text,
    modified_ts timestamptz,
    valid_from timestamptz not null,
    valid_to timestamptz check (valid_to >= valid_from),
    op text not null,
    changed_at timestamptz not null,
    stream_lsn bigint not null,
    is_streamed boolean not null,
    source_lsn bigint not null,
    unchanged text[] not null,
    base_key bigint,
    stale_since timestamptz,
    primary key (account_id, stream_lsn, is_streamed, source_lsn)
);
create unique index if not exists addresses_history_open on crm_data.addresses_history (account_id) where valid_to is null;
create index if not exists addresses_history_based on crm_data.addresses_history (base_key) where base_key is not null and unchanged <> '{}';
comment on table crm_data.addresses is 'An account''s address in the CRM, as it is now.';
comment on table crm_data.addresses_history is 'Every version of a row of addresses, valid from valid_from until just before valid_to. Versions of a row never overlap; a row that was deleted and created again has a gap.';
comment on column crm_data.addresses.account_id is 'The account that lives there; it has one address.';
comment on column crm_data.addresses.street_address is 'Street and number.';
comment on column crm_data.addresses.city is 'City.';
comment on column crm_data.addresses.state is 'State or province.';
comment on column crm_data.addresses.postal_code is 'Postal code, as text: zeros lead.';
comment on column crm_data.addresses.country is 'Country, as the CRM writes it.';
comment on column crm_data.addresses.modified_ts is 'When the CRM says it was modified; a time without a zone is taken for UTC.';
comment on column crm_data.addresses_history.account_id is 'The account that lives there; it has one address.';
comment on column crm_data.addresses_history.street_address is 'Street and number.';
comment on column crm_data.addresses_history.city is 'City.';
comment on column crm_data.addresses_history.state is 'State or province.';
comment on column crm_data.addresses_history.postal_code is 'Postal code, as text: zeros lead.';
comment on column crm_data.addresses_history.country is 'Country, as the CRM writes it.';
comment on column crm_data.addresses_history.modified_ts is 'When the CRM says it was modified; a time without a zone is taken for UTC.';
comment on column crm_data.addresses.valid_from is 'Since when it has been like this: as in the history.';
comment on column crm_data.addresses.source_lsn is 'The place of its last change in the source''s write-ahead log.';
comment on column crm_data.addresses.stale_since is 'When a change of it came that could not be used: what is here is from before. NULL: it is as the source has it.';
comment on column crm_data.addresses_history.stale_since is 'When a change of it came that could not be used: from then on until valid_to the row is not known. NULL: there was none.';
comment on column crm_data.addresses_history.valid_from is 'When the change was committed in the source, or a snapshot read the row; not before the version before it began.';
comment on column crm_data.addresses_history.valid_to is 'When the next version began, or the row was deleted; NULL: it is the current one.';
comment on column crm_data.addresses_history.op is 'Debezium''s operation: c created, u updated, r read by a snapshot.';
comment on column crm_data.addresses_history.changed_at is 'The change''s time as the source told it.';
comment on column crm_data.addresses_history.stream_lsn is 'Orders all changes: the lsn, or the end of the commit before the transaction''s where that is higher.';
comment on column crm_data.addresses_history.is_streamed is 'False for a row that a snapshot read: it is older than a change at the same place.';
comment on column crm_data.addresses_history.source_lsn is 'The change''s own place in the source''s write-ahead log.';
comment on column crm_data.addresses_history.unchanged is 'Columns whose value the change did not tell (large and untouched): it is that of the row before the change.';
comment on column crm_data.addresses_history.base_key is 'The key that the row had before, if the change gave it this one: what the change did not tell is that row''s.';

create table if not exists crm_data.devices (
    device_id bigint primary key,
    account_id bigint,
    device_name text,
    device_type text,
    device_os text,
    modified_ts timestamptz,
    valid_from timestamptz not null,
    source_lsn bigint not null,
    stale_since timestamptz
);
create table if not exists crm_data.devices_history (
    device_id bigint not null,
    account_id bigint,
    device_name text,
    device_type text,
    device_os text,
    modified_ts timestamptz,
    valid_from timestamptz not null,
    valid_to timestamptz check (valid_to >= valid_from),
    op text not null,
    changed_at timestamptz not null,
    stream_lsn bigint not null,
    is_streamed boolean not null,
    source_lsn bigint not null,
    unchanged text[] not null,
    base_key bigint,
    stale_since timestamptz,
    primary key (device_id, stream_lsn, is_streamed, source_lsn)
);
create unique index if not exists devices_history_open on crm_data.devices_history (device_id) where valid_to is null;
create index if not exists devices_history_based on crm_data.devices_history (base_key) where base_key is not null and unchanged <> '{}';
comment on table crm_data.devices is 'A device of an account of the CRM, as it is now.';
comment on table crm_data.devices_history is 'Every version of a row of devices, valid from valid_from until just before valid_to. Versions of a row never overlap; a row that was deleted and created again has a gap.';
comment on column crm_data.devices.device_id is 'The device.';
comment on column crm_data.devices.account_id is 'The account it belongs to; the CRM may tell of it before it tells of the account.';
comment on column crm_data.devices.device_name is 'What the owner calls it.';
comment on column crm_data.devices.device_type is 'Kind of device.';
comment on column crm_data.devices.device_os is 'Its operating system.';
comment on column crm_data.devices.modified_ts is 'When the CRM says it was modified; a time without a zone is taken for UTC.';
comment on column crm_data.devices_history.device_id is 'The device.';
comment on column crm_data.devices_history.account_id is 'The account it belongs to; the CRM may tell of it before it tells of the account.';
comment on column crm_data.devices_history.device_name is 'What the owner calls it.';
comment on column crm_data.devices_history.device_type is 'Kind of device.';
comment on column crm_data.devices_history.device_os is 'Its operating system.';
comment on column crm_data.devices_history.modified_ts is 'When the CRM says it was modified; a time without a zone is taken for UTC.';
comment on column crm_data.devices.valid_from is 'Since when it has been like this: as in the history.';
comment on column crm_data.devices.source_lsn is 'The place of its last change in the source''s write-ahead log.';
comment on column crm_data.devices.stale_since is 'When a change of it came that could not be used: what is here is from before. NULL: it is as the source has it.';
comment on column crm_data.devices_history.stale_since is 'When a change of it came that could not be used: from then on until valid_to the row is not known. NULL: there was none.';
comment on column crm_data.devices_history.valid_from is 'When the change was committed in the source, or a snapshot read the row; not before the version before it began.';
comment on column crm_data.devices_history.valid_to is 'When the next version began, or the row was deleted; NULL: it is the current one.';
comment on column crm_data.devices_history.op is 'Debezium''s operation: c created, u updated, r read by a snapshot.';
comment on column crm_data.devices_history.changed_at is 'The change''s time as the source told it.';
comment on column crm_data.devices_history.stream_lsn is 'Orders all changes: the lsn, or the end of the commit before the transaction''s where that is higher.';
comment on column crm_data.devices_history.is_streamed is 'False for a row that a snapshot read: it is older than a change at the same place.';
comment on column crm_data.devices_history.source_lsn is 'The change''s own place in the source''s write-ahead log.';
comment on column crm_data.devices_history.unchanged is 'Columns whose value the change did not tell (large and untouched): it is that of the row before the change.';
comment on column crm_data.devices_history.base_key is 'The key that the row had before, if the change gave it this one: what the change did not tell is that row''s.';

insert into crm_data.progress (table_name) values ('accounts'), ('addresses'), ('devices') on conflict do nothing;
