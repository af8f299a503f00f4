//! `USAGE_STORE=scylla://…`, read once.

use std::borrow::Cow;
use std::path::PathBuf;
use std::str::FromStr;

use percent_encoding::percent_decode_str;

const DEFAULT_PORT: u16 = 9042;
const FORM: &str =
    "scylla://[user:password@]host[:9042][,host2[:9042]…]/keyspace[?datacenter=dc1&tls=true&ca=/path/to/ca.pem]";
/// Cassandra's and ScyllaDB's limit.
const MAX_KEYSPACE_BYTES: usize = 48;

/// Where the store is.
pub(super) struct Address {
    /// `host:port`, at least one.
    pub(super) hosts: Vec<String>,
    /// A name that needs no quotes.
    pub(super) keyspace: String,
    pub(super) login: Option<Login>,
    /// The datacenter whose replicas are asked.
    pub(super) datacenter: Option<String>,
    pub(super) tls: Option<Tls>,
}

pub(super) struct Login {
    pub(super) user: String,
    pub(super) password: String,
}

/// Whose certificates are trusted.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Tls {
    /// The authorities that the system trusts.
    System,
    /// The authorities in this PEM file.
    Ca(PathBuf),
}

impl FromStr for Address {
    type Err = anyhow::Error;

    /// No error shows any part of the address, which has a password in it.
    fn from_str(url: &str) -> anyhow::Result<Self> {
        parse(url).map_err(|what| anyhow::anyhow!("USAGE_STORE is malformed: {what}; expected {FORM}"))
    }
}

fn parse(url: &str) -> Result<Address, &'static str> {
    let rest = url.strip_prefix("scylla://").ok_or("it does not begin with scylla://")?;
    let (rest, parameters) = rest.split_once('?').unwrap_or((rest, ""));
    let (authority, keyspace) = rest.rsplit_once('/').ok_or("it names no keyspace")?;
    let (login, hosts) = match authority.rsplit_once('@') {
        Some((login, hosts)) => (Some(parse_login(login)?), hosts),
        None => (None, authority),
    };
    let mut address = Address {
        hosts: hosts.split(',').map(parse_host).collect::<Result<_, _>>()?,
        keyspace: parse_keyspace(keyspace)?,
        login,
        datacenter: None,
        tls: None,
    };
    let (mut tls, mut ca) = (false, None);
    for parameter in parameters.split('&').filter(|parameter| !parameter.is_empty()) {
        let (name, value) = parameter.split_once('=').ok_or("a parameter has no value")?;
        let value = decode(value)?;
        match name {
            "datacenter" if !value.is_empty() => address.datacenter = Some(value),
            "tls" => tls = value.parse().map_err(|_| "tls is neither true nor false")?,
            "ca" if !value.is_empty() => ca = Some(PathBuf::from(value)),
            _ => return Err("it has an unknown or empty parameter"),
        }
    }
    address.tls = match (tls, ca) {
        (true, Some(ca)) => Some(Tls::Ca(ca)),
        (true, None) => Some(Tls::System),
        (false, Some(_)) => return Err("ca goes with tls=true"),
        (false, None) => None,
    };
    Ok(address)
}

fn parse_login(login: &str) -> Result<Login, &'static str> {
    let (user, password) = login.split_once(':').ok_or("it has a user without a password")?;
    Ok(Login { user: decode(user)?, password: decode(password)? })
}

/// `host`, `host:port`, `[::1]`, `[::1]:port`.
fn parse_host(host: &str) -> Result<String, &'static str> {
    let after_name = host.rfind(']').map_or(0, |end| end + 1);
    let (name, port) = match host.get(after_name..).and_then(|rest| rest.rfind(':')) {
        Some(colon) => {
            let (name, port) = host.split_at(after_name + colon);
            (name, port.trim_start_matches(':').parse().map_err(|_| "a port is not a number")?)
        }
        None => (host, DEFAULT_PORT),
    };
    if name.is_empty() { Err("it names no host") } else { Ok(format!("{name}:{port}")) }
}

