//! The followed tables of the CRM. Their columns are those of `schema.sql`.

use std::fmt;

/// A table of the source and of the schema `crm_data`.
#[derive(Debug)]
pub(crate) struct Table {
    pub(crate) name: &'static str,
    /// The primary key's column, a whole number.
    pub(crate) key: &'static str,
    /// The other columns.
    pub(crate) columns: &'static [Column],
}

impl Table {
    pub(crate) fn has(&self, name: &str) -> bool {
        name == self.key || self.columns.iter().any(|column| column.name == name)
    }
}

/// A column that is not the key.
#[derive(Debug)]
pub(crate) struct Column {
    pub(crate) name: &'static str,
    pub(crate) kind: Kind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Text,
    Integer,
    Time,
}

impl Kind {
    /// Its name in SQL.
    pub(crate) const fn sql(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::Integer => "bigint",
            Self::Time => "timestamptz",
        }
    }
}

/// For people.
impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Text => "text",
            Self::Integer => "a whole number",
            Self::Time => "a time",
        })
    }
}

const fn text(name: &'static str) -> Column {
    Column { name, kind: Kind::Text }
}

const MODIFIED: Column = Column { name: "modified_ts", kind: Kind::Time };

pub(crate) const TABLES: [Table; 3] = [
    Table {
        name: "accounts",
        key: "account_id",
        columns: &[text("owner_name"), text("email"), text("phone_number"), MODIFIED],
    },
    Table {
        name: "addresses",
        key: "account_id",
        columns: &[text("street_address"), text("city"), text("state"), text("postal_code"), text("country"), MODIFIED],
    },
    Table {
        name: "devices",
        key: "device_id",
        columns: &[
            Column { name: "account_id", kind: Kind::Integer },
            text("device_name"),
            text("device_type"),
            text("device_os"),
            MODIFIED,
        ],
    },
];
