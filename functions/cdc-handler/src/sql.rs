//! The statements, written for a table. Names come from [`TABLES`](crate::table::TABLES) alone.

use crate::table::{Column, Kind, Table};

/// What a place is made of, in its order.
const COLUMNS: &str = "stream_lsn, is_streamed, source_lsn";
const PLACE: &str = "(stream_lsn, is_streamed, source_lsn)";

/// Takes the table for this transaction, and notes how far it has come.
pub(crate) const LOCK: &str = "UPDATE crm_data.progress \
     SET stream_lsn = greatest(stream_lsn, $2), changed_at = greatest(changed_at, $3) WHERE table_name = $1";

pub(crate) const ADD_TRUNCATIONS: &str = "INSERT INTO crm_data.truncations (table_name, stream_lsn, source_lsn, truncated_at) \
     SELECT $1, * FROM unnest($2::bigint[], $3::bigint[], $4::timestamptz[]) ON CONFLICT DO NOTHING";

pub(crate) const ADD_DELETIONS: &str = "INSERT INTO crm_data.deletions (table_name, key, stream_lsn, source_lsn, deleted_at) \
     SELECT $1, * FROM unnest($2::bigint[], $3::bigint[], $4::bigint[], $5::timestamptz[]) ON CONFLICT DO NOTHING";

pub(crate) const ADD_UNUSABLE: &str = "INSERT INTO crm_data.unusable \
        (table_name, key, stream_lsn, is_streamed, source_lsn, changed_at, reason) \
     SELECT $1, * FROM unnest($2::bigint[], $3::bigint[], $4::boolean[], $5::bigint[], $6::timestamptz[], $7::text[]) \
     ON CONFLICT DO NOTHING";

/// The ends of these rows: their own deletions, and the table's truncations, which have no key; and the changes of these rows
/// that could not be used.
pub(crate) const ENDS: &str = "SELECT key, stream_lsn, true, source_lsn, deleted_at, false FROM crm_data.deletions \
     WHERE table_name = $1 AND key = ANY($2) \
     UNION ALL SELECT NULL, stream_lsn, true, source_lsn, truncated_at, false FROM crm_data.truncations WHERE table_name = $1 \
     UNION ALL SELECT key, stream_lsn, is_streamed, source_lsn, changed_at, true FROM crm_data.unusable \
     WHERE table_name = $1 AND key = ANY($2)";

/// Ends the versions that a truncation ($1, $2, at $3) found: of each row the last one before it.
pub(crate) fn close(table: &Table) -> String {
    let Table { name, key, .. } = table;
    format!(
        "UPDATE crm_data.{name}_history h SET valid_to = least(valid_to, greatest(valid_from, $3)) \
         WHERE (stream_lsn, is_streamed, source_lsn) < ($1::bigint, true, $2::bigint) \
         AND (valid_to IS NULL OR valid_to > greatest(valid_from, $3)) \
         AND NOT EXISTS (SELECT FROM crm_data.{name}_history n WHERE n.{key} = h.{key} \
            AND (n.stream_lsn, n.is_streamed, n.source_lsn) > (h.stream_lsn, h.is_streamed, h.source_lsn) \
            AND (n.stream_lsn, n.is_streamed, n.source_lsn) < ($1::bigint, true, $2::bigint))"
    )
}

/// Removes the current rows that no longer have an open version.
pub(crate) fn remove_closed(table: &Table) -> String {
    let Table { name, key, .. } = table;
    format!(
        "DELETE FROM crm_data.{name} c WHERE NOT EXISTS \
         (SELECT FROM crm_data.{name}_history h WHERE h.{key} = c.{key} AND h.valid_to IS NULL)"
    )
}

