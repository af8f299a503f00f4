-- What the CRM's database says of itself, as one JSON object, whatever its version is from 13 on.
-- $1: the CRM's schema; $2: its tables; $3: the publication; $4: the replication slot.
with wanted as (
    select name, to_regclass(quote_ident($1) || '.' || quote_ident(name)) as relation
    from unnest($2::text[]) as name
),

tables as (
    select wanted.name, wanted.relation, class.relkind
    from wanted
    join pg_class as class on class.oid = wanted.relation
),

-- Where a table's rows are: in itself, or in its partitions.
holders as (
    select tables.name, class.relname, class.relreplident, class.relpersistence
    from tables
    cross join lateral (
        select relid from pg_partition_tree(tables.relation) where isleaf
        union select tables.relation where tables.relkind <> 'p'
    ) as leaf
    join pg_class as class on class.oid = leaf.relid
),

columns as (
    select
        tables.name,
        attribute.attname,
        attribute.attgenerated <> '' as is_generated,
        case when type.typtype = 'e' then 'enum' else type.typname end as type
    from tables
    join pg_attribute as attribute
        on attribute.attrelid = tables.relation and attribute.attnum > 0 and not attribute.attisdropped
    join pg_type as domain on domain.oid = attribute.atttypid
    join pg_type as type on type.oid = coalesce(nullif(domain.typbasetype, 0), domain.oid)
),

keys as (
    select tables.name, attribute.attname
    from tables
    join pg_index as index on index.indrelid = tables.relation and index.indisprimary
    join pg_attribute as attribute
        on attribute.attrelid = tables.relation and attribute.attnum = any (index.indkey)
)

select json_build_object(
    'wal_level', current_setting('wal_level'),
    'slot', (select to_json(slot) from pg_replication_slots as slot where slot.slot_name = $4),
    'publication', (select to_json(publication) from pg_publication as publication where publication.pubname = $3),
    'tables', (
        select json_agg(json_build_object(
            'name', tables.name,
            'is_table', tables.relkind in ('r', 'p'),
            'is_partitioned', tables.relkind = 'p',
            'has_children', tables.relkind <> 'p'
                and exists (select from pg_inherits where inhparent = tables.relation),
            'key', (select json_agg(attname order by attname) from keys where keys.name = tables.name),
            'columns', (
                select json_object_agg(attname, json_build_object('type', type, 'is_generated', is_generated))
                from columns where columns.name = tables.name
            ),
            'holders', (
                select json_agg(json_build_object(
                    'name', relname, 'identity', relreplident, 'is_unlogged', relpersistence = 'u'
                ) order by relname)
                from holders where holders.name = tables.name
            ),
            'published', (
                select to_json(published) from pg_publication_tables as published
                where published.pubname = $3 and published.schemaname = $1 and published.tablename = tables.name
            )
        ))
        from tables
    )
)
