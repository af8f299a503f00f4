//! A table's definition in SQL.

use std::fmt::Write as _;

use super::{Kind, Table};

impl Table {
    /// Its name in SQL, with its schema.
    pub fn sql_name(&self) -> String {
        format!("{}.{}", quoted(self.schema), quoted(self.name))
    }

    /// The columns in SQL, joined by commas, in the order in which [`Columns::copy`](crate::rows::Columns::copy) writes
    /// them.
    pub fn sql_columns(&self) -> String {
        joined(self.columns.iter().map(|column| column.name))
    }

    /// The columns of the primary key in SQL, joined by commas.
    pub fn sql_key(&self) -> String {
        joined(self.key.iter().copied())
    }

    /// The statements that create the table, its indexes and its comments. Run again, they only change comments. The
    /// schema has to exist.
    pub fn ddl(&self) -> String {
        let name = self.sql_name();
        let mut sql = format!("create table if not exists {name} (\n");
        for column in self.columns {
            let not_null = if column.is_nullable { "" } else { " not null" };
            let (name, kind) = (quoted(column.name), column.kind.sql());
            writeln!(sql, "    {name} {kind}{not_null},").expect("a string takes all");
        }
        write!(sql, "    primary key ({})\n);\n", self.sql_key()).expect("a string takes all");
        for index in self.indexes {
            let index_name = quoted(&format!("{}_by_{}", self.name, index.join("_")));
            let columns = joined(index.iter().copied());
            writeln!(sql, "create index if not exists {index_name} on {name} ({columns});")
                .expect("a string takes all");
        }
        writeln!(sql, "comment on table {name} is {};", literal(self.comment)).expect("a string takes all");
        for column in self.columns {
            let comment = literal(column.comment);
            writeln!(sql, "comment on column {name}.{} is {comment};", quoted(column.name))
                .expect("a string takes all");
        }
        sql
    }
}

impl Kind {
    /// Its name in SQL.
    pub const fn sql(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::Bytes => "bytea",
            Self::Boolean => "boolean",
            Self::Integer => "integer",
            Self::BigInt => "bigint",
            Self::CivilTime => "timestamp",
            Self::Moment => "timestamptz",
        }
    }
}

/// Quotes a name: `offset` and `partition` are keywords.
fn quoted(name: &str) -> String {
    format!("\"{name}\"")
}

fn joined<'a>(names: impl Iterator<Item = &'a str>) -> String {
    names.map(quoted).collect::<Vec<_>>().join(", ")
}

fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}
