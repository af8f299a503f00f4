use std::borrow::Cow;
use std::fmt;

use lambda_http::http::StatusCode;
use lambda_http::http::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, HeaderName, RETRY_AFTER, WWW_AUTHENTICATE};
use lambda_http::{Body, Response};
use serde::Serialize;

use crate::auth::Denied;

/// A kind of problem (RFC 9457): what all problems of one type have in common.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProblemKind {
    /// The HTTP status.
    pub status: StatusCode,
    /// The last part of the type's URN, which never changes.
    pub name: &'static str,
    /// The kind in words, the same for each of it.
    pub title: &'static str,
}

impl ProblemKind {
    /// 400: a parameter is missing or malformed.
    pub const INVALID_PARAMETER: Self =
        Self::new(StatusCode::BAD_REQUEST, "invalid-parameter", "A parameter is missing or malformed");
    /// 400: a method or a URI that no request can hold.
    pub const MALFORMED_REQUEST: Self =
        Self::new(StatusCode::BAD_REQUEST, "malformed-request", "The request can't be read");
    /// 401: no credentials, or wrong ones; which of them is not said.
    pub const UNAUTHORIZED: Self =
        Self::new(StatusCode::UNAUTHORIZED, "unauthorized", "Credentials are missing or wrong");
    /// 403: the user may not do this.
    pub const OUT_OF_SCOPE: Self = Self::new(StatusCode::FORBIDDEN, "out-of-scope", "This is outside your scope");
    /// 404: no such path.
    pub const NOT_FOUND: Self = Self::new(StatusCode::NOT_FOUND, "not-found", "No such path");
    /// 405: a known path, with another method.
    pub const METHOD_NOT_ALLOWED: Self =
        Self::new(StatusCode::METHOD_NOT_ALLOWED, "method-not-allowed", "This method is not allowed here");
    /// 429: too many wrong credentials of a name, or from an address.
    pub const TOO_MANY_ATTEMPTS: Self =
        Self::new(StatusCode::TOO_MANY_REQUESTS, "too-many-attempts", "Too many wrong credentials");

    /// A kind of a function's own.
    #[must_use]
    pub const fn new(status: StatusCode, name: &'static str, title: &'static str) -> Self {
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
    header: Option<(HeaderName, Cow<'static, str>)>,
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

    /// The same with a header of its own.
    #[must_use]
    pub fn with_header(mut self, name: HeaderName, value: impl Into<Cow<'static, str>>) -> Self {
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
        Self::new(ProblemKind::METHOD_NOT_ALLOWED, detail).with_header(ALLOW, allow)
    }

    /// 405: a known path that can only be read.
    #[must_use]
    pub fn read_only() -> Self {
        Self::method_not_allowed("GET, HEAD", "this path can only be read: use GET or HEAD")
    }

    /// 503: a service can't be used now. The client reads `title` and `detail`, the log `cause`.
    #[must_use]
    pub fn unavailable(title: &'static str, detail: impl Into<Cow<'static, str>>, cause: anyhow::Error) -> Self {
        let mut problem = Self::new(ProblemKind::new(StatusCode::SERVICE_UNAVAILABLE, "unavailable", title), detail);
        problem.0.cause = Some(cause);
        problem.with_header(RETRY_AFTER, RETRY_AFTER_SECONDS.to_string())
    }

    /// The HTTP status.
    #[must_use]
    pub fn status(&self) -> StatusCode {
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
    /// When the members have no JSON form, or a header's value is none.
    pub fn response(&self) -> anyhow::Result<Response<Body>> {
        #[derive(Serialize)]
        struct Document<'a, M> {
            r#type: String,
            title: &'static str,
            status: u16,
            detail: &'a str,
            #[serde(skip_serializing_if = "Option::is_none")]
            parameter: Option<&'static str>,
            #[serde(flatten)]
            members: Option<&'a M>,
        }
        let Contents { kind, detail, parameter, members, header, .. } = &*self.0;
        let document = Document {
            r#type: format!("urn:trunkline:problem:{}", kind.name),
            title: kind.title,
            status: kind.status.as_u16(),
            detail,
            parameter: *parameter,
            members: members.as_ref(),
        };
        let mut response = Response::builder()
            .status(kind.status)
            .header(CONTENT_TYPE, "application/problem+json")
            .header(CACHE_CONTROL, "no-store");
        if *kind == ProblemKind::UNAUTHORIZED {
            response = response.header(WWW_AUTHENTICATE, r#"Basic realm="trunkline", charset="UTF-8""#);
        }
        if let Some((name, value)) = header {
            response = response.header(name, &**value);
        }
        Ok(response.body(Body::Text(serde_json::to_string(&document)?))?)
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
            .with_header(RETRY_AFTER, retry_after_seconds.to_string()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use expect_test::{Expect, expect};

    use super::*;

    fn check<M: Serialize>(problem: &Problem<M>, expect: Expect) {
        let (mut parts, body) = problem.response().unwrap().into_parts();
        assert_eq!(parts.headers.remove(CONTENT_TYPE).unwrap(), "application/problem+json");
        assert_eq!(parts.headers.remove(CACHE_CONTROL).unwrap(), "no-store");
        let status = parts.status.as_u16();
        expect.assert_eq(&format!("{status} {:?}\n{}", parts.headers, str::from_utf8(&body).unwrap()));
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
            &Problem::new(ProblemKind::MALFORMED_REQUEST, "the path is too long"),
            expect![[r#"
            400 {}
            {"type":"urn:trunkline:problem:malformed-request","title":"The request can't be read","status":400,"detail":"the path is too long"}"#]],
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
