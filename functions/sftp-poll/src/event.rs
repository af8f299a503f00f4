use anyhow::Context;
use serde::Deserialize;
use telecom::FileName;

/// What is to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// A schedule's event: look for new files.
    Poll,
    /// `{"reprocess": NAME}`: announce this landed file again.
    Reprocess(FileName),
    /// `{"accept": NAME}`: the version of the file that waits counts, beside what it waits for.
    Accept(FileName),
    /// `{"replace": NAME}`: it counts, and what it waits for is taken back.
    Replace(FileName),
    /// `{"drop": NAME}`: it does not count.
    Drop(FileName),
}

#[derive(Deserialize)]
struct Payload {
    reprocess: Option<FileName>,
    accept: Option<FileName>,
    replace: Option<FileName>,
    drop: Option<FileName>,
}

impl Event {
    /// Reads an invocation's payload.
    ///
    /// # Errors
    /// When the payload is not JSON, asks for two things at once, or the file's name has not the form of one.
    pub fn parse(payload: &[u8]) -> anyhow::Result<Self> {
        // A schedule without an input of its own sends an envelope, a hand-made invocation often nothing.
        if payload.is_empty() {
            return Ok(Self::Poll);
        }
        let expected =
            r#"expected a schedule's event, or {"reprocess": "FILE NAME"}, or the same with accept, replace or drop"#;
        let payload: Option<Payload> = serde_json::from_slice(payload).context(expected)?;
        let Some(Payload { reprocess, accept, replace, drop }) = payload else { return Ok(Self::Poll) };
        match (reprocess, accept, replace, drop) {
            (None, None, None, None) => Ok(Self::Poll),
            (Some(name), None, None, None) => Ok(Self::Reprocess(name)),
            (None, Some(name), None, None) => Ok(Self::Accept(name)),
            (None, None, Some(name), None) => Ok(Self::Replace(name)),
            (None, None, None, Some(name)) => Ok(Self::Drop(name)),
            _ => anyhow::bail!("{expected}: one of them at a time"),
        }
    }
}

#[cfg(test)]
mod tests {
    use expect_test::{Expect, expect};

    use super::*;

    #[test]
    fn payloads() {
        fn check(payload: &str, expect: Expect) {
            match Event::parse(payload.as_bytes()) {
                Ok(event) => expect.assert_eq(&format!("{event:?}")),
                Err(error) => expect.assert_eq(&format!("{error:#}")),
            }
        }
        check(include_str!("../../../events/sftp-poll/schedule.json"), expect!["Poll"]);
        check(
            include_str!("../../../events/sftp-poll/reprocess.json"),
            expect![[r#"Reprocess("cdr_data_20240101_120000.csv")"#]],
        );
        check(
            include_str!("../../../events/sftp-poll/accept.json"),
            expect![[r#"Accept("cdr_data_20240101_120000.csv")"#]],
        );
        check(
            include_str!("../../../events/sftp-poll/replace.json"),
            expect![[r#"Replace("cdr_data_20240101_120000.csv")"#]],
        );
        check(
            include_str!("../../../events/sftp-poll/drop.json"),
            expect![[r#"Drop("cdr_data_20240101_120000.csv")"#]],
        );
        check("", expect!["Poll"]);
        check("null", expect!["Poll"]);
        check("{}", expect!["Poll"]);
        check(r#"{"reprocess": null}"#, expect!["Poll"]);
        check(
            r#"{"reprocess": "../etc/passwd"}"#,
            expect![[
                r#"expected a schedule's event, or {"reprocess": "FILE NAME"}, or the same with accept, replace or drop: the file name must be cdr_data_YYYYMMDD_HHMMSS.csv or cdr_voice_YYYYMMDD_HHMMSS.csv, perhaps with .gz or .zst at line 1 column 30"#
            ]],
        );
        check(
            r#"{"reprocess": 7}"#,
            expect![[
                r#"expected a schedule's event, or {"reprocess": "FILE NAME"}, or the same with accept, replace or drop: invalid type: integer `7`, expected a string at line 1 column 15"#
            ]],
        );
        let name = "cdr_data_20240101_120000.csv";
        check(
            &format!(r#"{{"accept": "{name}", "drop": "{name}"}}"#),
            expect![[
                r#"expected a schedule's event, or {"reprocess": "FILE NAME"}, or the same with accept, replace or drop: one of them at a time"#
            ]],
        );
        check(
            "poll",
            expect![[
                r#"expected a schedule's event, or {"reprocess": "FILE NAME"}, or the same with accept, replace or drop: expected value at line 1 column 1"#
            ]],
        );
    }
}
