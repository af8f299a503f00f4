//! What a source with columns of any name and type has told, by triggers, and what must have become of it: each change is
//! here, value by value, or rejected by the column's name.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;

use kafka_sink::Rejected;
use serde_json::{Map, Value};
use tokio_postgres::Client;

use super::schema::Table;
use super::{FIRST_MARK, connect};

/// Notes every change of a row in words, with the columns' types.
pub(super) const AUDIT: &str = "
CREATE SCHEMA audit;
CREATE TABLE audit.changes (id bigserial PRIMARY KEY, table_name text NOT NULL, key bigint, version jsonb, types jsonb);
CREATE FUNCTION audit.note() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    before jsonb; after jsonb; before_key bigint; after_key bigint; types jsonb;
BEGIN
    SELECT jsonb_object_agg(attname, format_type(atttypid, NULL)) INTO types
        FROM pg_attribute WHERE attrelid = TG_RELID AND attnum > 0 AND NOT attisdropped;
    IF TG_OP IN ('UPDATE', 'DELETE') THEN
        before := to_jsonb(OLD);
        before_key := coalesce(before->>TG_ARGV[0], before->>'id_of_row');
    END IF;
    IF TG_OP IN ('INSERT', 'UPDATE') THEN
        SELECT jsonb_object_agg(key, value) INTO after FROM jsonb_each_text(to_jsonb(NEW));
        after_key := coalesce(after->>TG_ARGV[0], after->>'id_of_row');
    END IF;
    IF TG_OP = 'TRUNCATE' THEN
        INSERT INTO audit.changes (table_name) VALUES (TG_ARGV[1]);
    END IF;
    IF before_key IS DISTINCT FROM after_key AND before_key IS NOT NULL THEN
        INSERT INTO audit.changes (table_name, key, types) VALUES (TG_ARGV[1], before_key, types);
    END IF;
    IF after_key IS NOT NULL THEN
        INSERT INTO audit.changes (table_name, key, version, types) VALUES (TG_ARGV[1], after_key, after, types);
    END IF;
    RETURN NULL;
END $$;
";

/// A row's values by its columns, as text.
type Row = Map<String, Value>;

