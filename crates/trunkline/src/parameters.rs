//! The template's parameters, and the AWS variables that the service would add to every function's environment.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, bail, ensure};
use lambda_boot::Vars;
use stream::Topic;

/// Values for a template on this machine. Names that begin with `AWS_` are not parameters: the service puts these into
/// each function's environment itself (credentials, region), so the local runtime does.
#[derive(Clone, Default)]
pub(crate) struct Parameters {
    pub(crate) overrides: BTreeMap<String, String>,
    pub(crate) aws: BTreeMap<String, String>,
}

/// The variables that give a parameter's value where nothing else does: those that scripts for the same servers have, by the
/// same names as the functions'. Only these: a `DATABASE_URL` that somebody has set is rather about something else.
const VARIABLES: [(&str, &str); 19] = [
    ("KAFKA_BROKERS", "KafkaBrokers"),
    ("KAFKA_SASL_MECHANISM", "KafkaSaslMechanism"),
    ("KAFKA_SASL_PASSWORD", "KafkaSaslPassword"),
    ("KAFKA_SASL_USERNAME", "KafkaSaslUsername"),
    ("KAFKA_TLS_CA", "KafkaTlsCa"),
    ("SFTP_AFTER", "SftpAfter"),
    ("SFTP_FOLLOW_LINKS", "SftpFollowLinks"),
    ("SFTP_HOST", "SftpHost"),
    ("SFTP_HOST_KEY", "SftpHostKey"),
    ("SFTP_LAST_LINE_SECONDS", "SftpLastLineSeconds"),
    ("SFTP_PASSWORD", "SftpPassword"),
    ("SFTP_PORT", "SftpPort"),
    ("SFTP_PRIVATE_KEY", "SftpPrivateKey"),
    ("SFTP_PRIVATE_KEY_PASSPHRASE", "SftpPrivateKeyPassphrase"),
    ("SFTP_READY", "SftpReady"),
    ("SFTP_REMOTE_PATH", "SftpRemotePath"),
    ("SFTP_SERVERS", "SftpServers"),
    ("SFTP_SETTLE_SECONDS", "SftpSettleSeconds"),
    ("SFTP_USER", "SftpUser"),
];

impl Parameters {
    /// Reads `Key=Value` lines of a file, then the command line's, which win. In a file, blank lines and those that begin with `#` are
    /// skipped, and a value may stand in quotes.
    /// The process's own `AWS_*` variables come first of all.
    pub(crate) fn gather(file: Option<&Path>, command_line: &[String]) -> anyhow::Result<Self> {
        let mut parameters = Self::default();
        parameters.aws.extend(std::env::vars().filter(|(name, _)| name.starts_with("AWS_")));
        if let Some(path) = file {
            let text = std::fs::read_to_string(path)
                .with_context(|| format!("can't read the parameters file {}", path.display()))?;
            for (number, line) in text.lines().enumerate() {
                let line = line.trim();
                if line.is_empty() || line.starts_with('#') {
                    continue;
                }
                let read = split(line).and_then(|(key, value)| Ok((key, unquoted(value)?)));
                let (key, value) = read.with_context(|| format!("{}, line {}", path.display(), number + 1))?;
                parameters.insert(key, value);
            }
        }
        for pair in command_line {
            let (key, value) = split(pair)?;
            parameters.insert(key, value);
        }
        Ok(parameters)
    }

    /// Adds what only the environment names, where the template knows such a parameter: one that never says its name has none.
    pub(crate) fn or_environment(self, template: &Path) -> Self {
        // A template that can't be read is told of by who reads it.
        let template = std::fs::read_to_string(template).unwrap_or_default();
        let environment = Vars::from_env();
        self.or(&template, |variable| environment.get(variable).map(str::to_owned))
    }

    fn or(mut self, template: &str, variable: impl Fn(&str) -> Option<String>) -> Self {
        for (name, parameter) in VARIABLES.iter().filter(|(_, parameter)| template.contains(parameter)) {
            if let Some(value) = variable(name) {
                self.overrides.entry((*parameter).to_owned()).or_insert(value);
            }
        }
        self
    }

    /// Sets a parameter, or a variable of the service where its name begins with `AWS_`.
    pub(crate) fn insert(&mut self, key: &str, value: impl Into<String>) {
        let map = if key.starts_with("AWS_") { &mut self.aws } else { &mut self.overrides };
        map.insert(key.to_owned(), value.into());
    }

    /// The lines that [`Parameters::gather`] reads back.
    pub(crate) fn to_file(&self) -> String {
        self.overrides.iter().chain(&self.aws).map(|(key, value)| format!("{key}={}\n", quoted(value))).collect()
    }
}