fn parse_keyspace(keyspace: &str) -> Result<String, &'static str> {
    let is_name = keyspace.starts_with(|first: char| first.is_ascii_lowercase())
        && keyspace.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_')
        && keyspace.len() <= MAX_KEYSPACE_BYTES;
    if is_name {
        Ok(keyspace.to_owned())
    } else {
        Err("a keyspace's name is 1 to 48 lower-case letters, digits and _, the first a letter")
    }
}

/// Undoes percent-encoding, the only way to write an address's special characters.
fn decode(text: &str) -> Result<String, &'static str> {
    const ERROR: &str = "a % is not followed by two hexadecimal digits of UTF-8 text";
    // The library keeps a % that is not an escape.
    let mut escapes = text.split('%').skip(1).map(|after| after.as_bytes().get(..2));
    let is_escape = |digits: &[u8]| digits.iter().all(u8::is_ascii_hexdigit);
    if !escapes.all(|digits| digits.is_some_and(is_escape)) {
        return Err(ERROR);
    }
    percent_decode_str(text).decode_utf8().map(Cow::into_owned).map_err(|_| ERROR)
}

#[cfg(test)]
mod tests {
    use expect_test::{Expect, expect};

    use super::*;

    fn check(url: &str, expect: Expect) {
        expect.assert_eq(&match url.parse::<Address>() {
            Ok(Address { hosts, keyspace, login, datacenter, tls }) => {
                let login = login.map(|Login { user, password }| format!("{user}:{password}"));
                format!("{hosts:?} {keyspace} {login:?} {datacenter:?} {tls:?}")
            }
            Err(error) => {
                let shown = error.to_string();
                assert!(!shown.contains("secret"), "{shown}");
                shown.trim_end_matches(FORM).to_owned()
            }
        });
    }

    #[test]
    fn an_address_is_read() {
        check("scylla://host/usage", expect![[r#"["host:9042"] usage None None None"#]]);
        check(
            "scylla://a%40b:se%3Acret%2F@one:1,two,[::1],[::1]:2/k_1?tls=true&ca=/etc/ca%20x.pem&datacenter=dc1",
            expect![[
                r#"["one:1", "two:9042", "[::1]:9042", "[::1]:2"] k_1 Some("a@b:se:cret/") Some("dc1") Some(Ca("/etc/ca x.pem"))"#
            ]],
        );
        check(
            "scylla://u:p@x@host/usage?tls=true",
            expect![[r#"["host:9042"] usage Some("u:p@x") None Some(System)"#]],
        );
        check("scylla://host/usage?tls=false", expect![[r#"["host:9042"] usage None None None"#]]);
    }

    #[test]
    fn a_bad_one_is_refused_without_showing_it() {
        check("scylla://user:secret@host", expect!["USAGE_STORE is malformed: it names no keyspace; expected "]);
        check("scylla://user:secret@/usage", expect!["USAGE_STORE is malformed: it names no host; expected "]);
        check("scylla://user:secret@a,,b/usage", expect!["USAGE_STORE is malformed: it names no host; expected "]);
        check(
            "scylla://secret@a/usage",
            expect!["USAGE_STORE is malformed: it has a user without a password; expected "],
        );
        check("scylla://user:secret@a:b/usage", expect!["USAGE_STORE is malformed: a port is not a number; expected "]);
        check(
            "scylla://user:secret%4@a/usage",
            expect!["USAGE_STORE is malformed: a % is not followed by two hexadecimal digits of UTF-8 text; expected "],
        );
        for keyspace in ["", "Usage", "1usage", "us age", "us-age", &"k".repeat(49)] {
            check(
                &format!("scylla://host/{keyspace}"),
                expect![
                    "USAGE_STORE is malformed: a keyspace's name is 1 to 48 lower-case letters, digits and _, the first a letter; expected "
                ],
            );
        }
        check(
            "scylla://a/usage?tls=yes",
            expect!["USAGE_STORE is malformed: tls is neither true nor false; expected "],
        );
        check("scylla://a/usage?ca=/x", expect!["USAGE_STORE is malformed: ca goes with tls=true; expected "]);
        for parameters in ["secret=1", "datacenter="] {
            check(
                &format!("scylla://a/usage?{parameters}"),
                expect!["USAGE_STORE is malformed: it has an unknown or empty parameter; expected "],
            );
        }
    }
}
