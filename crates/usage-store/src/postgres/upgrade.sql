-- A store of the version before this: its columns, and nothing else of it, is changed. In one transaction.
select pg_advisory_xact_lock(hashtextextended('trunkline usage store', 0));

alter table usage.settings
    add column if not exists rules integer,
    add column if not exists zone text,
    add column if not exists closed_before_ms bigint;
alter table usage.lanes add column if not exists rules_from bigint not null default 0;
-- The default is for the rows that are there.
alter table usage.sources add column if not exists withdrawn_line bigint not null default 0;
alter table usage.sources alter column withdrawn_line drop default;
