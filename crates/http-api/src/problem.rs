use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;

use serde::Serialize;

use crate::Response;
use crate::auth::Denied;

/// A kind of problem (RFC 9457): what all problems of one type have in common.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProblemKind {
    /// The HTTP status.
    pub status: u16,
    /// The last part of the type's URN, which never changes.
    pub name: &'static str,
    /// The kind in words, the same for each of it.
    pub title: &'static str,
}

impl ProblemKind {
    /// 400: a parameter is missing or malformed.
    pub const INVALID_PARAMETER: Self = Self::new(400, "invalid-parameter", "A parameter is missing or malformed");
    /// 401: no credentials, or wrong ones; which of them is not said.
    pub const UNAUTHORIZED: Self = Self::new(401, "unauthorized", "Credentials are missing or wrong");
    /// 403: the user may not do this.
    pub const OUT_OF_SCOPE: Self = Self::new(403, "out-of-scope", "This is outside your scope");
    /// 404: no such path.
    pub const NOT_FOUND: Self = Self::new(404, "not-found", "No such path");
    /// 405: a known path, with another method.
    pub const METHOD_NOT_ALLOWED: Self = Self::new(405, "method-not-allowed", "This method is not allowed here");
    /// 429: too many wrong credentials of a name, or from an address.
    pub const TOO_MANY_ATTEMPTS: Self = Self::new(429, "too-many-attempts", "Too many wrong credentials");

    /// A kind of a function's own.
    #[must_use]
    pub const fn new(status: u16, name: &'static str, title: &'static str) -> Self {
        Self { status, name, title }
    }
}

/// Why a request has no answer; it becomes an `application/problem+json` (RFC 9457). `M` are members that a function adds.
#[derive(Debug)]
pub struct Problem<M = ()>(Box<Contents<M>>);

/// In a box, as an error is to be small.
#[derive(Debug)]
struct Contents<M> {
    kind: ProblemKind,
    detail: Cow<'static, str>,
    parameter: Option<&'static str>,
    members: Option<M>,
    header: Option<(&'static str, Cow<'static, str>)>,
    /// For the log alone.
    cause: Option<anyhow::Error>,
}

/// When a client may try again after a 503: a lost broker or database node has a successor after a few seconds.
pub const RETRY_AFTER_SECONDS: u32 = 5;

impl<M> Problem<M> {
    /// A problem of this kind; `detail` says what to do.
    pub fn new(kind: ProblemKind, detail: impl Into<Cow<'static, str>>) -> Self {
        let detail = detail.into();
        Self(Box::new(Contents { kind, detail, parameter: None, members: None, header: None, cause: None }))
    }

    /// The same with members of the type's own, a map or a struct, which come last.
    #[must_use]
    pub fn with_members(mut self, members: M) -> Self {
        self.0.members = Some(members);
        self
    }

    /// The same with a header of its own; its name is lower-case.
    #[must_use]
    pub fn with_header(mut self, name: &'static str, value: impl Into<Cow<'static, str>>) -> Self {
        self.0.header = Some((name, value.into()));
        self
    }

    /// 400: a parameter is missing or malformed; `why` says what to write.
    #[must_use]
    pub fn invalid_parameter(name: &'static str, why: &str) -> Self {
        let mut problem = Self::new(ProblemKind::INVALID_PARAMETER, format!("{name}: {why}"));
        problem.0.parameter = Some(name);
        problem
    }

    /// 404: no such path.
    #[must_use]
    pub fn not_found() -> Self {
        Self::new(ProblemKind::NOT_FOUND, "there is nothing here: see docs/api.md for the paths")
    }

    /// 405: a known path that allows only the methods of `allow`; `detail` says which to use.
    #[must_use]
    pub fn method_not_allowed(allow: &'static str, detail: &'static str) -> Self {
        Self::new(ProblemKind::METHOD_NOT_ALLOWED, detail).with_header("allow", allow)
    }

    /// 405: a known path that can only be read.
    #[must_use]
    pub fn read_only() -> Self {
        Self::method_not_allowed("GET, HEAD", "this path can only be read: use GET or HEAD")
    }

    /// 503: a service can't be used now. The client reads `title` and `detail`, the log `cause`.
    #[must_use]
    pub fn unavailable(title: &'static str, detail: impl Into<Cow<'static, str>>, cause: anyhow::Error) -> Self {
        let mut problem = Self::new(ProblemKind::new(503, "unavailable", title), detail);
        problem.0.cause = Some(cause);
        problem.with_header("retry-after", RETRY_AFTER_SECONDS.to_string())
    }

    /// The HTTP status.
    #[must_use]
    pub fn status(&self) -> u16 {
        self.0.kind.status
    }

    /// The last part of the type's URN, which never changes.
    #[must_use]
    pub fn name(&self) -> &'static str {
        self.0.kind.name
    }

    /// Members of the type's own.
    #[must_use]
    pub fn members(&self) -> Option<&M> {
        self.0.members.as_ref()
    }

    /// What failed, if something did: for the log, never for the client.
    #[must_use]
    pub fn cause(&self) -> Option<&anyhow::Error> {
        self.0.cause.as_ref()
    }
}

