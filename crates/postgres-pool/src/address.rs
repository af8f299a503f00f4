use anyhow::{Context, bail};
use percent_encoding::percent_decode_str;
use tokio_postgres::Config;
use tokio_postgres::config::SslMode;

use crate::tls::Trust;

/// How messages name a database.
#[derive(Clone, Copy, Debug)]
pub struct Names {
    /// The environment variable that has its address, such as `DATABASE_URL`.
    pub variable: &'static str,
    /// What it is, such as `the usage store`.
    pub service: &'static str,
}

/// An address, parsed.
#[derive(Debug)]
pub(crate) struct Address {
    pub(crate) config: Config,
    pub(crate) trust: Trust,
}

/// Reads an address. First removes libpq's options for TLS that `tokio_postgres` does not know.
///
/// # Errors
/// Naming the variable. The parser's own message may quote the address, and so the password: it is not shown.
pub(crate) fn parse(url: &str, names: Names) -> anyhow::Result<Address> {
    let variable = names.variable;
    let malformed = || format!("{variable} is malformed: expected postgres://user:password@host/database");
    let scheme = url.split_once("://").map(|(scheme, _)| scheme);
    if !matches!(scheme, Some("postgres" | "postgresql")) {
        bail!(malformed());
    }
    let (place, options) = url.split_once('?').unwrap_or((url, ""));
    let (mut mode, mut root, mut others) = (None, None, Vec::new());
    for option in options.split('&').filter(|option| !option.is_empty()) {
        match option.split_once('=') {
            Some(("sslmode", value)) => mode = Some(value),
            Some(("sslrootcert", value)) => root = Some(decode(value)),
            _ => others.push(option),
        }
    }
    let root = root.filter(|root| root != "system");
    let (ssl_mode, trust) = match (mode, root) {
        (Some("disable"), _) => (SslMode::Disable, Trust::Anybody),
        (None | Some("prefer"), None) => (SslMode::Prefer, Trust::Anybody),
        (None | Some("prefer"), Some(root)) => (SslMode::Prefer, Trust::File(root)),
        (Some("require"), None) => (SslMode::Require, Trust::Anybody),
        (Some("require" | "verify-full"), Some(root)) => (SslMode::Require, Trust::File(root)),
        (Some("verify-full"), None) => (SslMode::Require, Trust::System),
        _ => bail!("{variable} has an unknown sslmode: use disable, prefer, require or verify-full"),
    };
    // An `Err` of the parser is dropped on purpose: see above.
    let mut config: Config = format!("{place}?{}", others.join("&")).parse().ok().with_context(malformed)?;
    config.ssl_mode(ssl_mode);
    Ok(Address { config, trust })
}

/// Undoes the percent encoding of an option's value.
fn decode(value: &str) -> String {
    percent_decode_str(value).decode_utf8_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use expect_test::{Expect, expect};

    use super::*;

    fn check(url: &str, expect: Expect) {
        match parse(url, Names { variable: "DATABASE_URL", service: "the database" }) {
            Ok(Address { config, trust }) => expect.assert_eq(&format!(
                "{:?} {:?} {:?} {trust:?}",
                config.get_hosts(),
                config.get_dbname(),
                config.get_ssl_mode()
            )),
            Err(error) => expect.assert_eq(&format!("{error:#}")),
        }
    }

    #[test]
    fn tls_is_what_libpq_calls_it() {
        check("postgres://u:p@h/d", expect![[r#"[Tcp("h")] Some("d") Prefer Anybody"#]]);
        check("postgres://u:p@h/d?sslmode=disable", expect![[r#"[Tcp("h")] Some("d") Disable Anybody"#]]);
        check(
            "postgresql://u:p@h1:1,h2:2/d?sslmode=require&target_session_attrs=read-write",
            expect![[r#"[Tcp("h1"), Tcp("h2")] Some("d") Require Anybody"#]],
        );
        check(
            "postgres://u:p@h/d?sslmode=require&sslrootcert=%2Fa%20b.pem",
            expect![[r#"[Tcp("h")] Some("d") Require File("/a b.pem")"#]],
        );
        check(
            "postgres://u:p@h/d?sslrootcert=system&sslmode=verify-full",
            expect![[r#"[Tcp("h")] Some("d") Require System"#]],
        );
    }

    #[test]
    fn what_is_wrong_is_said_without_the_address() {
        let unknown = expect!["DATABASE_URL has an unknown sslmode: use disable, prefer, require or verify-full"];
        check("postgres://u:secret@h/d?sslmode=verify-ca", unknown);
        for url in [
            "",
            "mysql://u:secret@h/d",
            "postgres://u:secret@h:port/d",
            "postgres://u:secret@h/d?secret=1",
            "host=h password=secret",
        ] {
            check(url, expect!["DATABASE_URL is malformed: expected postgres://user:password@host/database"]);
        }
    }
}
