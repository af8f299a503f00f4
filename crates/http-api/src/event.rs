use std::borrow::Cow;
use std::collections::BTreeMap;

use anyhow::Context;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use serde::{Deserialize, Serialize};

/// What is read of an HTTP API event.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Request {
    /// `GET`, `HEAD`, ….
    pub method: String,
    /// The path without the stage; percent-encoding is left as it came.
    pub path: String,
    /// The query without its `?`, percent-encoded.
    pub query: String,
    /// The `Authorization` header.
    pub authorization: Option<String>,
    /// The `Content-Type` header.
    pub content_type: Option<String>,
    /// The body as the client sent it; empty where there is none.
    pub body: Bytes,
    /// The API's own name for this request.
    pub id: String,
    /// The address from which the client asks, as the API sees it; empty where it doesn't say.
    pub client_address: String,
}

/// An answer before it becomes the API's JSON.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Response {
    /// The HTTP status.
    pub status: u16,
    /// Lower-case names, each once.
    pub headers: BTreeMap<&'static str, Cow<'static, str>>,
    /// UTF-8 text.
    pub body: String,
}

impl Response {
    /// A good answer.
    #[must_use]
    pub fn json(body: String) -> Self {
        let headers = [("content-type", "application/json".into()), ("cache-control", "no-store".into())].into();
        Self { status: 200, headers, body }
    }
}

/// The stage that has no part in the path.
const DEFAULT_STAGE: &str = "$default";

/// Reads an event.
///
/// # Errors
/// When the payload is not an HTTP API event: the function is wired to something else. A body in base64 is the API's own
/// doing, so one that is none is such an event too.
pub fn read(payload: &[u8]) -> anyhow::Result<Request> {
    let event: Event<'_> = serde_json::from_slice(payload)
        .map_err(|error| anyhow::anyhow!("this is not an HTTP API event of payload format 2.0: {error}"))?;
    anyhow::ensure!(
        event.version == "2.0",
        "the event has payload format {}: set PayloadFormatVersion to \"2.0\"",
        event.version
    );
    let stage = event.request_context.stage.unwrap_or(Cow::Borrowed(DEFAULT_STAGE));
    let path = match event.raw_path.strip_prefix('/').and_then(|path| path.strip_prefix(stage.as_ref())) {
        Some(path) if path.starts_with('/') && stage != DEFAULT_STAGE => path.to_owned(),
        _ => event.raw_path.into_owned(),
    };
    let body = match event.body.unwrap_or_default() {
        body if event.is_base64_encoded => {
            STANDARD.decode(body.as_ref()).context("the event's body is not base64, although it says so")?.into()
        }
        body => Bytes::from(body.into_owned()),
    };
    let headers = event.headers.unwrap_or_default();
    // HTTP APIs write names in lower case; other callers of the function may not.
    let header = |wanted: &str| {
        let mut named = headers.iter().filter(|(name, _)| name.eq_ignore_ascii_case(wanted));
        named.next().map(|(_, value)| value.clone())
    };
    Ok(Request {
        method: event.request_context.http.method.into_owned(),
        path,
        query: event.raw_query_string.unwrap_or_default().into_owned(),
        authorization: header("authorization"),
        content_type: header("content-type"),
        body,
        id: event.request_context.request_id.unwrap_or_default().into_owned(),
        client_address: event.request_context.http.source_ip.unwrap_or_default().into_owned(),
    })
}

