//! The servers that files come from, as the environment names them.

use std::collections::BTreeMap;

use lambda_boot::{VarError, Vars};
use serde::Deserialize;
use serde::de::Error as _;
use serde_json::Value;

use crate::ready::{After, Ready};

/// What a server's JSON in `SFTP_SERVERS` may have beside its `name`: the variables `SFTP_…`, without that, in lower case.
const KEYS: [&str; 13] = [
    "host",
    "port",
    "user",
    "password",
    "private_key",
    "private_key_passphrase",
    "host_key",
    "remote_path",
    "follow_links",
    "ready",
    "after",
    "settle_seconds",
    "last_line_seconds",
];
/// Those of which a server that has one has all of its own.
const CREDENTIALS: [&str; 3] = ["password", "private_key", "private_key_passphrase"];
const NO_SERVER: &str = "SFTP_HOST is missing: set it, SFTP_USER, SFTP_HOST_KEY and SFTP_PASSWORD or SFTP_PRIVATE_KEY; or \
    SFTP_SERVERS, for several servers";
/// A server's name is in the name of each of its files.
const MAX_NAME_BYTES: usize = 32;

/// A server that files come from.
#[derive(Clone, Debug)]
pub struct ServerConfig {
    /// The first folder in the names of its files. One that is not of `SFTP_SERVERS` has none.
    pub name: Option<String>,
    /// Where it is, and who we are there.
    pub sftp: sftp::Config,
    /// How files come there.
    pub habits: Habits,
}

/// How files come to a server, and what becomes of them there.
#[derive(Clone, Debug, Deserialize)]
pub struct Habits {
    /// How it is told that a file is whole.
    #[serde(rename = "SFTP_READY", default)]
    pub ready: Ready,
    /// What becomes of a file on the server when all of it has landed and is announced.
    #[serde(rename = "SFTP_AFTER", default)]
    pub after: After,
    /// With [`Ready::Settle`], a file is taken when it has not changed for so many seconds.
    #[serde(rename = "SFTP_SETTLE_SECONDS", default = "settle_s")]
    pub settle_s: u64,
    /// With [`Ready::Settle`], a last line without a line end is taken when the file has not changed for so many seconds: it may
    /// be half a line.
    #[serde(rename = "SFTP_LAST_LINE_SECONDS", default = "last_line_s")]
    pub last_line_s: u64,
}

/// Uploads pause for seconds. One that pauses for longer is only taken in two pieces: nothing is counted twice or lost.
fn settle_s() -> u64 {
    20
}

/// A quarter of an hour: an upload that pauses for longer has usually failed.
fn last_line_s() -> u64 {
    900
}

/// A server's JSON.
type Object = BTreeMap<String, Value>;

impl ServerConfig {
    /// Those of `SFTP_SERVERS`, each with the variables `SFTP_…` for what its JSON does not say; or the one that these variables
    /// name.
    ///
    /// # Errors
    /// Naming the server, and what is missing or malformed.
    pub fn all(vars: &Vars) -> Result<Vec<Self>, VarError> {
        let Some(text) = vars.get("SFTP_SERVERS") else {
            return match vars.get("SFTP_HOST") {
                Some(_) => Ok(vec![Self::of(None, vars)?]),
                None => Err(VarError::custom(NO_SERVER)),
            };
        };
        let error = |why: String| VarError::custom(format!("SFTP_SERVERS: {why}"));
        let objects = read(text).map_err(error)?;
        let mut servers: Vec<Self> = Vec::with_capacity(objects.len());
        for (place, object) in objects.into_iter().enumerate() {
            let name = name_of(&object).map_err(|why| error(format!("server {}: {why}", place + 1)))?;
            let shown = name.clone().unwrap_or_else(|| format!("server {}", place + 1));
            if servers.iter().any(|server| server.name == name) {
                return Err(error(match name {
                    Some(name) => format!("two servers are called {name}"),
                    None => "only one server may be without a name".to_owned(),
                }));
            }
            let own = variables(vars, object).map_err(|why| error(format!("{shown}: {why}")))?;
            let server = Self::of(name, &own).map_err(|why| error(format!("{shown}: {why}")))?;
            servers.push(server);
        }
        let is_ambiguous = |server: &Self| server.name.is_none() && server.sftp.remote_path.is_pattern();
        if servers.len() > 1 && servers.iter().any(is_ambiguous) {
            return Err(error("the server without a name needs one, as its remote_path is a pattern".to_owned()));
        }
        if servers.is_empty() { Err(error("it names no server".to_owned())) } else { Ok(servers) }
    }

