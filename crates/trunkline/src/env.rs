//! `trunkline env`: the template's environment, with its parameters filled in, for tools that start the functions themselves.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use anyhow::bail;
use local_runtime::Function;

use crate::cli::EnvArgs;
use crate::functions::Project;

pub(crate) fn run(args: &EnvArgs) -> anyhow::Result<()> {
    crate::logs::to_stderr();
    let project = Project::read(&args.template)?;
    let functions: Vec<&Function> = if args.functions.is_empty() {
        project.template.functions.iter().collect()
    } else {
        args.functions.iter().map(|name| project.function(name)).collect::<anyhow::Result<_>>()?
    };
    let environments = functions.iter().map(|function| (function.name.as_str(), project.environment(function)));
    print!("{}", file(environments)?);
    Ok(())
}

/// One file for all these functions, since `cargo lambda watch` takes one.
fn file<'a>(environments: impl Iterator<Item = (&'a str, BTreeMap<String, String>)>) -> anyhow::Result<String> {
    let mut together: BTreeMap<String, (String, &str)> = BTreeMap::new();
    for (function, environment) in environments {
        for (name, value) in environment {
            match together.entry(name) {
                Entry::Vacant(entry) => {
                    entry.insert((value, function));
                }
                Entry::Occupied(entry) if entry.get().0 == value => {}
                Entry::Occupied(entry) => {
                    bail!("{} is not the same for {} and {function}: name one of them", entry.key(), entry.get().1)
                }
            }
        }
    }
    together.iter().map(|(name, (value, _))| line(name, value)).collect()
}

/// A line that `cargo lambda`, `docker compose` and a shell read alike. None of them knows a way to write a `'` that the
/// others know, and `cargo lambda` makes a line break of `\n`.
fn line(name: &str, value: &str) -> anyhow::Result<String> {
    if value.contains('\'') || value.contains("\\n") {
        bail!("{name} holds a ' or a \\n, which the readers of such files don't agree on: use a value without it");
    }
    let is_plain = value.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+,-./:@_".contains(&byte));
    Ok(if is_plain { format!("{name}={value}\n") } else { format!("{name}='{value}'\n") })
}

#[cfg(test)]
mod tests {
    use expect_test::{Expect, expect};

    use super::*;

    fn check(environments: &[(&str, &[(&str, &str)])], expect: Expect) {
        let environments = environments.iter().map(|(function, variables)| {
            (*function, variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect())
        });
        match file(environments) {
            Ok(text) => expect.assert_eq(&text),
            Err(error) => expect.assert_eq(&error.to_string()),
        }
    }

    #[test]
    fn one_file_for_several_functions() {
        check(
            &[
                ("a", &[("KAFKA_BROKERS", "127.0.0.1:9092,127.0.0.1:9093"), ("KAFKA_TLS_CA", "")]),
                ("b", &[("API_USERS", r#"[{"user":"a","password_hash":"$argon2id$v=19"}]"#), ("KAFKA_TLS_CA", "")]),
            ],
            expect![[r#"
                API_USERS='[{"user":"a","password_hash":"$argon2id$v=19"}]'
                KAFKA_BROKERS=127.0.0.1:9092,127.0.0.1:9093
                KAFKA_TLS_CA=
            "#]],
        );
        check(&[("a", &[("X", "two\nlines")])], expect!["X='two\nlines'\n"]);
        check(
            &[("a", &[("X", "1")]), ("b", &[("X", "2")])],
            expect!["X is not the same for a and b: name one of them"],
        );
        for value in ["it's", r"two\nlines"] {
            check(
                &[("a", &[("X", value)])],
                expect![r"X holds a ' or a \n, which the readers of such files don't agree on: use a value without it"],
            );
        }
    }
}