/// Writes the answer as the API wants it.
///
/// # Errors
/// Never in practice: maps of strings always have a JSON form.
pub fn write(response: &Response) -> anyhow::Result<Bytes> {
    #[derive(Serialize)]
    #[serde(rename_all = "camelCase")]
    struct Answer<'a> {
        status_code: u16,
        headers: &'a BTreeMap<&'static str, Cow<'static, str>>,
        body: &'a str,
        is_base64_encoded: bool,
        /// `cargo lambda watch` takes no answer without them.
        cookies: [&'a str; 0],
    }
    let answer = Answer {
        status_code: response.status,
        headers: &response.headers,
        body: &response.body,
        is_base64_encoded: false,
        cookies: [],
    };
    Ok(Bytes::from(serde_json::to_vec(&answer)?))
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Event<'a> {
    #[serde(borrow)]
    version: Cow<'a, str>,
    #[serde(borrow)]
    raw_path: Cow<'a, str>,
    #[serde(borrow)]
    raw_query_string: Option<Cow<'a, str>>,
    headers: Option<BTreeMap<String, String>>,
    #[serde(borrow)]
    body: Option<Cow<'a, str>>,
    #[serde(default)]
    is_base64_encoded: bool,
    #[serde(borrow)]
    request_context: RequestContext<'a>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RequestContext<'a> {
    #[serde(borrow)]
    http: Http<'a>,
    #[serde(borrow)]
    stage: Option<Cow<'a, str>>,
    #[serde(borrow)]
    request_id: Option<Cow<'a, str>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Http<'a> {
    #[serde(borrow)]
    method: Cow<'a, str>,
    #[serde(borrow)]
    source_ip: Option<Cow<'a, str>>,
}

#[cfg(test)]
mod tests {
    use expect_test::{Expect, expect};

    use super::*;

    fn check(event: &str, expect: Expect) {
        match read(event.as_bytes()) {
            Ok(request) => expect.assert_eq(&format!("{request:?}")),
            Err(error) => expect.assert_eq(&format!("{error:#}")),
        }
    }

    #[test]
    fn reads_what_the_api_sends() {
        check(
            r#"{"version":"2.0","rawPath":"/health","requestContext":{"http":{"method":"GET"}}}"#,
            expect![[
                r#"Request { method: "GET", path: "/health", query: "", authorization: None, content_type: None, body: b"", id: "", client_address: "" }"#
            ]],
        );
        check(
            r#"{"version":"2.0","rawPath":"/prod/health","rawQueryString":"a=%2B<\u00e9","headers":{"Authorization":"Basic eA=="},
                "requestContext":{"stage":"prod","requestId":"Id=","http":{"method":"HEAD","path":"/prod/health"}}}"#,
            expect![[
                r#"Request { method: "HEAD", path: "/health", query: "a=%2B<é", authorization: Some("Basic eA=="), content_type: None, body: b"", id: "Id=", client_address: "" }"#
            ]],
        );
        check(
            r#"{"version":"2.0","rawPath":"/production/x","requestContext":{"stage":"prod","http":{"method":"GET"}}}"#,
            expect![[
                r#"Request { method: "GET", path: "/production/x", query: "", authorization: None, content_type: None, body: b"", id: "", client_address: "" }"#
            ]],
        );
    }

    #[test]
    fn reads_the_body_that_the_client_sent() {
        check(
            r#"{"version":"2.0","rawPath":"/x","headers":{"content-type":"application/json"},"body":"{\"é\":1}\n",
                "isBase64Encoded":false,"requestContext":{"http":{"method":"POST"}}}"#,
            expect![[
                r#"Request { method: "POST", path: "/x", query: "", authorization: None, content_type: Some("application/json"), body: b"{\"\xc3\xa9\":1}\n", id: "", client_address: "" }"#
            ]],
        );
        check(
            r#"{"version":"2.0","rawPath":"/x","headers":{"Content-Type":"application/x-ndjson"},"body":"e30KAP8=",
                "isBase64Encoded":true,"requestContext":{"http":{"method":"POST"}}}"#,
            expect![[
                r#"Request { method: "POST", path: "/x", query: "", authorization: None, content_type: Some("application/x-ndjson"), body: b"{}\n\0\xff", id: "", client_address: "" }"#
            ]],
        );
        check(
            r#"{"version":"2.0","rawPath":"/x","body":"{}","isBase64Encoded":true,"requestContext":{"http":{"method":"POST"}}}"#,
            expect!["the event's body is not base64, although it says so: Invalid symbol 123, offset 0."],
        );
    }

    #[test]
    fn refuses_other_events() {
        check(
            r#"{"version":"1.0","rawPath":"/","requestContext":{"http":{"method":"GET"}}}"#,
            expect![[r#"the event has payload format 1.0: set PayloadFormatVersion to "2.0""#]],
        );
        check(
            r#"{"eventSource":"SelfManagedKafka","records":{}}"#,
            expect!["this is not an HTTP API event of payload format 2.0: missing field `version` at line 1 column 47"],
        );
        check(
            "[",
            expect!["this is not an HTTP API event of payload format 2.0: EOF while parsing a list at line 1 column 1"],
        );
    }

    #[test]
    fn writes_what_the_api_wants() {
        let response = Response { status: 200, headers: [("a-b", "c".into())].into(), body: "{\"é\":1}".into() };
        expect![[
            r#"{"statusCode":200,"headers":{"a-b":"c"},"body":"{\"é\":1}","isBase64Encoded":false,"cookies":[]}"#
        ]]
        .assert_eq(std::str::from_utf8(&write(&response).unwrap()).unwrap());
    }
}
