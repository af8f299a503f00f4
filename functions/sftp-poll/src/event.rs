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
}

#[derive(Deserialize)]
struct Payload {
    reprocess: Option<FileName>,
}

impl Event {
    /// Reads an invocation's payload.
    ///
    /// # Errors
    /// When the payload is not JSON, or the file's name has not the form of one.
    pub fn parse(payload: &[u8]) -> anyhow::Result<Self> {
        // A schedule without an input of its own sends an envelope, a hand-made invocation often nothing.
        if payload.is_empty() {
            return Ok(Self::Poll);
        }
        let payload: Option<Payload> =
            serde_json::from_slice(payload).context(r#"expected a schedule's event or {"reprocess": "FILE NAME"}"#)?;
        Ok(payload.and_then(|payload| payload.reprocess).map_or(Self::Poll, Self::Reprocess))
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
        check("", expect!["Poll"]);
        check("null", expect!["Poll"]);
        check("{}", expect!["Poll"]);
        check(r#"{"reprocess": null}"#, expect!["Poll"]);
        check(
            r#"{"reprocess": "../etc/passwd"}"#,
            expect![[
                r#"expected a schedule's event or {"reprocess": "FILE NAME"}: the file name must be cdr_data_YYYYMMDD_HHMMSS.csv or cdr_voice_YYYYMMDD_HHMMSS.csv, perhaps with .gz or .zst at line 1 column 30"#
            ]],
        );
        check(
            r#"{"reprocess": 7}"#,
            expect![[
                r#"expected a schedule's event or {"reprocess": "FILE NAME"}: invalid type: integer `7`, expected a string at line 1 column 15"#
            ]],
        );
        check(
            "poll",
            expect![[
                r#"expected a schedule's event or {"reprocess": "FILE NAME"}: expected value at line 1 column 1"#
            ]],
        );
    }
}
