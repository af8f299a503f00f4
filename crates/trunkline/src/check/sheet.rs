//! What was found out about one service.

use std::fmt;

use serde::Serialize;

/// A service, and what was tried there, in that order.
#[derive(Serialize)]
pub(crate) struct Sheet {
    service: &'static str,
    findings: Vec<Finding>,
}

/// Something that was tried.
#[derive(Serialize)]
struct Finding {
    ok: bool,
    /// What works; or what does not, and what to do about it.
    message: String,
}

impl Sheet {
    pub(super) fn of(service: &'static str) -> Self {
        Self { service, findings: Vec::new() }
    }

    pub(super) fn ok(&mut self, message: impl Into<String>) {
        self.findings.push(Finding { ok: true, message: message.into() });
    }

    /// What is wrong, and what to do about it.
    pub(super) fn fault(&mut self, message: impl Into<String>) {
        self.findings.push(Finding { ok: false, message: message.into() });
    }

    pub(super) fn findings(&self) -> usize {
        self.findings.len()
    }

    /// What is wrong.
    pub(super) fn faults(&self) -> impl Iterator<Item = &str> {
        self.findings.iter().filter(|finding| !finding.ok).map(|finding| finding.message.as_str())
    }
}

/// A line for each finding.
impl fmt::Display for Sheet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let service = self.service;
        for Finding { ok, message } in &self.findings {
            let verdict = if *ok { "ok" } else { "FAULT" };
            // One line each, whatever a server said.
            let message = message.split_whitespace().collect::<Vec<_>>().join(" ");
            writeln!(f, "{verdict:<5}  {service:<9}  {message}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::*;

    #[test]
    fn a_finding_is_a_line() {
        let mut sheet = Sheet::of("kafka");
        sheet.ok("3 brokers answer");
        sheet.fault("topic a\n  is missing");
        expect![[r"
            ok     kafka      3 brokers answer
            FAULT  kafka      topic a is missing
        "]]
        .assert_eq(&sheet.to_string());
        expect![[
            r#"{"service":"kafka","findings":[{"ok":true,"message":"3 brokers answer"},{"ok":false,"message":"topic a\n  is missing"}]}"#
        ]]
        .assert_eq(&serde_json::to_string(&sheet).expect("JSON"));
        assert_eq!(sheet.faults().count(), 1);
    }
}
