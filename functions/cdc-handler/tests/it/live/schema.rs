//! The source's tables while their columns are renamed, dropped, retyped and added: statements at random, each valid for what
//! the tables are like then.

use rand::RngExt;
use rand::seq::IndexedRandom;
use rand_chacha::ChaCha8Rng;

/// Statements that are one transaction.
#[derive(Debug)]
pub(super) struct Transaction {
    pub(super) statements: Vec<String>,
    /// Whether nothing may be on its way, and it is alone. Debezium asks the database for columns' types and the key's columns
    /// when it reads a change, which is not when they were changed: what comes of that is in `functions/cdc-handler/source.md`.
    pub(super) needs_quiet: bool,
}

/// A column as the source has it now.
#[derive(Clone, Debug)]
pub(super) struct Column {
    /// The name that the function looks for.
    name: &'static str,
    /// What it is called now; `None` while it is dropped.
    called: Option<&'static str>,
    usual: &'static str,
    kind: &'static str,
    /// Whether it has had another type.
    was_retyped: bool,
}

/// A table as the source has it now.
#[derive(Clone, Debug)]
pub(super) struct Table {
    pub(super) name: &'static str,
    pub(super) key: &'static str,
    /// What the key is called now.
    key_called: &'static str,
    columns: Vec<Column>,
    /// Columns that nobody here knows, by their numbers.
    others: Vec<u32>,
    others_made: u32,
    /// Rows change under these keys.
    keys: i32,
}

/// Types that a column of text becomes, and a value of each by a number.
const TEXT_TYPES: [(&str, &str); 9] = [
    ("varchar(4000)", "'v' || {n}"),
    ("bigint", "{n}"),
    ("numeric(12,2)", "{n} / 4.0"),
    ("boolean", "{n} % 2 = 0"),
    ("jsonb", "jsonb_build_object('n', {n})"),
    ("bytea", "decode(lpad(to_hex({n}), 8, '0'), 'hex')"),
    ("double precision", "{n} / 4.0"),
    ("text[]", "ARRAY['a', {n}::text]"),
    ("interval", "make_interval(secs => {n})"),
];

/// Types that a column of times becomes.
const TIME_TYPES: [(&str, &str); 5] = [
    ("timestamp", "timestamp '2024-01-01' + make_interval(secs => {n})"),
    ("timestamp(0)", "timestamp '2024-01-01' + make_interval(secs => {n})"),
    ("date", "date '2024-01-01' + {n} % 10000"),
    ("text", "(date '2024-01-01' + {n} % 10000)::text"),
    ("bigint", "{n}"),
];

const TEXT_VALUE: &str = "'t' || {n}";
const LARGE_VALUE: &str = "(SELECT string_agg(md5(({n} + i)::text), '') FROM generate_series(1, 120) AS i)";
const TIME_VALUE: &str = "timestamptz '2024-01-01 00:00+00' + make_interval(secs => {n})";
const NUMBER_VALUE: &str = "{n}";

impl Column {
    fn new(name: &'static str, usual: &'static str) -> Self {
        Self { name, called: Some(name), usual, kind: usual, was_retyped: false }
    }

    fn is_usual(&self) -> bool {
        self.called == Some(self.name) && self.kind == self.usual
    }

    fn types(&self) -> &'static [(&'static str, &'static str)] {
        match self.usual {
            "text" => &TEXT_TYPES,
            "timestamptz" => &TIME_TYPES,
            _ => &[("bigint", "{n}"), ("text", "({n} % 1000000)::text"), ("double precision", "{n} / 4.0")],
        }
    }

    /// What is told for NULL where the converter is not told otherwise.
    fn default(&self) -> &'static str {
        match self.usual {
            "text" => "'a default'",
            "timestamptz" => "timestamptz '2020-01-01 00:00+00'",
            _ => "5",
        }
    }

    /// A value of the type that it has now.
    fn value(&self, random: &mut ChaCha8Rng) -> String {
        let number = random.random_range(1..2_000_000_000).to_string();
        if random.random_range(0..12) == 0 {
            return "NULL".to_owned();
        }
        let of_other_type = self.types().iter().find(|(kind, _)| *kind == self.kind && self.kind != self.usual);
        let value = match (of_other_type, self.usual) {
            (Some((_, value)), _) => value,
            (None, "text") if random.random_range(0..6) == 0 => LARGE_VALUE,
            (None, "text") => TEXT_VALUE,
            (None, "timestamptz") if random.random_range(0..10) == 0 => "'infinity'",
            (None, "timestamptz") => TIME_VALUE,
            (None, _) => NUMBER_VALUE,
        };
        value.replace("{n}", &number)
    }
}

