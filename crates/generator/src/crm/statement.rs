//! The statements of the CRM's application. Each is valid whatever the tables hold: a change of a row that is not there
//! changes nothing. Rows are written as columns of arrays, so that one statement writes one row or a thousand.

use std::error::Error;

use bytes::BytesMut;
use tokio_postgres::types::{IsNull, ToSql, Type, to_sql_checked};

/// A statement with its values.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Statement {
    /// SQL with `$1`, `$2`, …
    pub sql: &'static str,
    /// A value for each of them.
    pub values: Vec<Value>,
}

/// A value of a statement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    /// A key.
    Number(i32),
    /// A text, or nothing.
    Text(Option<String>),
    /// A column of keys.
    Numbers(Vec<i32>),
    /// A column of texts.
    Texts(Vec<Option<String>>),
}

impl ToSql for Value {
    fn to_sql(&self, ty: &Type, out: &mut BytesMut) -> Result<IsNull, Box<dyn Error + Sync + Send>> {
        match self {
            Self::Number(value) => value.to_sql(ty, out),
            Self::Text(value) => value.to_sql(ty, out),
            Self::Numbers(values) => values.to_sql(ty, out),
            Self::Texts(values) => values.to_sql(ty, out),
        }
    }

    fn accepts(ty: &Type) -> bool {
        <i32 as ToSql>::accepts(ty)
            || <String as ToSql>::accepts(ty)
            || <Vec<i32> as ToSql>::accepts(ty)
            || <Vec<String> as ToSql>::accepts(ty)
    }

    to_sql_checked!();
}

/// A row of `crm_system.accounts`, without its time.
#[derive(Clone)]
pub(super) struct Account {
    pub(super) account_id: i32,
    pub(super) owner_name: String,
    pub(super) email: Option<String>,
    pub(super) phone_number: Option<String>,
}

/// A row of `crm_system.addresses`.
#[derive(Clone)]
pub(super) struct Address {
    pub(super) account_id: i32,
    pub(super) street_address: Option<String>,
    pub(super) city: Option<String>,
    pub(super) state: Option<String>,
    pub(super) postal_code: Option<String>,
    pub(super) country: Option<String>,
}

/// A row of `crm_system.devices`.
#[derive(Clone)]
pub(super) struct Device {
    pub(super) device_id: i32,
    pub(super) account_id: i32,
    pub(super) device_name: Option<String>,
    pub(super) device_type: Option<String>,
    pub(super) device_os: Option<String>,
}

/// One column of some rows.
macro_rules! column {
    ($rows:ident . $field:ident) => {
        $rows.iter().map(|row| row.$field.clone()).collect()
    };
}

/// Writes accounts, new or known. No account twice.
pub(super) fn upsert_accounts(rows: &[Account]) -> Statement {
    Statement {
        sql: "INSERT INTO crm_system.accounts (account_id, owner_name, email, phone_number, modified_ts) \
              SELECT account_id, owner_name, email, phone_number, now() \
              FROM unnest($1::integer[], $2::text[], $3::text[], $4::text[]) \
                AS new (account_id, owner_name, email, phone_number) \
              ON CONFLICT (account_id) DO UPDATE SET \
                owner_name = excluded.owner_name, email = excluded.email, phone_number = excluded.phone_number, \
                modified_ts = excluded.modified_ts",
        values: vec![
            Value::Numbers(column!(rows.account_id)),
            Value::Texts(rows.iter().map(|row| Some(row.owner_name.clone())).collect()),
            Value::Texts(column!(rows.email)),
            Value::Texts(column!(rows.phone_number)),
        ],
    }
}

/// Writes the addresses of accounts that exist.
pub(super) fn upsert_addresses(rows: &[Address]) -> Statement {
    Statement {
        sql: "INSERT INTO crm_system.addresses \
                (account_id, street_address, city, state, postal_code, country, modified_ts) \
              SELECT new.account_id, street_address, city, state, postal_code, country, now() \
              FROM unnest($1::integer[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[]) \
                AS new (account_id, street_address, city, state, postal_code, country) \
              JOIN crm_system.accounts ON accounts.account_id = new.account_id \
              ON CONFLICT (account_id) DO UPDATE SET \
                street_address = excluded.street_address, city = excluded.city, state = excluded.state, \
                postal_code = excluded.postal_code, country = excluded.country, modified_ts = excluded.modified_ts",
        values: vec![
            Value::Numbers(column!(rows.account_id)),
            Value::Texts(column!(rows.street_address)),
            Value::Texts(column!(rows.city)),
            Value::Texts(column!(rows.state)),
            Value::Texts(column!(rows.postal_code)),
            Value::Texts(column!(rows.country)),
        ],
    }
}

