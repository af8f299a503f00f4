//! The settings that a session's answers depend on. They are set for every connection, so that no default of a role or
//! a database changes the answers.

use std::fmt::Write as _;
use std::time::Duration;

/// A statement of a full batch takes a tenth of a second; one that takes this long is stuck, and the batch is better
/// delivered again.
pub(crate) const STATEMENT_TIMEOUT: Duration = Duration::from_secs(30);

/// `ALTER ROLE … SET` and `ALTER DATABASE … SET` may say otherwise: how values are written and read, which names are
/// found, what statements mean, and whether they may write. The names and values have no character that `options` gives
/// a meaning to.
const SETTINGS: [(&str, &str); 19] = [
    ("DateStyle", "ISO,YMD"),
    ("IntervalStyle", "postgres"),
    ("TimeZone", "UTC"),
    ("search_path", "public"),
    ("extra_float_digits", "1"),
    ("bytea_output", "hex"),
    ("xmlbinary", "base64"),
    ("xmloption", "content"),
    ("standard_conforming_strings", "on"),
    ("backslash_quote", "safe_encoding"),
    ("array_nulls", "on"),
    ("transform_null_equals", "off"),
    ("quote_all_identifiers", "off"),
    ("check_function_bodies", "on"),
    ("default_transaction_isolation", "read\\ committed"),
    ("default_transaction_read_only", "off"),
    ("default_transaction_deferrable", "off"),
    ("lock_timeout", "0"),
    ("client_min_messages", "warning"),
];

/// The option that a connection begins with, behind those of the address.
pub(crate) fn options(given: &str) -> String {
    let timeout_ms = STATEMENT_TIMEOUT.as_millis();
    let mut options =
        format!("{given} -c statement_timeout={timeout_ms} -c idle_in_transaction_session_timeout={timeout_ms}");
    for (name, value) in SETTINGS {
        write!(options, " -c {name}={value}").expect("a string takes all");
    }
    options
}
