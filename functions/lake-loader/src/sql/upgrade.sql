-- What tables that an earlier version made lack. Each step first looks whether it is needed: ALTER TABLE keeps readers waiting also
-- where there is nothing to do.
create or replace function ops.lacks(relation text, column_name text) returns boolean language sql stable as $$
    select to_regclass(relation) is not null and not exists (
        select from pg_attribute
        where attrelid = to_regclass(relation) and attname = column_name and not attisdropped)
$$;
comment on function ops.lacks is 'Whether a table is there and has no column of this name.';

do $$
begin
    if ops.lacks('ops.chunks', 'is_by_offset') then
        alter table ops.chunks
            add column is_by_offset boolean not null default false,
            add column earliest_at timestamptz,
            add column latest_at timestamptz,
            add column last_record_at timestamptz;
        alter table ops.loaded_objects alter column hour drop not null;
    end if;
    if ops.lacks('ops.source_lines', 'withdrawn_line') then
        alter table ops.chunks add column withdrawn bigint;
        alter table ops.source_lines add column withdrawn_line bigint not null default 0;
        alter table ops.layer_audit add column withdrawn bigint not null default 0;
    end if;
    if ops.lacks('ops.state', 'messages_lack_moments') then
        alter table ops.state add column messages_lack_moments boolean not null default false;
    end if;
    if ops.lacks('raw.messages', 'message_at') then
        alter table raw.messages add column message_at timestamptz;
        update ops.state set messages_lack_moments = true;
    end if;
end $$;

-- A record may name no tower, and usage of which all was taken back is 0 events.
do $$
declare
    lacking record;
begin
    for lacking in
        select attrelid::regclass as relation from pg_attribute
        where attrelid in (to_regclass('cdr_data.data'), to_regclass('cdr_data.voice'))
            and attname = 'tower_id' and attnotnull
    loop
        execute format('alter table %s alter column tower_id drop not null', lacking.relation);
    end loop;
    for lacking in
        select conrelid::regclass as relation, conname as name from pg_constraint
        where contype = 'c' and pg_get_constraintdef(oid) like '%(events > 0)%' and conrelid in (
            to_regclass('prepared_layers.usage_15min'), to_regclass('prepared_layers.usage_30min'),
            to_regclass('prepared_layers.usage_1h'), to_regclass('prepared_layers.daily_usage'),
            to_regclass('analytics.usage_by_day'))
    loop
        execute format(
            'alter table %s drop constraint %I, add check (events >= 0 and up_bytes >= 0 and down_bytes >= 0 and seconds >= 0)',
            lacking.relation, lacking.name);
    end loop;
end $$;
