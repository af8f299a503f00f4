use std::borrow::Cow;
use std::collections::BTreeMap;

use serde::Serialize;

use crate::Response;

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

    /// A problem of this kind as an answer, `application/problem+json`: `detail` says what to do, `members` are the type's own,
    /// a map or a struct, and come last. A 401 asks for basic authentication, as it must.
    ///
    /// # Errors
    /// When `members` have no JSON form.
    pub fn response(self, detail: &str, members: &impl Serialize) -> serde_json::Result<Response> {
        #[derive(Serialize)]
        struct Body<'a, M> {
            r#type: String,
            title: &'static str,
            status: u16,
            detail: &'a str,
            #[serde(flatten)]
            members: &'a M,
        }
        let mut headers: BTreeMap<&'static str, Cow<'static, str>> =
            [("content-type", "application/problem+json".into()), ("cache-control", "no-store".into())].into();
        if self.status == Self::UNAUTHORIZED.status {
            headers.insert("www-authenticate", r#"Basic realm="trunkline", charset="UTF-8""#.into());
        }
        let body = Body {
            r#type: format!("urn:trunkline:problem:{}", self.name),
            title: self.title,
            status: self.status,
            detail,
            members,
        };
        Ok(Response { status: self.status, headers, body: serde_json::to_string(&body)? })
    }
}