/// Writes devices of accounts that exist.
pub(super) fn upsert_devices(rows: &[Device]) -> Statement {
    Statement {
        sql: "INSERT INTO crm_system.devices (device_id, account_id, device_name, device_type, device_os, modified_ts) \
              SELECT device_id, new.account_id, device_name, device_type, device_os, now() \
              FROM unnest($1::integer[], $2::integer[], $3::text[], $4::text[], $5::text[]) \
                AS new (device_id, account_id, device_name, device_type, device_os) \
              JOIN crm_system.accounts ON accounts.account_id = new.account_id \
              ON CONFLICT (device_id) DO UPDATE SET \
                account_id = excluded.account_id, device_name = excluded.device_name, \
                device_type = excluded.device_type, device_os = excluded.device_os, modified_ts = excluded.modified_ts",
        values: vec![
            Value::Numbers(column!(rows.device_id)),
            Value::Numbers(column!(rows.account_id)),
            Value::Texts(column!(rows.device_name)),
            Value::Texts(column!(rows.device_type)),
            Value::Texts(column!(rows.device_os)),
        ],
    }
}

pub(super) fn set_email(account_id: i32, email: Option<String>) -> Statement {
    Statement {
        sql: "UPDATE crm_system.accounts SET email = $2, modified_ts = now() WHERE account_id = $1",
        values: vec![Value::Number(account_id), Value::Text(email)],
    }
}

pub(super) fn set_phone_number(account_id: i32, phone_number: Option<String>) -> Statement {
    Statement {
        sql: "UPDATE crm_system.accounts SET phone_number = $2, modified_ts = now() WHERE account_id = $1",
        values: vec![Value::Number(account_id), Value::Text(phone_number)],
    }
}

/// Leaves the street alone: where that is long, the change is captured without it.
pub(super) fn set_postal_code(account_id: i32, postal_code: Option<String>) -> Statement {
    Statement {
        sql: "UPDATE crm_system.addresses SET postal_code = $2, modified_ts = now() WHERE account_id = $1",
        values: vec![Value::Number(account_id), Value::Text(postal_code)],
    }
}

pub(super) fn set_device_os(device_id: i32, device_os: Option<String>) -> Statement {
    Statement {
        sql: "UPDATE crm_system.devices SET device_os = $2, modified_ts = now() WHERE device_id = $1",
        values: vec![Value::Number(device_id), Value::Text(device_os)],
    }
}

/// A contract without an end, in the way that some applications write it.
pub(super) fn set_modified_to_infinity(account_id: i32) -> Statement {
    Statement {
        sql: "UPDATE crm_system.accounts SET modified_ts = 'infinity' WHERE account_id = $1",
        values: vec![Value::Number(account_id)],
    }
}

/// An account goes, with everything that belongs to it.
pub(super) fn delete_account(account_id: i32) -> [Statement; 3] {
    [
        "DELETE FROM crm_system.devices WHERE account_id = $1",
        "DELETE FROM crm_system.addresses WHERE account_id = $1",
        "DELETE FROM crm_system.accounts WHERE account_id = $1",
    ]
    .map(|sql| Statement { sql, values: vec![Value::Number(account_id)] })
}

pub(super) fn delete_device(device_id: i32) -> Statement {
    Statement { sql: "DELETE FROM crm_system.devices WHERE device_id = $1", values: vec![Value::Number(device_id)] }
}

/// A device gets another key, if that is free.
pub(super) fn renumber_device(from: i32, to: i32) -> Statement {
    Statement {
        sql: "UPDATE crm_system.devices SET device_id = $2, modified_ts = now() WHERE device_id = $1 \
              AND NOT EXISTS (SELECT FROM crm_system.devices WHERE device_id = $2)",
        values: vec![Value::Number(from), Value::Number(to)],
    }
}

/// An account gets another key, if that is free, and takes along what belongs to it: its address changes its key and nothing
/// else, so that a long street is captured under neither; its devices stay where they are.
pub(super) fn renumber_account(from: i32, to: i32) -> [Statement; 3] {
    [
        "UPDATE crm_system.accounts SET account_id = $2, modified_ts = now() WHERE account_id = $1 \
         AND NOT EXISTS (SELECT FROM crm_system.accounts WHERE account_id = $2)",
        "UPDATE crm_system.addresses SET account_id = $2, modified_ts = now() WHERE account_id = $1 \
         AND NOT EXISTS (SELECT FROM crm_system.accounts WHERE account_id = $1) \
         AND NOT EXISTS (SELECT FROM crm_system.addresses WHERE account_id = $2)",
        "UPDATE crm_system.devices SET account_id = $2, modified_ts = now() WHERE account_id = $1 \
         AND NOT EXISTS (SELECT FROM crm_system.accounts WHERE account_id = $1)",
    ]
    .map(|sql| Statement { sql, values: vec![Value::Number(from), Value::Number(to)] })
}

pub(super) fn truncate_devices() -> Statement {
    Statement { sql: "TRUNCATE crm_system.devices", values: Vec::new() }
}