impl Table {
    fn new(name: &'static str, key: &'static str, columns: &[(&'static str, &'static str)]) -> Self {
        let columns = columns.iter().map(|(name, kind)| Column::new(name, kind)).collect();
        Self { name, key, key_called: key, columns, others: Vec::new(), others_made: 0, keys: 25 }
    }

    pub(super) fn all() -> [Self; 3] {
        let (text, time) = ("text", "timestamptz");
        [
            Self::new(
                "accounts",
                "account_id",
                &[("owner_name", text), ("email", text), ("phone_number", text), ("modified_ts", time)],
            ),
            Self::new(
                "addresses",
                "account_id",
                &[
                    ("street_address", text),
                    ("city", text),
                    ("state", text),
                    ("postal_code", text),
                    ("country", text),
                    ("modified_ts", time),
                ],
            ),
            Self::new(
                "devices",
                "device_id",
                &[
                    ("account_id", "integer"),
                    ("device_name", text),
                    ("device_type", text),
                    ("device_os", text),
                    ("modified_ts", time),
                ],
            ),
        ]
    }

    /// The columns that the function looks for, and their usual types.
    pub(super) fn columns(&self) -> impl Iterator<Item = (&'static str, &'static str)> {
        self.columns.iter().map(|column| (column.name, column.usual))
    }

    /// The next statements.
    pub(super) fn next(&mut self, random: &mut ChaCha8Rng) -> Transaction {
        let writes = match random.random_range(0..200) {
            // Between two changes of one transaction, if that may be.
            0..14 => {
                let before = self.write(random);
                let (alter, needs_quiet) = self.alter(random);
                let statements = if needs_quiet { vec![alter] } else { vec![before, alter, self.write(random)] };
                return Transaction { statements, needs_quiet };
            }
            14..50 => random.random_range(2..8),
            _ => 1,
        };
        Transaction { statements: (0..writes).map(|_| self.write(random)).collect(), needs_quiet: false }
    }

    /// One statement about columns, and whether it needs quiet.
    fn alter(&mut self, random: &mut ChaCha8Rng) -> (String, bool) {
        let (alter, number) = (format!("ALTER TABLE crm_system.{}", self.name), self.others_made);
        // All changes of a table whose key is another are rejected, and most of those whose columns are: not for long.
        if self.key_called != self.key || random.random_range(0..3) == 0 {
            return self.revert_one(random).unwrap_or_else(|| (format!("{alter} SET (fillfactor = 80)"), false));
        }
        match random.random_range(0..18) {
            0..3 => {
                let kind =
                    ["text DEFAULT 'new'", "integer NOT NULL DEFAULT 7", "bytea", "jsonb"].choose(random).unwrap();
                self.others.push(number);
                self.others_made += 1;
                (format!("{alter} ADD other_{number} {kind}"), false)
            }
            3..5 if !self.others.is_empty() => {
                let number = self.others.swap_remove(random.random_range(0..self.others.len()));
                (format!("{alter} DROP other_{number}"), false)
            }
            5 => {
                self.key_called = "id_of_row";
                (format!("{alter} RENAME {} TO id_of_row", self.key), true)
            }
            6..8 => (format!("{alter} REPLICA IDENTITY {}", ["DEFAULT", "FULL"].choose(random).unwrap()), false),
            8..10 => {
                let column = self.columns.choose(random).unwrap();
                let set = match column.called {
                    Some(name) if column.kind == column.usual => {
                        format!("ALTER {name} SET DEFAULT {}", column.default())
                    }
                    _ => "SET (fillfactor = 90)".to_owned(),
                };
                (format!("{alter} {set}"), false)
            }
            _ => self.change_one(random),
        }
    }

    /// A column is no longer as it was.
    fn change_one(&mut self, random: &mut ChaCha8Rng) -> (String, bool) {
        let index = random.random_range(0..self.columns.len());
        let column = &mut self.columns[index];
        let needs_quiet = column.was_retyped;
        let change = match (column.called, random.random_range(0..6)) {
            (None, _) => return (column.add(self.name), true),
            (Some(called), 0) => {
                column.called = None;
                format!("DROP {called}")
            }
            (Some(called), 1) if called == column.name => {
                let other = RENAMED[index];
                column.called = Some(other);
                format!("RENAME {called} TO {other}")
            }
            (Some(called), _) => {
                let (kind, _) = column.types().choose(random).unwrap();
                return (column.retype(self.name, called, kind), true);
            }
        };
        (format!("ALTER TABLE crm_system.{} {change}", self.name), needs_quiet)
    }

