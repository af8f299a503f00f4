-- What the CRM's database says of itself, as one JSON object, whatever its version is from 13 on.
-- $1: the CRM's schema; $2: its tables; $3: the publication; $4: the replication slot.
WITH wanted AS (
    SELECT name, to_regclass(quote_ident($1) || '.' || quote_ident(name)) AS relation
    FROM unnest($2::text[]) AS name
),

tables AS (
    SELECT wanted.name, wanted.relation, class.relkind
    FROM wanted
    JOIN pg_class AS class ON class.oid = wanted.relation
),

-- Where a table's rows are: in itself, or in its partitions.
holders AS (
    SELECT tables.name, class.relname, class.relreplident, class.relpersistence
    FROM tables
    CROSS JOIN LATERAL (
        SELECT relid FROM pg_partition_tree(tables.relation) WHERE isleaf
        UNION SELECT tables.relation WHERE tables.relkind <> 'p'
    ) AS leaf
    JOIN pg_class AS class ON class.oid = leaf.relid
),

columns AS (
    SELECT
        tables.name,
        attribute.attname,
        attribute.attgenerated <> '' AS is_generated,
        CASE WHEN type.typtype = 'e' THEN 'enum' ELSE type.typname END AS type
    FROM tables
    JOIN pg_attribute AS attribute
        ON attribute.attrelid = tables.relation AND attribute.attnum > 0 AND NOT attribute.attisdropped
    JOIN pg_type AS domain ON domain.oid = attribute.atttypid
    JOIN pg_type AS type ON type.oid = coalesce(nullif(domain.typbasetype, 0), domain.oid)
),

keys AS (
    SELECT tables.name, attribute.attname
    FROM tables
    JOIN pg_index AS index ON index.indrelid = tables.relation AND index.indisprimary
    JOIN pg_attribute AS attribute
        ON attribute.attrelid = tables.relation AND attribute.attnum = ANY (index.indkey)
)

SELECT json_build_object(
    'wal_level', current_setting('wal_level'),
    'slot', (SELECT to_json(slot) FROM pg_replication_slots AS slot WHERE slot.slot_name = $4),
    'publication', (SELECT to_json(publication) FROM pg_publication AS publication WHERE publication.pubname = $3),
    'tables', (
        SELECT json_agg(json_build_object(
            'name', tables.name,
            'is_table', tables.relkind IN ('r', 'p'),
            'is_partitioned', tables.relkind = 'p',
            'has_children', tables.relkind <> 'p'
                AND EXISTS (SELECT FROM pg_inherits WHERE inhparent = tables.relation),
            'key', (SELECT json_agg(attname ORDER BY attname) FROM keys WHERE keys.name = tables.name),
            'columns', (
                SELECT json_object_agg(attname, json_build_object('type', type, 'is_generated', is_generated))
                FROM columns WHERE columns.name = tables.name
            ),
            'holders', (
                SELECT json_agg(json_build_object(
                    'name', relname, 'identity', relreplident, 'is_unlogged', relpersistence = 'u'
                ) ORDER BY relname)
                FROM holders WHERE holders.name = tables.name
            ),
            'published', (
                SELECT to_json(published) FROM pg_publication_tables AS published
                WHERE published.pubname = $3 AND published.schemaname = $1 AND published.tablename = tables.name
            )
        ))
        FROM tables
    )
)