/// Of each row the first version after a truncation ($1, $2) that has not told everything, which it may have taken from
/// before; those that may have taken it from under another key; and the last version before it, if that was stale: perhaps only
/// since then.
pub(crate) fn cut(table: &Table) -> String {
    let Table { name, key, .. } = table;
    let after = format!("FROM crm_data.{name}_history WHERE {PLACE} > ($1::bigint, true, $2::bigint)");
    format!(
        "SELECT {key}, {COLUMNS} FROM (SELECT DISTINCT ON ({key}) {key}, {COLUMNS}, unchanged {after} \
            ORDER BY {key}, {COLUMNS}) AS first WHERE unchanged <> '{{}}' \
         UNION SELECT {key}, {COLUMNS} {after} AND base_key IS NOT NULL AND unchanged <> '{{}}' \
         UNION SELECT {key}, {COLUMNS} FROM crm_data.{name}_history h \
            WHERE {PLACE} < ($1::bigint, true, $2::bigint) AND stale_since IS NOT NULL \
            AND NOT EXISTS (SELECT FROM crm_data.{name}_history n WHERE n.{key} = h.{key} \
                AND (n.stream_lsn, n.is_streamed, n.source_lsn) > (h.stream_lsn, h.is_streamed, h.source_lsn) \
                AND (n.stream_lsn, n.is_streamed, n.source_lsn) < ($1::bigint, true, $2::bigint))"
    )
}

/// From which place on the versions of which rows have to be completed again, when something happened to these rows ($1)
/// at these places ($2, $3, $4): theirs, and of the rows that one of them became, by a change of its key, those from there on.
/// `OFFSET 0` makes it look up each row in the index, which is small, also where the planner knows nothing of the table yet.
pub(crate) fn touched(table: &Table) -> String {
    let Table { name, key, .. } = table;
    format!(
        "WITH RECURSIVE touched AS ( \
            SELECT * FROM unnest($1::bigint[], $2::bigint[], $3::boolean[], $4::bigint[]) AS given (key, {COLUMNS}) \
            UNION SELECT h.* FROM touched CROSS JOIN LATERAL ( \
               SELECT {key}, {COLUMNS} FROM crm_data.{name}_history h \
               WHERE h.base_key = touched.key AND h.unchanged <> '{{}}' \
                  AND (h.stream_lsn, h.is_streamed, h.source_lsn) > (touched.stream_lsn, touched.is_streamed, touched.source_lsn) OFFSET 0 \
            ) h \
         ) SELECT DISTINCT ON (key) key, {COLUMNS} FROM touched ORDER BY key, {COLUMNS}"
    )
}

/// Of each row ($1) the newest version before a place ($2, $3, $4) and, if $5, all from there on.
pub(crate) fn read(table: &Table) -> String {
    let Table { name, key, .. } = table;
    let place = "(h.stream_lsn, h.is_streamed, h.source_lsn)";
    let since = "(since.stream_lsn, since.is_streamed, since.source_lsn)";
    let history = format!("SELECT * FROM crm_data.{name}_history h WHERE h.{key} = since.key");
    let values: Vec<_> = table.columns.iter().map(text).collect();
    format!(
        "SELECT v.{key}, v.stream_lsn, v.is_streamed, v.source_lsn, v.op, v.changed_at, v.valid_from, v.unchanged, v.base_key, \
            ARRAY[{}] \
         FROM unnest($1::bigint[], $2::bigint[], $3::boolean[], $4::bigint[]) \
            AS since (key, stream_lsn, is_streamed, source_lsn) \
         CROSS JOIN LATERAL ( \
            ({history} AND {place} < {since} \
             ORDER BY h.stream_lsn DESC, h.is_streamed DESC, h.source_lsn DESC LIMIT 1) \
            UNION ALL ({history} AND {place} >= {since} AND $5) \
         ) v",
        values.join(", ")
    )
}

/// A value as text, in a form that does not depend on the database's settings.
fn text(column: &Column) -> String {
    let value = format!("v.{}", column.name);
    match column.kind {
        Kind::Text | Kind::Integer => format!("{value}::text"),
        Kind::Time => format!(
            "CASE WHEN isfinite({value}) THEN to_char({value} AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS.US\"+00\" BC') \
             ELSE {value}::text END"
        ),
    }
}