impl<M: Serialize> Problem<M> {
    /// The problem as an answer. A 401 asks for basic authentication, as it must.
    ///
    /// # Errors
    /// When the members have no JSON form.
    pub fn response(&self) -> serde_json::Result<Response> {
        #[derive(Serialize)]
        struct Body<'a, M> {
            r#type: String,
            title: &'static str,
            status: u16,
            detail: &'a str,
            #[serde(skip_serializing_if = "Option::is_none")]
            parameter: Option<&'static str>,
            #[serde(flatten)]
            members: Option<&'a M>,
        }
        let mut headers: BTreeMap<&'static str, Cow<'static, str>> =
            [("content-type", "application/problem+json".into()), ("cache-control", "no-store".into())].into();
        let Contents { kind, detail, parameter, members, header, .. } = &*self.0;
        if *kind == ProblemKind::UNAUTHORIZED {
            headers.insert("www-authenticate", r#"Basic realm="trunkline", charset="UTF-8""#.into());
        }
        headers.extend(header.clone());
        let body = Body {
            r#type: format!("urn:trunkline:problem:{}", kind.name),
            title: kind.title,
            status: kind.status,
            detail,
            parameter: *parameter,
            members: members.as_ref(),
        };
        Ok(Response { status: kind.status, headers, body: serde_json::to_string(&body)? })
    }
}

/// What a client reads of it: what to do.
impl<M> fmt::Display for Problem<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.detail)
    }
}

impl<M> From<Denied> for Problem<M> {
    fn from(denied: Denied) -> Self {
        match denied {
            Denied::Wrong => Self::new(
                ProblemKind::UNAUTHORIZED,
                "send the name and password of an API user by HTTP basic authentication",
            ),
            Denied::TooMany { retry_after_seconds } => Self::new(
                ProblemKind::TOO_MANY_ATTEMPTS,
                format!("there were too many wrong names or passwords: try again in {retry_after_seconds} seconds"),
            )
            .with_header("retry-after", retry_after_seconds.to_string()),
        }
    }
}

#[cfg(test)]
mod tests {
    use expect_test::{Expect, expect};

    use super::*;

    fn check<M: Serialize>(problem: &Problem<M>, expect: Expect) {
        let Response { status, mut headers, body } = problem.response().unwrap();
        assert_eq!(headers.remove("content-type").unwrap(), "application/problem+json");
        assert_eq!(headers.remove("cache-control").unwrap(), "no-store");
        expect.assert_eq(&format!("{status} {headers:?}\n{body}"));
        let row = format!("| {status} | `{}` |", problem.name());
        assert!(include_str!("../../../docs/api.md").contains(&row), "docs/api.md has no {row}");
    }

    #[test]
    fn every_problem_says_what_to_do() {
        check::<()>(
            &Problem::invalid_parameter("from", "it is missing: write …"),
            expect![[r#"
            400 {}
            {"type":"urn:trunkline:problem:invalid-parameter","title":"A parameter is missing or malformed","status":400,"detail":"from: it is missing: write …","parameter":"from"}"#]],
        );
        check::<()>(
            &Denied::Wrong.into(),
            expect![[r#"
            401 {"www-authenticate": "Basic realm=\"trunkline\", charset=\"UTF-8\""}
            {"type":"urn:trunkline:problem:unauthorized","title":"Credentials are missing or wrong","status":401,"detail":"send the name and password of an API user by HTTP basic authentication"}"#]],
        );
        check(
            &Problem::new(ProblemKind::OUT_OF_SCOPE, "ask for another").with_members(BTreeMap::from([("of", "us")])),
            expect![[r#"
            403 {}
            {"type":"urn:trunkline:problem:out-of-scope","title":"This is outside your scope","status":403,"detail":"ask for another","of":"us"}"#]],
        );
        check::<()>(
            &Problem::not_found(),
            expect![[r#"
            404 {}
            {"type":"urn:trunkline:problem:not-found","title":"No such path","status":404,"detail":"there is nothing here: see docs/api.md for the paths"}"#]],
        );
        check::<()>(
            &Problem::read_only(),
            expect![[r#"
            405 {"allow": "GET, HEAD"}
            {"type":"urn:trunkline:problem:method-not-allowed","title":"This method is not allowed here","status":405,"detail":"this path can only be read: use GET or HEAD"}"#]],
        );
        check::<()>(
            &Denied::TooMany { retry_after_seconds: 2 }.into(),
            expect![[r#"
            429 {"retry-after": "2"}
            {"type":"urn:trunkline:problem:too-many-attempts","title":"Too many wrong credentials","status":429,"detail":"there were too many wrong names or passwords: try again in 2 seconds"}"#]],
        );
        check::<()>(
            &Problem::unavailable("Not now", "try again", anyhow::anyhow!("postgres://u:secret@h: refused")),
            expect![[r#"
            503 {"retry-after": "5"}
            {"type":"urn:trunkline:problem:unavailable","title":"Not now","status":503,"detail":"try again"}"#]],
        );
    }
}