    fn of(name: Option<String>, vars: &Vars) -> Result<Self, VarError> {
        let server = Self { name, sftp: vars.read()?, habits: vars.read()? };
        match &server.habits.after {
            After::Move(to) if server.takes_from(to) => Err(VarError::custom(format!(
                "SFTP_AFTER: files that are moved to {to} would be taken from there again: name a folder that \
                 SFTP_REMOTE_PATH does not fit"
            ))),
            _ => Ok(server),
        }
    }

    /// Whether files come from this folder, as far as that can be told.
    fn takes_from(&self, folder: &str) -> bool {
        let folders = &self.sftp.remote_path;
        let is_below = !folder.starts_with('/') && folder.split('/').all(|name| name != "..");
        folders.is_pattern() && !is_below && (!folder.starts_with('/') || folders.fits(folder))
    }
}

/// The JSON, or what the file holds whose absolute path it is. What is wrong is said without what it holds.
fn read(text: &str) -> Result<Vec<Object>, String> {
    let held = match text.starts_with('/') {
        true => std::fs::read_to_string(text).map_err(|error| format!("{text} can't be read: {error}"))?,
        false => text.to_owned(),
    };
    serde_json::from_str(&held).map_err(|error| {
        let (line, column) = (error.line(), error.column());
        format!(
            "expected a JSON array of objects, `[{{\"name\": \"north\", \"host\": …}}]` (line {line}, column {column})"
        )
    })
}

fn name_of(object: &Object) -> Result<Option<String>, String> {
    let Some(name) = object.get("name") else { return Ok(None) };
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    let is_name = |name: &&str| (1..=MAX_NAME_BYTES).contains(&name.len()) && name.bytes().all(is_plain);
    let wrong = || format!("its \"name\" must be letters, digits, `-` and `_`, at most {MAX_NAME_BYTES} bytes");
    name.as_str().filter(is_name).map(|name| Some(name.to_owned())).ok_or_else(wrong)
}

/// The variables that a server has: all others', and its own instead.
fn variables(all: &Vars, object: Object) -> Result<Vars, String> {
    let mut own = all.clone();
    if CREDENTIALS.iter().any(|key| object.contains_key(*key)) {
        CREDENTIALS.iter().for_each(|key| own.set(&variable(key), None));
    }
    for (key, value) in object {
        if key == "name" {
            continue;
        }
        if !KEYS.contains(&key.as_str()) {
            return Err(format!("{key} is not known: a server has name, {}", KEYS.join(", ")));
        }
        let text = match value {
            Value::String(text) => text,
            Value::Number(number) => number.to_string(),
            Value::Bool(truth) => truth.to_string(),
            Value::Null | Value::Array(_) | Value::Object(_) => return Err(format!("{key} is no text")),
        };
        own.set(&variable(&key), Some(text));
    }
    Ok(own)
}

fn variable(key: &str) -> String {
    format!("SFTP_{}", key.to_uppercase())
}

#[cfg(test)]
mod tests {
    use expect_test::{Expect, expect};

    use super::*;

    const KEY: &str = "SHA256:uNiVztksCsDhcc0u9e8BgrJXVGDVmP0l2zzQnMxVVbM";

    fn check(servers: &str, expect: Expect) {
        let common =
            [("SFTP_SERVERS", servers), ("SFTP_USER", "all"), ("SFTP_PRIVATE_KEY", "/no/key"), ("SFTP_HOST_KEY", KEY)];
        let shown = match ServerConfig::all(&common.into_iter().collect()) {
            Ok(servers) => servers.iter().map(show).collect(),
            Err(error) => error.to_string(),
        };
        expect.assert_eq(&shown);
    }