/// Writes versions: a column of values after another, after the key, the place ($2, $3, $4), op, times, the names of what
/// is unchanged, joined by commas, the key before, and since when it is stale.
pub(crate) fn write_versions(table: &Table) -> String {
    let Table { name, key, .. } = table;
    let names = columns(table, |column| column.to_owned());
    let new = columns(table, |column| format!("excluded.{column}"));
    format!(
        "INSERT INTO crm_data.{name}_history AS h \
         ({key}, stream_lsn, is_streamed, source_lsn, op, changed_at, valid_from, valid_to, unchanged, base_key, \
            stale_since, {names}) \
         SELECT key, stream_lsn, is_streamed, source_lsn, op, changed_at, valid_from, valid_to, \
            string_to_array(unchanged, ','), base_key, stale_since, {casts} \
         FROM unnest($1::bigint[], $2::bigint[], $3::boolean[], $4::bigint[], $5::text[], $6::timestamptz[], \
            $7::timestamptz[], $8::timestamptz[], $9::text[], $10::bigint[], $11::timestamptz[], {arrays}) \
            AS new (key, stream_lsn, is_streamed, source_lsn, op, changed_at, valid_from, valid_to, unchanged, base_key, \
               stale_since, {names}) \
         ON CONFLICT ({key}, stream_lsn, is_streamed, source_lsn) DO UPDATE \
         SET op = excluded.op, changed_at = excluded.changed_at, valid_from = excluded.valid_from, \
            valid_to = excluded.valid_to, unchanged = excluded.unchanged, base_key = excluded.base_key, \
            stale_since = excluded.stale_since, ({names}) = ROW({new}) \
         WHERE (h.op, h.changed_at, h.valid_from, h.valid_to, h.unchanged, h.base_key, h.stale_since, {old}) \
            IS DISTINCT FROM \
            (excluded.op, excluded.changed_at, excluded.valid_from, excluded.valid_to, excluded.unchanged, \
             excluded.base_key, excluded.stale_since, {new})",
        casts = casts(table),
        arrays = arrays(table, 12),
        old = columns(table, |column| format!("h.{column}")),
    )
}

/// Writes current rows: the key, valid_from, source_lsn, stale_since, and the columns.
pub(crate) fn write_current(table: &Table) -> String {
    let Table { name, key, .. } = table;
    let names = columns(table, |column| column.to_owned());
    let new = columns(table, |column| format!("excluded.{column}"));
    format!(
        "INSERT INTO crm_data.{name} AS c ({key}, valid_from, source_lsn, stale_since, {names}) \
         SELECT key, valid_from, source_lsn, stale_since, {casts} \
         FROM unnest($1::bigint[], $2::timestamptz[], $3::bigint[], $4::timestamptz[], {arrays}) \
            AS new (key, valid_from, source_lsn, stale_since, {names}) \
         ON CONFLICT ({key}) DO UPDATE \
         SET valid_from = excluded.valid_from, source_lsn = excluded.source_lsn, stale_since = excluded.stale_since, \
            ({names}) = ROW({new}) \
         WHERE (c.valid_from, c.source_lsn, c.stale_since, {old}) \
            IS DISTINCT FROM (excluded.valid_from, excluded.source_lsn, excluded.stale_since, {new})",
        casts = casts(table),
        arrays = arrays(table, 5),
        old = columns(table, |column| format!("c.{column}")),
    )
}

/// Removes the current rows of these keys.
pub(crate) fn remove_current(table: &Table) -> String {
    let Table { name, key, .. } = table;
    format!("DELETE FROM crm_data.{name} WHERE {key} = ANY($1)")
}

fn columns(table: &Table, write: impl Fn(&str) -> String) -> String {
    table.columns.iter().map(|column| write(column.name)).collect::<Vec<_>>().join(", ")
}

fn casts(table: &Table) -> String {
    let casts = table.columns.iter().map(|column| format!("{}::{}", column.name, column.kind.sql()));
    casts.collect::<Vec<_>>().join(", ")
}

fn arrays(table: &Table, first: usize) -> String {
    (0..table.columns.len()).map(|index| format!("${}::text[]", first + index)).collect::<Vec<_>>().join(", ")
}
