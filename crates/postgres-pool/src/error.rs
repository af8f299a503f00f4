use std::error::Error as _;
use std::io;

use deadpool_postgres::PoolError;
use tokio_postgres::error::SqlState;

use crate::Names;

/// The database's error inside a failure, if there is one.
fn backend(error: &anyhow::Error) -> Option<&tokio_postgres::Error> {
    match error.downcast_ref() {
        Some(PoolError::Backend(error)) => Some(error),
        _ => error.downcast_ref(),
    }
}

/// The TLS error inside a failure, if there is one.
fn tls(error: &tokio_postgres::Error) -> Option<&rustls::Error> {
    error.source()?.downcast_ref::<io::Error>()?.get_ref()?.downcast_ref()
}

/// Whether a new connection, a little later, may succeed.
pub(crate) fn is_passing(error: &anyhow::Error) -> bool {
    let Some(error) = backend(error) else { return false };
    if error.is_closed() || error.source().is_some_and(|source| source.is::<io::Error>()) {
        return tls(error).is_none();
    }
    error.code().is_some_and(|code| {
        [
            SqlState::ADMIN_SHUTDOWN,
            SqlState::CRASH_SHUTDOWN,
            SqlState::CANNOT_CONNECT_NOW,
            SqlState::TOO_MANY_CONNECTIONS,
            SqlState::T_R_DEADLOCK_DETECTED,
            SqlState::T_R_SERIALIZATION_FAILURE,
            SqlState::LOCK_NOT_AVAILABLE,
        ]
        .contains(code)
    })
}

/// Whether the session gave up waiting for a lock, by its `lock_timeout`.
pub(crate) fn is_lock_timeout(error: &anyhow::Error) -> bool {
    backend(error).and_then(tokio_postgres::Error::code) == Some(&SqlState::LOCK_NOT_AVAILABLE)
}

/// The failure in one line. Errors that are not the database's stay as they are.
pub(crate) fn explain(error: anyhow::Error, names: Names) -> anyhow::Error {
    let service = names.service;
    let what = match (backend(&error), error.downcast_ref::<PoolError>()) {
        (Some(backend), _) => describe(backend, names),
        (None, Some(pool)) => pool.to_string(),
        (None, None) => return error,
    };
    anyhow::anyhow!("{service} failed: {what}")
}

/// The server's message, without its `DETAIL`, which quotes values.
fn describe(error: &tokio_postgres::Error, names: Names) -> String {
    let variable = names.variable;
    if let Some(db) = error.as_db_error() {
        let hint = match *db.code() {
            SqlState::UNDEFINED_TABLE | SqlState::UNDEFINED_COLUMN | SqlState::INVALID_SCHEMA_NAME => {
                return format!("{}: run `trunkline init`", db.message());
            }
            SqlState::INVALID_PASSWORD | SqlState::INVALID_AUTHORIZATION_SPECIFICATION => format!(": check {variable}"),
            _ => String::new(),
        };
        return format!("{} (SQLSTATE {}){hint}", db.message(), db.code().code());
    }
    match (tls(error), error.source()) {
        (Some(rustls::Error::InvalidCertificate(_)), Some(source)) => {
            format!("{source}: check the host in {variable}, or name its certificate authority's file with sslrootcert")
        }
        (_, Some(source)) => format!("{error}: {source}"),
        (_, None) => error.to_string(),
    }
}