    fn show(server: &ServerConfig) -> String {
        let ServerConfig { name, sftp, habits } = server;
        format!(
            "{} {}@{}:{}{} {:?} {:?}\n",
            name.as_deref().unwrap_or("-"),
            sftp.user,
            sftp.host,
            sftp.port,
            sftp.remote_path,
            habits.ready,
            habits.after
        )
    }

    #[test]
    fn servers_are_told_apart_by_their_names() {
        check(
            r#"[{"name": "north", "host": "n", "password": "p", "remote_path": "/cdr/*", "ready": "rename"},
                {"host": "first", "password": "r"},
                {"name": "south-2", "host": "s", "port": 2022, "user": "t", "password": "q", "after": "delete"}]"#,
            expect![[r#"
                north all@n:22/cdr/* Rename Keep
                - all@first:22/upload Settle Keep
                south-2 t@s:2022/upload Settle Delete
            "#]],
        );
        let only = [("SFTP_HOST", "h"), ("SFTP_USER", "u"), ("SFTP_PASSWORD", "p"), ("SFTP_HOST_KEY", KEY)];
        let only = ServerConfig::all(&only.into_iter().collect()).unwrap();
        expect![[r#"
            - u@h:22/upload Settle Keep
        "#]]
        .assert_eq(&only.iter().map(show).collect::<String>());
    }

    #[test]
    fn what_is_wrong_is_named() {
        check("[]", expect!["SFTP_SERVERS: it names no server"]);
        check(
            "{",
            expect![[
                r#"SFTP_SERVERS: expected a JSON array of objects, `[{"name": "north", "host": …}]` (line 1, column 0)"#
            ]],
        );
        check("/no/file", expect!["SFTP_SERVERS: /no/file can't be read: No such file or directory (os error 2)"]);
        check(
            r#"[{"name": "no/rth"}]"#,
            expect![[r#"SFTP_SERVERS: server 1: its "name" must be letters, digits, `-` and `_`, at most 32 bytes"#]],
        );
        let server = |more: &str| format!(r#"{{"name": "a", "host": "h", "password": "p"{more}}}"#);
        check(&format!("[{0}, {0}]", server("")), expect!["SFTP_SERVERS: two servers are called a"]);
        check(
            &format!("[{}]", server(r#", "paswort": "x""#)),
            expect![
                "SFTP_SERVERS: a: paswort is not known: a server has name, host, port, user, password, private_key, private_key_passphrase, host_key, remote_path, follow_links, ready, after, settle_seconds, last_line_seconds"
            ],
        );
        check(
            &format!("[{}]", server(r#", "port": "x""#)),
            expect!["SFTP_SERVERS: a: SFTP_PORT is malformed: invalid digit found in string"],
        );
        check(
            &format!("[{}]", server(r#", "remote_path": "/a/**""#)),
            expect![
                "SFTP_SERVERS: a: SFTP_REMOTE_PATH: /a/**: `**` is not known; write `*` once for each level of folders"
            ],
        );
        check(
            &format!("[{}]", server(r#", "remote_path": "/a/*", "after": "move:/a/done""#)),
            expect![
                "SFTP_SERVERS: a: SFTP_AFTER: files that are moved to /a/done would be taken from there again: name a folder that SFTP_REMOTE_PATH does not fit"
            ],
        );
        check(
            &format!("[{}]", server(r#", "remote_path": "/a/*", "after": "move:../done""#)),
            expect![
                "SFTP_SERVERS: a: SFTP_AFTER: files that are moved to ../done would be taken from there again: name a folder that SFTP_REMOTE_PATH does not fit"
            ],
        );
        let nameless = r#"{"host": "h", "password": "p"}"#;
        check(&format!("[{nameless}, {nameless}]"), expect!["SFTP_SERVERS: only one server may be without a name"]);
        let pattern = r#"{"host": "h", "password": "p", "remote_path": "/a/*"}"#;
        check(
            &format!("[{pattern}, {}]", server("")),
            expect!["SFTP_SERVERS: the server without a name needs one, as its remote_path is a pattern"],
        );
        check(
            r#"[{"name": "a", "password": "p"}]"#,
            expect!["SFTP_SERVERS: a: SFTP_HOST is missing: set this environment variable"],
        );
    }
}
