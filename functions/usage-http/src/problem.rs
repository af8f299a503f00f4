use http_api::auth::Denied;
use http_api::{ProblemKind, Response};
use serde::Serialize;

/// Why a request has no answer; each becomes an `application/problem+json` (RFC 9457).
#[derive(Debug, thiserror::Error)]
pub enum Problem {
    /// 400: a parameter is missing or malformed.
    #[error("{name}: {why}")]
    InvalidParameter {
        /// The parameter's name.
        name: &'static str,
        /// What is wrong, and what to write.
        why: String,
    },
    /// 401: no credentials, or wrong ones; which of them is not said.
    #[error("send the name and password of an API user by HTTP basic authentication")]
    Unauthorized,
    /// 403: the user may not see this subscriber, who may exist or not.
    #[error("this MSISDN is outside your scope: ask for another, or have your scope widened")]
    OutOfScope,
    /// 403: a tower's traffic is everybody's, and the user may not see everybody's.
    #[error("a tower's traffic is everybody's: ask as a user whose scope is everybody (\"*\")")]
    TowersOutOfScope,
    /// 403: the dashboard shows everybody's usage.
    #[error("the dashboard shows everybody's usage: ask as a user whose scope is everybody (\"*\")")]
    DashboardOutOfScope,
    /// 404: nobody has said where the dashboard's figures are.
    #[error("there is no dashboard here: it needs the warehouse, so set DATABASE_URL")]
    NoDashboard,
    /// 404: a file of the dashboard without anything to put into it.
    #[error("this table has nothing to show: the dashboard says why")]
    EmptyTable,
    /// 404: the place in the ranking is another subscriber's by now.
    #[error("the ranking has changed since: go back to the dashboard and follow the link again")]
    NotInRanking,
    /// 404: no such path.
    #[error("there is nothing here: see docs/api.md for the paths")]
    NotFound,
    /// 405: a known path, but only for reading.
    #[error("this path can only be read: use GET or HEAD")]
    MethodNotAllowed,
    /// 429: too many wrong credentials of this name, or from this address.
    #[error("there were too many wrong names or passwords: try again in {retry_after_seconds} seconds")]
    TooManyAttempts {
        /// Until the next one is looked at.
        retry_after_seconds: u64,
    },
    /// 503: the store or the users can't be read now; the source is for the log.
    #[error("usage can't be read just now: try again in {RETRY_AFTER_SECONDS} seconds")]
    Unavailable(#[source] anyhow::Error),
}

/// When a client may try again after a 503: a failover of the store takes a few seconds.
const RETRY_AFTER_SECONDS: u32 = 5;

impl Problem {
    /// The HTTP status.
    #[must_use]
    pub fn status(&self) -> u16 {
        self.kind().status
    }

    /// The last part of the type's URN, which never changes.
    #[must_use]
    pub fn name(&self) -> &'static str {
        self.kind().name
    }

    fn kind(&self) -> ProblemKind {
        match self {
            Self::InvalidParameter { .. } => {
                ProblemKind::new(400, "invalid-parameter", "A parameter is missing or malformed")
            }
            Self::Unauthorized => ProblemKind::UNAUTHORIZED,
            Self::OutOfScope | Self::TowersOutOfScope | Self::DashboardOutOfScope => ProblemKind::OUT_OF_SCOPE,
            Self::NotFound | Self::NoDashboard | Self::EmptyTable | Self::NotInRanking => ProblemKind::NOT_FOUND,
            Self::MethodNotAllowed => ProblemKind::METHOD_NOT_ALLOWED,
            Self::TooManyAttempts { .. } => ProblemKind::TOO_MANY_ATTEMPTS,
            Self::Unavailable(_) => ProblemKind::new(503, "unavailable", "Usage can't be read just now"),
        }
    }

    /// The problem as an answer.
    ///
    /// # Errors
    /// Never in practice: strings and numbers always have a JSON form.
    pub fn response(&self) -> serde_json::Result<Response> {
        #[derive(Serialize)]
        struct Members {
            #[serde(skip_serializing_if = "Option::is_none")]
            parameter: Option<&'static str>,
        }
        let parameter = if let Self::InvalidParameter { name, .. } = self { Some(*name) } else { None };
        let mut response = self.kind().response(&self.to_string(), &Members { parameter })?;
        let header = match self {
            Self::MethodNotAllowed => Some(("allow", "GET, HEAD".into())),
            Self::TooManyAttempts { retry_after_seconds } => {
                Some(("retry-after", retry_after_seconds.to_string().into()))
            }
            Self::Unavailable(_) => Some(("retry-after", RETRY_AFTER_SECONDS.to_string().into())),
            _ => None,
        };
        response.headers.extend(header);
        Ok(response)
    }
}

