use std::fmt;

use anyhow::{Context, ensure};
use lake::bronze::Hour;
use serde::{Deserialize, Serialize};

/// What is to be done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Event {
    /// A schedule's event: load what is new.
    #[default]
    Schedule,
    /// `{"load": {…}}`: load what is new, and what else is asked for.
    Load(Request),
}

/// What is asked for besides loading what is new.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Request {
    /// Waits for a run that is at work. Otherwise the answer is that one is at work, and nothing is done.
    #[serde(default)]
    pub wait: bool,
    /// Rebuild the incremental models.
    #[serde(default)]
    pub full_refresh: bool,
    /// Load again what came from this hour on: silver objects are written again, missing rows are restored.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<LoadHour>,
    /// Load again what came before this hour.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<LoadHour>,
}

/// An hour in which records came, by their Kafka timestamps in UTC. Text form: `2024-01-01T05`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct LoadHour(pub Hour);

const EXPECTED: &str = "expected a schedule's event or {\"load\": {\"from\": \"2024-01-01T00\", \"to\": \"2024-01-02T00\", \
                        \"full_refresh\": true, \"wait\": true}}";

#[derive(Deserialize)]
struct Payload {
    load: Option<Request>,
}

impl Event {
    /// Reads an invocation's payload.
    ///
    /// # Errors
    /// When the payload is not JSON, or asks for something that is not known.
    pub fn parse(payload: &[u8]) -> anyhow::Result<Self> {
        // A schedule without an input sends an envelope; an invocation by hand often sends nothing.
        if payload.is_empty() {
            return Ok(Self::Schedule);
        }
        let payload: Option<Payload> = serde_json::from_slice(payload).context(EXPECTED)?;
        let Some(request) = payload.and_then(|payload| payload.load) else { return Ok(Self::Schedule) };
        if let (Some(from), Some(to)) = (request.from, request.to) {
            ensure!(from < to, "there is no hour from {from} to before {to}");
        }
        Ok(Self::Load(request))
    }

    /// The payload that asks for this.
    pub fn to_json(self) -> String {
        match self {
            Self::Schedule => "{}".to_owned(),
            Self::Load(request) => serde_json::json!({ "load": request }).to_string(),
        }
    }

    pub(crate) fn request(self) -> Request {
        match self {
            Self::Schedule => Request::default(),
            Self::Load(request) => request,
        }
    }

    /// As `ops.runs` says it.
    pub(crate) fn cause(self) -> &'static str {
        match self {
            Self::Schedule => "schedule",
            Self::Load(request) if request.range().is_some() => "backfill",
            Self::Load(_) => "request",
        }
    }
}

impl Request {
    /// The hours that are to be loaded again: from the first to before the second.
    pub(crate) fn range(&self) -> Option<(Hour, Option<Hour>)> {
        match (self.from, self.to) {
            (None, None) => None,
            (from, to) => Some((from.map_or(Hour::of(0), |from| from.0), to.map(|to| to.0))),
        }
    }
}

impl std::str::FromStr for LoadHour {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        text.split_once('T')
            .and_then(|(date, hour)| format!("date={date}/hour={hour}").parse().ok())
            .map(Self)
            .ok_or_else(|| "an hour is written 2024-01-01T05 (UTC)".to_owned())
    }
}

impl TryFrom<String> for LoadHour {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<LoadHour> for String {
    fn from(hour: LoadHour) -> Self {
        hour.to_string()
    }
}

impl fmt::Display for LoadHour {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = self.0.to_string().replace("date=", "").replace("/hour=", "T");
        f.write_str(&text)
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
                Ok(event) => expect.assert_eq(&format!("{} {}", event.cause(), event.to_json())),
                Err(error) => expect.assert_eq(&format!("{error:#}")),
            }
        }
        check(include_str!("../../../events/lake-loader/schedule.json"), expect!["schedule {}"]);
        check(
            include_str!("../../../events/lake-loader/backfill.json"),
            expect![[
                r#"backfill {"load":{"from":"2024-01-01T00","full_refresh":false,"to":"2024-01-02T00","wait":false}}"#
            ]],
        );
        check(
            include_str!("../../../events/lake-loader/full-refresh.json"),
            expect![[r#"request {"load":{"full_refresh":true,"wait":true}}"#]],
        );
        check("", expect!["schedule {}"]);
        check("null", expect!["schedule {}"]);
        check(r#"{"load": {}}"#, expect![[r#"request {"load":{"full_refresh":false,"wait":false}}"#]]);
        check(
            r#"{"load": {"from": "2024-01-01T05", "to": "2024-01-01T05"}}"#,
            expect!["there is no hour from 2024-01-01T05 to before 2024-01-01T05"],
        );
        check(
            r#"{"load": {"from": "2024-01-01"}}"#,
            expect![[
                r#"expected a schedule's event or {"load": {"from": "2024-01-01T00", "to": "2024-01-02T00", "full_refresh": true, "wait": true}}: an hour is written 2024-01-01T05 (UTC) at line 1 column 31"#
            ]],
        );
        check(
            r#"{"load": {"form": "2024-01-01T00"}}"#,
            expect![[
                r#"expected a schedule's event or {"load": {"from": "2024-01-01T00", "to": "2024-01-02T00", "full_refresh": true, "wait": true}}: unknown field `form`, expected one of `wait`, `full_refresh`, `from`, `to` at line 1 column 16"#
            ]],
        );
    }
}