    /// What makes one column again what it was.
    fn revert_one(&mut self, random: &mut ChaCha8Rng) -> Option<(String, bool)> {
        let table = self.name;
        let rename = |from: &str, to: &str| format!("ALTER TABLE crm_system.{table} RENAME {from} TO {to}");
        if self.key_called != self.key {
            let called = std::mem::replace(&mut self.key_called, self.key);
            return Some((rename(called, self.key), true));
        }
        let mut changed: Vec<_> = self.columns.iter_mut().filter(|column| !column.is_usual()).collect();
        if changed.is_empty() {
            return None;
        }
        let column = changed.swap_remove(random.random_range(0..changed.len()));
        Some(match column.called {
            None => (column.add(table), true),
            Some(called) if called != column.name => {
                column.called = Some(column.name);
                (rename(called, column.name), column.was_retyped)
            }
            Some(called) => (column.retype(table, called, column.usual), true),
        })
    }

    /// What makes everything again what it was, one statement after another, each of which needs quiet.
    pub(super) fn revert(&mut self, random: &mut ChaCha8Rng) -> Vec<String> {
        std::iter::from_fn(|| self.revert_one(random)).map(|(sql, _)| sql).collect()
    }

    /// One statement about rows.
    fn write(&self, random: &mut ChaCha8Rng) -> String {
        let (table, key) = (self.name, self.key_called);
        let id = random.random_range(1..=self.keys);
        match random.random_range(0..80) {
            0 => format!("TRUNCATE crm_system.{table}"),
            1..5 => format!("DELETE FROM crm_system.{table} WHERE {key} = {id}"),
            5..9 => {
                let to = random.random_range(1..=self.keys);
                format!(
                    "UPDATE crm_system.{table} SET {key} = {to} WHERE {key} = {id} \
                     AND NOT EXISTS (SELECT FROM crm_system.{table} WHERE {key} = {to})"
                )
            }
            9..40 => self.upsert(random, id),
            _ => {
                let columns: Vec<_> = self.columns.iter().filter_map(|column| Some((column, column.called?))).collect();
                let Some((column, called)) = columns.choose(random) else {
                    return format!("DELETE FROM crm_system.{table} WHERE {key} = {id}");
                };
                format!("UPDATE crm_system.{table} SET {called} = {} WHERE {key} = {id}", column.value(random))
            }
        }
    }

    fn upsert(&self, random: &mut ChaCha8Rng, id: i32) -> String {
        let columns: Vec<_> = self.columns.iter().filter_map(|column| Some((column, column.called?))).collect();
        let names: String = columns.iter().map(|(_, called)| format!(", {called}")).collect();
        let values: String = columns.iter().map(|(column, _)| format!(", {}", column.value(random))).collect();
        let sets: Vec<_> = columns.iter().map(|(_, called)| format!("{called} = excluded.{called}")).collect();
        let conflict = if sets.is_empty() { "NOTHING".to_owned() } else { format!("UPDATE SET {}", sets.join(", ")) };
        format!(
            "INSERT INTO crm_system.{} ({}{names}) VALUES ({id}{values}) ON CONFLICT ({}) DO {conflict}",
            self.name, self.key_called, self.key_called
        )
    }
}

/// What columns are renamed to, by their places.
const RENAMED: [&str; 6] = ["first_col", "second_col", "third_col", "fourth_col", "fifth_col", "sixth_col"];

impl Column {
    fn add(&mut self, table: &str) -> String {
        self.called = Some(self.name);
        self.kind = self.usual;
        self.was_retyped = true;
        format!("ALTER TABLE crm_system.{table} ADD {} {}", self.name, self.usual)
    }

    /// Rows that are there get NULL, without any change of them.
    fn retype(&mut self, table: &str, called: &str, kind: &'static str) -> String {
        self.kind = kind;
        self.was_retyped = true;
        format!("ALTER TABLE crm_system.{table} ALTER {called} DROP DEFAULT, ALTER {called} TYPE {kind} USING NULL")
    }
}