impl From<Denied> for Problem {
    fn from(denied: Denied) -> Self {
        match denied {
            Denied::Wrong => Self::Unauthorized,
            Denied::TooMany { retry_after_seconds } => Self::TooManyAttempts { retry_after_seconds },
        }
    }
}

#[cfg(test)]
mod tests {
    use expect_test::{Expect, expect};

    use super::*;

    fn check(problem: &Problem, expect: Expect) {
        let Response { status, mut headers, body } = problem.response().unwrap();
        assert_eq!(headers.remove("content-type").unwrap(), "application/problem+json");
        assert_eq!(headers.remove("cache-control").unwrap(), "no-store");
        expect.assert_eq(&format!("{status} {headers:?}\n{body}"));
        let row = format!("| {status} | `{}` |", problem.name());
        assert!(include_str!("../../../docs/api.md").contains(&row), "docs/api.md has no {row}");
    }

    #[test]
    fn every_problem_says_what_to_do() {
        check(
            &Problem::InvalidParameter { name: "from", why: "it is missing: write …".into() },
            expect![[r#"
            400 {}
            {"type":"urn:trunkline:problem:invalid-parameter","title":"A parameter is missing or malformed","status":400,"detail":"from: it is missing: write …","parameter":"from"}"#]],
        );
        check(
            &Problem::Unauthorized,
            expect![[r#"
            401 {"www-authenticate": "Basic realm=\"trunkline\", charset=\"UTF-8\""}
            {"type":"urn:trunkline:problem:unauthorized","title":"Credentials are missing or wrong","status":401,"detail":"send the name and password of an API user by HTTP basic authentication"}"#]],
        );
        check(
            &Problem::OutOfScope,
            expect![[r#"
            403 {}
            {"type":"urn:trunkline:problem:out-of-scope","title":"This is outside your scope","status":403,"detail":"this MSISDN is outside your scope: ask for another, or have your scope widened"}"#]],
        );
        check(
            &Problem::TowersOutOfScope,
            expect![[r#"
            403 {}
            {"type":"urn:trunkline:problem:out-of-scope","title":"This is outside your scope","status":403,"detail":"a tower's traffic is everybody's: ask as a user whose scope is everybody (\"*\")"}"#]],
        );
        check(
            &Problem::DashboardOutOfScope,
            expect![[r#"
            403 {}
            {"type":"urn:trunkline:problem:out-of-scope","title":"This is outside your scope","status":403,"detail":"the dashboard shows everybody's usage: ask as a user whose scope is everybody (\"*\")"}"#]],
        );
        check(
            &Problem::NoDashboard,
            expect![[r#"
            404 {}
            {"type":"urn:trunkline:problem:not-found","title":"No such path","status":404,"detail":"there is no dashboard here: it needs the warehouse, so set DATABASE_URL"}"#]],
        );
        check(
            &Problem::EmptyTable,
            expect![[r#"
            404 {}
            {"type":"urn:trunkline:problem:not-found","title":"No such path","status":404,"detail":"this table has nothing to show: the dashboard says why"}"#]],
        );
        check(
            &Problem::NotInRanking,
            expect![[r#"
            404 {}
            {"type":"urn:trunkline:problem:not-found","title":"No such path","status":404,"detail":"the ranking has changed since: go back to the dashboard and follow the link again"}"#]],
        );
        check(
            &Problem::NotFound,
            expect![[r#"
            404 {}
            {"type":"urn:trunkline:problem:not-found","title":"No such path","status":404,"detail":"there is nothing here: see docs/api.md for the paths"}"#]],
        );
        check(
            &Problem::MethodNotAllowed,
            expect![[r#"
            405 {"allow": "GET, HEAD"}
            {"type":"urn:trunkline:problem:method-not-allowed","title":"This method is not allowed here","status":405,"detail":"this path can only be read: use GET or HEAD"}"#]],
        );
        check(
            &Problem::TooManyAttempts { retry_after_seconds: 2 },
            expect![[r#"
            429 {"retry-after": "2"}
            {"type":"urn:trunkline:problem:too-many-attempts","title":"Too many wrong credentials","status":429,"detail":"there were too many wrong names or passwords: try again in 2 seconds"}"#]],
        );
        check(
            &Problem::Unavailable(anyhow::anyhow!("postgres://u:secret@h: refused")),
            expect![[r#"
            503 {"retry-after": "5"}
            {"type":"urn:trunkline:problem:unavailable","title":"Usage can't be read just now","status":503,"detail":"usage can't be read just now: try again in 5 seconds"}"#]],
        );
    }
}