/// Refuses an environment that asks for other topics of call records than the template's: the tables of lake and warehouse
/// have the topics' names.
pub(crate) fn check_fixed(vars: &Vars) -> anyhow::Result<()> {
    let environment = Vars::from_env();
    for name in Topic::CALL_RECORDS.map(Topic::variable) {
        if let (Some(wanted), Some(is)) = (environment.get(name), vars.get(name)) {
            ensure!(
                wanted == is,
                "{name} is {is} and can't be {wanted}, since the lake's tables go by it: unset the variable"
            );
        }
    }
    Ok(())
}

fn split(pair: &str) -> anyhow::Result<(&str, &str)> {
    let Some((key, value)) = pair.split_once('=') else {
        bail!("a parameter is written Key=Value, but this one has no `=`");
    };
    Ok((key.trim(), value.trim()))
}

/// A value of a file without its quotes, between which everything stands for itself.
fn unquoted(value: &str) -> anyhow::Result<&str> {
    for quote in ['"', '\''] {
        if let Some(inner) = value.strip_prefix(quote).and_then(|value| value.strip_suffix(quote)) {
            return Ok(inner);
        }
    }
    // A comment, or a part of the value: both are meant by some.
    let is_comment = |(at, _): (usize, &str)| value[..at].chars().next_back().is_none_or(char::is_whitespace);
    if value.match_indices('#').any(is_comment) {
        bail!("a comment has a line of its own; where the # is a part of the value, write the value in quotes");
    }
    Ok(value)
}

/// What [`unquoted`] takes for this value.
fn quoted(value: &str) -> String {
    match unquoted(value) {
        Ok(read) if read == value && value == value.trim() => value.to_owned(),
        _ => format!("\"{value}\""),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_round_trips_and_the_command_line_wins() {
        let mut written = Parameters::default();
        written.insert("SftpHost", "127.0.0.1");
        written.insert("ApiUsers", r#"[{"user":"a=b"}]"#);
        written.insert("AWS_REGION", "us-east-1");
        let file = tempfile::NamedTempFile::new().expect("a file");
        std::fs::write(file.path(), format!("# comment\n\n{}", written.to_file())).expect("written");
        let read = Parameters::gather(Some(file.path()), &["SftpHost=example.org".to_owned()]).expect("read");
        assert_eq!(read.overrides["SftpHost"], "example.org");
        assert_eq!(read.overrides["ApiUsers"], r#"[{"user":"a=b"}]"#);
        assert_eq!(read.aws["AWS_REGION"], "us-east-1");
    }

    #[test]
    fn the_environment_gives_what_nothing_else_does() {
        let template = include_str!("../../../template.yaml");
        let of = |text: &str, given: &[&str]| {
            let given: Vec<_> = given.iter().map(|pair| (*pair).to_owned()).collect();
            Parameters::gather(None, &given)
                .expect("read")
                .or(text, |name| Some(format!("the variable {name}")))
                .overrides
        };
        let read = of(template, &["SftpHost=example.org"]);
        assert_eq!(read["SftpHost"], "example.org");
        assert_eq!(read["SftpPort"], "the variable SFTP_PORT");
        assert_eq!(read.len(), VARIABLES.len(), "the template lacks one of these parameters");
        let known = local_runtime::Template::parse(template, &read).expect_err("more is needed").to_string();
        assert!(!known.contains("no such parameter"), "{known}");
        assert!(of("Resources: {}", &[]).is_empty(), "another project's template");
    }

    #[test]
    fn values_may_stand_in_quotes() {
        let file = tempfile::NamedTempFile::new().expect("a file");
        let read = |text: &str| {
            std::fs::write(file.path(), text).expect("written");
            Parameters::gather(Some(file.path()), &[]).map(|parameters| parameters.overrides["Key"].clone())
        };
        for (written, value) in
            [("a#b", "a#b"), ("\"a # b\"", "a # b"), ("' a '", " a "), ("\"a\" b", "\"a\" b"), ("\"", "\""), ("", "")]
        {
            assert_eq!(read(&format!("Key={written}")).expect("read"), value);
        }
        for comment in ["22 # the test server", "22\t#", "# none", "\"22\" # the test server"] {
            let error = format!("{:#}", read(&format!("# first\nKey={comment}")).expect_err("refused"));
            assert!(error.contains("line 2: a comment has a line of its own"), "{error}");
        }
        for value in ["a # b", " a ", "\"a\"", "'a'", "# a", "plain", "", "\""] {
            let mut parameters = Parameters::default();
            parameters.insert("Key", value);
            assert_eq!(read(&parameters.to_file()).expect("read"), value);
        }
    }

    #[test]
    fn a_line_without_a_value_is_named() {
        let file = tempfile::NamedTempFile::new().expect("a file");
        std::fs::write(file.path(), "SftpHost=h\nSftpPort 22\n").expect("written");
        let error = Parameters::gather(Some(file.path()), &[]).err().expect("refused");
        assert!(format!("{error:#}").ends_with("line 2: a parameter is written Key=Value, but this one has no `=`"));
    }
}