/// A change in the source.
#[derive(Debug)]
enum Happened {
    Row(Row),
    Gone,
    /// It can't be used: why, and the names that say so.
    Unusable(&'static str, String),
}

/// What is here of a change.
#[derive(Debug)]
enum Here {
    /// The row, the columns that were not told, and whether it became stale.
    Row(Row, Vec<String>, bool),
    Gone,
    /// Rejected: the reason and its explanation.
    Rejected(String, String),
}

/// A table and a row's key.
type Key = (&'static str, i64);

/// Of each row, in their order.
type Sequences<T> = BTreeMap<Key, Vec<T>>;

/// What is here, by the places as the function orders them.
struct Places {
    changes: BTreeMap<Key, BTreeMap<Place, Here>>,
    truncations: BTreeSet<(&'static str, Place)>,
}

/// The commit before, or its own place in the log where that is higher; its own place.
type Place = (i64, i64);

/// What was compared.
#[derive(Debug, Default)]
pub(super) struct Summary {
    pub(super) rows: u64,
    pub(super) deletions: u64,
    /// By reason.
    pub(super) rejected: BTreeMap<String, u64>,
    /// Values that were not told, after a change that could not be used.
    pub(super) unknown: u64,
}

/// Compares every change of every row with what is here of it.
pub(super) async fn compare(source: &Client, target: &Client, rejected: &[Rejected<'_>], seed: u64) -> Summary {
    let happened = happened(source).await;
    let here = Places::read(target, rejected).await;
    let keys = |keys: Vec<&Key>| keys.into_iter().copied().collect::<Vec<_>>();
    assert_eq!(keys(happened.keys().collect()), keys(here.changes.keys().collect()), "seed {seed}: rows that changed");
    let mut summary = Summary::default();
    for (key, happened) in &happened {
        let changes = &here.changes[key];
        assert_eq!(
            happened.len(),
            changes.len(),
            "seed {seed}: {key:?} changed otherwise here: {happened:#?} {changes:#?}"
        );
        for (happened, (place, change)) in happened.iter().zip(changes) {
            if let Err(different) = here.add(&mut summary, *key, happened, *place, change) {
                panic!("seed {seed}: {key:?}, {place:?}: {different}: {happened:?} is here {change:?}");
            }
        }
    }
    summary
}

impl Places {
    fn add(
        &self,
        summary: &mut Summary,
        key: Key,
        happened: &Happened,
        place: Place,
        here: &Here,
    ) -> Result<(), String> {
        match (happened, here) {
            (Happened::Row(there), Here::Row(here, untold, is_stale)) => {
                let base = base_key(here).unwrap_or(key.1);
                for (column, value) in there {
                    let here = here.get(column).unwrap_or(&Value::Null);
                    if here.is_null()
                        && !value.is_null()
                        && untold.contains(column)
                        && self.is_unknown((key.0, base), place, column)
                    {
                        summary.unknown += 1;
                    } else if here != value {
                        return Err(column.clone());
                    }
                }
                if self.becomes_stale(key, place) != *is_stale {
                    return Err("stale or not".to_owned());
                }
                summary.rows += 1;
            }
            (Happened::Gone, Here::Gone) => summary.deletions += 1,
            (Happened::Unusable(reason, names), Here::Rejected(here, detail))
                if reason == here && detail.contains(names) =>
            {
                *summary.rejected.entry(here.clone()).or_default() += 1;
            }
            _ => return Err("not the same".to_owned()),
        }
        Ok(())
    }

    /// Whether a column was last told, before this place, by a change that could not be used.
    fn is_unknown(&self, mut key: Key, mut place: Place, column: &String) -> bool {
        loop {
            let changes = self.changes.get(&key).into_iter().flat_map(|changes| changes.range(..place));
            match changes.last() {
                Some((_, Here::Rejected(..))) => return true,
                // This one did not tell it either.
                Some((before, Here::Row(row, untold, _)))
                    if untold.contains(column) && row.get(column).is_none_or(Value::is_null) =>
                {
                    key.1 = base_key(row).unwrap_or(key.1);
                    place = *before;
                }
                _ => return false,
            }
        }
    }

    /// Whether the next change of a row after a place could not be used, and the row was still there.
    fn becomes_stale(&self, key: Key, place: Place) -> bool {
        let mut after = self.changes[&key].range((Bound::Excluded(place), Bound::Unbounded));
        let Some((next, Here::Rejected(..))) = after.next() else { return false };
        self.truncations.range((key.0, place)..(key.0, *next)).next().is_none()
    }
}

/// The key that a row had before, where that is another one.
fn base_key(row: &Row) -> Option<i64> {
    row.get("base_key").and_then(Value::as_str).map(|base| base.parse().unwrap())
}

async fn happened(source: &Client) -> Sequences<Happened> {
    let sql = "SELECT table_name, key, version, types FROM audit.changes WHERE key IS NOT NULL ORDER BY id";
    let tables = Table::all();
    let mut happened = Sequences::new();
    for row in source.query(sql, &[]).await.unwrap() {
        let (table, key, version, types): (String, i64, Option<Value>, Value) =
            (row.get(0), row.get(1), row.get(2), row.get(3));
        let table = tables.iter().find(|known| known.name == table).unwrap();
        if key < FIRST_MARK.into() {
            let change = change(table, version, &types);
            happened.entry((table.name, key)).or_insert_with(Vec::new).push(change);
        }
    }
    happened
}

fn change(table: &Table, version: Option<Value>, types: &Value) -> Happened {
    if types.get("id_of_row").is_some() {
        return Happened::Unusable("bad_key", "the message's key has id_of_row".to_owned());
    }
    let Some(version) = version else { return Happened::Gone };
    let missing: Vec<_> =
        table.columns().filter(|(name, _)| types.get(*name).is_none()).map(|(name, _)| name).collect();
    if !missing.is_empty() {
        return Happened::Unusable("missing_column", format!("the row has no {}:", missing.join(", ")));
    }
    let mut row = Row::new();
    for (name, usual) in table.columns() {
        let value = match (&version[name], usual, types[name].as_str().unwrap()) {
            (Value::Null, ..) => Value::Null,
            (value, "text", "text" | "character varying" | "bigint" | "numeric" | "boolean" | "jsonb") => value.clone(),
            (_, "text", _) => return Happened::Unusable("bad_text", format!("{name} is ")),
            (value, "integer", "integer" | "bigint" | "text") => value.clone(),
            (_, "integer", _) => return Happened::Unusable("bad_number", format!("{name} is ")),
            (value, _, "timestamp with time zone") => value.clone(),
            (value, _, "timestamp without time zone") => format!("{}+00:00", value.as_str().unwrap()).into(),
            (value, _, "date" | "text") if value != "infinity" => {
                format!("{}T00:00:00+00:00", value.as_str().unwrap()).into()
            }
            (value, _, "text") => value.clone(),
            _ => return Happened::Unusable("bad_time", format!("{name} is ")),
        };
        row.insert(name.to_owned(), value);
    }
    Happened::Row(row)
}

impl Places {
    async fn read(target: &Client, rejected: &[Rejected<'_>]) -> Self {
        let mut here = Self { changes: BTreeMap::new(), truncations: BTreeSet::new() };
        for table in &Table::all() {
            here.read_table(target, table).await;
        }
        for rejected in rejected {
            let (key, place) = rejected_change(rejected);
            here.put(key, place, Here::Rejected(rejected.reason.to_string(), rejected.detail.to_string()));
        }
        here
    }

    async fn read_table(&mut self, target: &Client, Table { name, key, .. }: &Table) {
        let versions = format!(
            "SELECT {key}, stream_lsn, source_lsn, unchanged, stale_since IS NOT NULL, \
                (SELECT jsonb_object_agg(key, value) FROM jsonb_each_text(to_jsonb(h))) \
             FROM crm_data.{name}_history h WHERE is_streamed AND {key} < {FIRST_MARK}"
        );
        for row in target.query(&versions, &[]).await.unwrap() {
            let Value::Object(values) = row.get(5) else { panic!("a row is an object") };
            self.put((name, row.get(0)), (row.get(1), row.get(2)), Here::Row(values, row.get(3), row.get(4)));
        }
        let deletions = "SELECT key, stream_lsn, source_lsn FROM crm_data.deletions WHERE table_name = $1";
        for row in target.query(deletions, &[name]).await.unwrap() {
            self.put((name, row.get(0)), (row.get(1), row.get(2)), Here::Gone);
        }
        let truncations = "SELECT stream_lsn, source_lsn FROM crm_data.truncations WHERE table_name = $1";
        for row in target.query(truncations, &[name]).await.unwrap() {
            self.truncations.insert((name, (row.get(0), row.get(1))));
        }
    }

    fn put(&mut self, key: Key, place: Place, here: Here) {
        let before = self.changes.entry(key).or_default().insert(place, here);
        assert!(before.is_none(), "{key:?} has two changes at {place:?}: {before:?}");
    }
}

fn rejected_change(rejected: &Rejected<'_>) -> (Key, Place) {
    let message: Value = serde_json::from_slice(&rejected.raw).unwrap();
    let payload = &message["payload"];
    let source = &payload["source"];
    let tables = Table::all();
    let table = tables.iter().find(|known| source["table"] == known.name).unwrap();
    let row = if payload["after"].is_null() { &payload["before"] } else { &payload["after"] };
    let key = row.get(table.key).or_else(|| row.get("id_of_row")).and_then(Value::as_i64).unwrap();
    let lsn = source["lsn"].as_i64().unwrap();
    let (commit, _): (Option<String>, String) = serde_json::from_str(source["sequence"].as_str().unwrap()).unwrap();
    let stream = commit.map_or(lsn, |commit| commit.parse::<i64>().unwrap().max(lsn));
    ((table.name, key), (stream, lsn))
}

/// Rows of the source and here, by table and key, as text.
pub(super) async fn rows(url: &str, schema: &str) -> BTreeMap<(&'static str, i64), (Row, bool)> {
    let client = connect(url).await;
    client.batch_execute("SET timezone = 'UTC'").await.unwrap();
    let mut rows = BTreeMap::new();
    for table in Table::all() {
        let sql = format!(
            "SELECT {}::bigint, (SELECT jsonb_object_agg(key, value) FROM jsonb_each_text(to_jsonb(t))) FROM {schema}.{} t",
            table.key, table.name
        );
        for row in client.query(&sql, &[]).await.unwrap() {
            let Value::Object(mut values) = row.get(1) else { panic!("a row is an object") };
            let is_stale = values.remove("stale_since").is_some_and(|since| !since.is_null());
            values.retain(|name, _| table.columns().any(|(known, _)| known == name));
            rows.insert((table.name, row.get(0)), (values, is_stale));
        }
    }
    rows
}
