//! The template's parameters, and the AWS variables that the service would add to every function's environment.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, bail};

/// Values for a template on this machine. Names that begin with `AWS_` are not parameters: the service puts these into
/// each function's environment itself (credentials, region), so the local runtime does.
#[derive(Clone, Default)]
pub(crate) struct Parameters {
    pub(crate) overrides: BTreeMap<String, String>,
    pub(crate) aws: BTreeMap<String, String>,
}

impl Parameters {
    /// Reads `Key=Value` lines of a file (blank lines and `#` comments are skipped), then the command line's, which win.
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
                parameters.set(line).with_context(|| format!("{}, line {}", path.display(), number + 1))?;
            }
        }
        for pair in command_line {
            parameters.set(pair)?;
        }
        Ok(parameters)
    }

    fn set(&mut self, pair: &str) -> anyhow::Result<()> {
        let Some((key, value)) = pair.split_once('=') else {
            bail!("a parameter is written Key=Value, but this one has no `=`");
        };
        self.insert(key.trim(), value.trim());
        Ok(())
    }

    /// Sets a parameter, or a variable of the service where its name begins with `AWS_`.
    pub(crate) fn insert(&mut self, key: &str, value: impl Into<String>) {
        let map = if key.starts_with("AWS_") { &mut self.aws } else { &mut self.overrides };
        map.insert(key.to_owned(), value.into());
    }

    /// The lines that [`Parameters::gather`] reads back.
    pub(crate) fn to_file(&self) -> String {
        self.overrides.iter().chain(&self.aws).map(|(key, value)| format!("{key}={value}\n")).collect()
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
    fn a_line_without_a_value_is_named() {
        let file = tempfile::NamedTempFile::new().expect("a file");
        std::fs::write(file.path(), "SftpHost=h\nSftpPort 22\n").expect("written");
        let error = Parameters::gather(Some(file.path()), &[]).err().expect("refused");
        assert!(format!("{error:#}").ends_with("line 2: a parameter is written Key=Value, but this one has no `=`"));
    }
}
