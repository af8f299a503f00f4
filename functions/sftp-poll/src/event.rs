use std::time::Duration;

use anyhow::Context;
use serde::Deserialize;
use telecom::FileName;

/// What is to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// A schedule's event: look for new files, once.
    Poll,
    /// `{"look_every_seconds": 1, "look_for_seconds": 59}`: look for new files until the schedule's next event.
    Watch(Watch),
    /// `{"reprocess": NAME}`: announce this landed file again.
    Reprocess(FileName),
    /// `{"accept": NAME}`: the version of the file that waits counts, beside what it waits for.
    Accept(FileName),
    /// `{"replace": NAME}`: it counts, and what it waits for is taken back.
    Replace(FileName),
    /// `{"drop": NAME}`: it does not count.
    Drop(FileName),
}

/// How long an invocation looks for new files, and how often.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Watch {
    /// The pause between two looks.
    pub every: Duration,
    /// When the last look begins at the latest, from the start.
    pub lasts: Duration,
}

#[derive(Deserialize)]
struct Payload {
    look_every_seconds: Option<u32>,
    look_for_seconds: Option<u32>,
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
        let expected = r#"expected a schedule's event, {"look_every_seconds": N, "look_for_seconds": N}, or {"reprocess": "FILE NAME"}, or the same with accept, replace or drop"#;
        let payload: Option<Payload> = serde_json::from_slice(payload).context(expected)?;
        let Some(payload) = payload else { return Ok(Self::Poll) };
        let Payload { reprocess, accept, replace, drop, .. } = payload;
        match (reprocess, accept, replace, drop) {
            (None, None, None, None) => payload.looks().context(expected),
            (Some(name), None, None, None) => Ok(Self::Reprocess(name)),
            (None, Some(name), None, None) => Ok(Self::Accept(name)),
            (None, None, Some(name), None) => Ok(Self::Replace(name)),
            (None, None, None, Some(name)) => Ok(Self::Drop(name)),
            _ => anyhow::bail!("{expected}: one of them at a time"),
        }
    }
}

impl Payload {
    fn looks(&self) -> anyhow::Result<Event> {
        match (self.look_every_seconds, self.look_for_seconds) {
            (None, None) | (Some(0), Some(_)) => Ok(Event::Poll),
            (Some(every), Some(lasts)) => {
                let [every, lasts] = [every, lasts].map(|seconds| Duration::from_secs(seconds.into()));
                Ok(Event::Watch(Watch { every, lasts }))
            }
            _ => anyhow::bail!("look_every_seconds and look_for_seconds go together"),
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
        check(
            r#"{"look_every_seconds": 2, "look_for_seconds": 59}"#,
            expect!["Watch(Watch { every: 2s, lasts: 59s })"],
        );
        check(r#"{"look_every_seconds": 0, "look_for_seconds": 59}"#, expect!["Poll"]);
        check(
            r#"{"look_every_seconds": 2}"#,
            expect![[
                r#"expected a schedule's event, {"look_every_seconds": N, "look_for_seconds": N}, or {"reprocess": "FILE NAME"}, or the same with accept, replace or drop: look_every_seconds and look_for_seconds go together"#
            ]],
        );
        check("", expect!["Poll"]);
        check("null", expect!["Poll"]);
        check("{}", expect!["Poll"]);
        check(r#"{"reprocess": null}"#, expect!["Poll"]);
        check(
            r#"{"reprocess": "../etc/passwd"}"#,
            expect![[
                r#"expected a schedule's event, {"look_every_seconds": N, "look_for_seconds": N}, or {"reprocess": "FILE NAME"}, or the same with accept, replace or drop: the file name must be cdr_data_YYYYMMDD_HHMMSS.csv or cdr_voice_YYYYMMDD_HHMMSS.csv, perhaps with .gz or .zst at line 1 column 30"#
            ]],
        );
        check(
            r#"{"reprocess": 7}"#,
            expect![[
                r#"expected a schedule's event, {"look_every_seconds": N, "look_for_seconds": N}, or {"reprocess": "FILE NAME"}, or the same with accept, replace or drop: invalid type: integer `7`, expected a string at line 1 column 15"#
            ]],
        );
        let name = "cdr_data_20240101_120000.csv";
        check(
            &format!(r#"{{"accept": "{name}", "drop": "{name}"}}"#),
            expect![[
                r#"expected a schedule's event, {"look_every_seconds": N, "look_for_seconds": N}, or {"reprocess": "FILE NAME"}, or the same with accept, replace or drop: one of them at a time"#
            ]],
        );
        check(
            "poll",
            expect![[
                r#"expected a schedule's event, {"look_every_seconds": N, "look_for_seconds": N}, or {"reprocess": "FILE NAME"}, or the same with accept, replace or drop: expected value at line 1 column 1"#
            ]],
        );
    }
}
