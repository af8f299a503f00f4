//! The API's JSON, in and out.

use std::borrow::Cow;
use std::collections::BTreeMap;

use anyhow::Context;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use lambda_http::aws_lambda_events::apigw::{ApiGatewayV2httpRequestContext, ApiGatewayV2httpResponse};
use lambda_http::http::{self, HeaderMap, HeaderName, HeaderValue, Uri};
use lambda_http::request::RequestContext;
use lambda_http::{Body, Request, RequestExt, Response};
use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};
use serde::Deserialize;

use crate::problem::{Problem, ProblemKind};

/// What a URI can't hold in a query. A `%` can stand there: what the client encoded stays as it is.
const NOT_IN_QUERY: &AsciiSet = &CONTROLS
    .add(b' ')
    .add(b'"')
    .add(b'#')
    .add(b'<')
    .add(b'>')
    .add(b'\\')
    .add(b'^')
    .add(b'`')
    .add(b'{')
    .add(b'|')
    .add(b'}');

/// What it can't hold in a path.
const NOT_IN_PATH: &AsciiSet = &NOT_IN_QUERY.add(b'?');

/// The stage that is no part of the path.
const DEFAULT_STAGE: &str = "$default";

/// An HTTP API event (payload format 2.0).
#[derive(Debug)]
pub struct Event<'a> {
    json: EventJson<'a>,
    body: Body,
}

/// The event's JSON, as far as it is read. It is not `ApiGatewayV2httpRequest`: that one fails as a whole where the crate
/// `http` does not take a header or the method, and its error repeats what the client wrote.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct EventJson<'a> {
    #[serde(borrow)]
    version: Cow<'a, str>,
    #[serde(borrow)]
    raw_path: Cow<'a, str>,
    #[serde(borrow)]
    raw_query_string: Option<Cow<'a, str>>,
    headers: Option<BTreeMap<String, String>>,
    body: Option<String>,
    #[serde(default)]
    is_base64_encoded: bool,
    #[serde(borrow)]
    request_context: ContextJson<'a>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct ContextJson<'a> {
    #[serde(borrow)]
    http: HttpJson<'a>,
    stage: Option<String>,
    request_id: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct HttpJson<'a> {
    #[serde(borrow)]
    method: Cow<'a, str>,
    source_ip: Option<String>,
}

impl<'a> Event<'a> {
    /// Reads an event.
    ///
    /// # Errors
    /// When the payload is not an HTTP API event: the trigger points at the wrong function. The API itself encodes a
    /// body in base64, so a body that only says so is such an event too.
    pub fn read(payload: &'a [u8]) -> anyhow::Result<Self> {
        let mut json: EventJson<'_> = serde_json::from_slice(payload)
            .map_err(|error| anyhow::anyhow!("this is not an HTTP API event of payload format 2.0: {error}"))?;
        anyhow::ensure!(
            json.version == "2.0",
            "the event has payload format {}: set PayloadFormatVersion to \"2.0\"",
            json.version
        );
        let body = match json.body.take() {
            None => Body::Empty,
            Some(text) if json.is_base64_encoded => {
                let bytes = STANDARD.decode(text);
                Body::Binary(bytes.context("the event's body is not base64, although it says so")?)
            }
            Some(text) => Body::Text(text),
        };
        Ok(Self { json, body })
    }

    /// The whole way of an event: its request, what `handle` answers to it, and the API's JSON.
    ///
    /// # Errors
    /// Those of `handle`.
    pub async fn answer(
        self,
        handle: impl AsyncFnOnce(Request) -> anyhow::Result<Response<Body>>,
    ) -> anyhow::Result<Bytes> {
        let id = self.json.request_context.request_id.clone();
        let response = match self.into_request() {
            Ok(request) => handle(request).await?,
            Err(problem) => {
                tracing::info!(
                    http.request_id = id,
                    http.status = problem.status().as_u16(),
                    problem = problem.name(),
                    "answered"
                );
                problem.response()?
            }
        };
        write(response)
    }

    /// The request of the event. Its URI has the path without the stage, and the query, both as the client wrote them; what
    /// a URI can't hold is percent-encoded. Headers that no HTTP client can send are passed over.
    ///
    /// # Errors
    /// 400 for a method or a URI that no request can hold.
    pub fn into_request(self) -> Result<Request, Problem> {
        let Self { json, body } = self;
        let ContextJson { http, stage, request_id } = json.request_context;
        let uri = uri(&json.raw_path, stage.as_deref().unwrap_or(DEFAULT_STAGE), json.raw_query_string.as_deref());
        let request = uri.and_then(|uri| http::Request::builder().method(&*http.method).uri(uri).body(body));
        let mut request = request.map_err(|error| {
            let kind = ProblemKind::MALFORMED_REQUEST;
            Problem::new(kind, format!("the method or the path with its query can't be read: {error}"))
        })?;
        *request.headers_mut() = headers(json.headers.unwrap_or_default());
        let mut context = ApiGatewayV2httpRequestContext::default();
        context.http.method = request.method().clone();
        context.http.source_ip = http.source_ip;
        context.request_id = request_id;
        context.stage = stage;
        Ok(request.with_raw_http_path(json.raw_path).with_request_context(RequestContext::ApiGatewayV2(context)))
    }
}

fn uri(raw_path: &str, stage: &str, query: Option<&str>) -> http::Result<Uri> {
    let path = match raw_path.strip_prefix('/').and_then(|path| path.strip_prefix(stage)) {
        Some(path) if path.starts_with('/') && stage != DEFAULT_STAGE => path,
        _ => raw_path,
    };
    // In HTTP an empty path is the root's.
    let path = if path.is_empty() { "/" } else { path };
    let mut text = utf8_percent_encode(path, NOT_IN_PATH).to_string();
    if let Some(query) = query.filter(|query| !query.is_empty()) {
        text.push('?');
        text.extend(utf8_percent_encode(query, NOT_IN_QUERY));
    }
    Uri::builder().path_and_query(text).build()
}

/// HTTP APIs write names in lower case; other callers of the function may not.
fn headers(named: BTreeMap<String, String>) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in named {
        if let (Ok(name), Ok(value)) = (HeaderName::try_from(name), HeaderValue::try_from(value))
            && headers.try_append(name, value).is_err()
        {
            break;
        }
    }
    headers
}

/// What the API calls a request.
#[must_use]
pub fn request_id(request: &Request) -> &str {
    context(request).and_then(|context| context.request_id.as_deref()).unwrap_or_default()
}

/// The address from which the client asks, as the API sees it; empty if it doesn't say.
#[must_use]
pub fn client_address(request: &Request) -> &str {
    context(request).and_then(|context| context.http.source_ip.as_deref()).unwrap_or_default()
}

fn context(request: &Request) -> Option<&ApiGatewayV2httpRequestContext> {
    match request.request_context_ref() {
        Some(RequestContext::ApiGatewayV2(context)) => Some(context),
        _ => None,
    }
}

/// A good answer.
#[must_use]
pub fn json(body: String) -> Response<Body> {
    let mut response = Response::new(Body::Text(body));
    let headers = response.headers_mut();
    headers.insert(http::header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(http::header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// Writes the answer as the API wants it.
///
/// # Errors
/// When a header is not UTF-8.
pub fn write(response: Response<Body>) -> anyhow::Result<Bytes> {
    let (parts, body) = response.into_parts();
    let mut answer = ApiGatewayV2httpResponse::default();
    answer.status_code = parts.status.as_u16().into();
    answer.headers = parts.headers;
    answer.is_base64_encoded = matches!(body, Body::Binary(_));
    answer.body = Some(body);
    Ok(Bytes::from(serde_json::to_vec(&answer)?))
}

#[cfg(test)]
mod tests {
    use expect_test::{Expect, expect};
    use proptest::prelude::*;
    use serde_json::json as value;

    use super::*;
    use crate::query::decoded;

    fn check(event: &str, expect: Expect) {
        let said = match Event::read(event.as_bytes()).map(Event::into_request) {
            Ok(Ok(request)) => format!(
                "{} {} {:?} {:?} id {:?} from {:?} at {:?}",
                request.method(),
                request.uri(),
                request.headers(),
                request.body(),
                request_id(&request),
                client_address(&request),
                request.raw_http_path(),
            ),
            Ok(Err(problem)) => format!("{} {problem}", problem.status()),
            Err(error) => format!("{error:#}"),
        };
        expect.assert_eq(&said);
    }

    #[test]
    fn reads_what_the_api_sends() {
        check(
            r#"{"version":"2.0","rawPath":"/health","requestContext":{"http":{"method":"GET"}}}"#,
            expect![[r#"GET /health {} Empty id "" from "" at "/health""#]],
        );
        check(
            r#"{"version":"2.0","rawPath":"/prod/health","rawQueryString":"a=%2B<\u00e9","headers":{"Authorization":"Basic eA=="},
                "requestContext":{"stage":"prod","requestId":"Id=","http":{"method":"HEAD","path":"/prod/health","sourceIp":"::1"}}}"#,
            expect![[
                r#"HEAD /health?a=%2B%3C%C3%A9 {"authorization": "Basic eA=="} Empty id "Id=" from "::1" at "/prod/health""#
            ]],
        );
        check(
            r#"{"version":"2.0","rawPath":"/production/x?#y","requestContext":{"stage":"prod","http":{"method":"GET"}}}"#,
            expect![[r#"GET /production/x%3F%23y {} Empty id "" from "" at "/production/x?#y""#]],
        );
    }

    #[test]
    fn reads_the_body_that_the_client_sent() {
        check(
            r#"{"version":"2.0","rawPath":"/x","headers":{"content-type":"application/json"},"body":"{\"é\":1}\n",
                "isBase64Encoded":false,"requestContext":{"http":{"method":"POST"}}}"#,
            expect![[r#"POST /x {"content-type": "application/json"} Text("{\"é\":1}\n") id "" from "" at "/x""#]],
        );
        check(
            r#"{"version":"2.0","rawPath":"/x","headers":{"Content-Type":"application/x-ndjson"},"body":"e30KAP8=",
                "isBase64Encoded":true,"requestContext":{"http":{"method":"POST"}}}"#,
            expect![[
                r#"POST /x {"content-type": "application/x-ndjson"} Binary([123, 125, 10, 0, 255]) id "" from "" at "/x""#
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

    #[tokio::test]
    async fn what_no_request_can_hold_is_a_problem() {
        check(
            r#"{"version":"2.0","rawPath":"/","requestContext":{"http":{"method":"G T"}}}"#,
            expect!["400 Bad Request the method or the path with its query can't be read: invalid HTTP method"],
        );
        check(
            r#"{"version":"2.0","rawPath":"x","requestContext":{"http":{"method":"GET"}}}"#,
            expect![
                "400 Bad Request the method or the path with its query can't be read: path does not start with slash"
            ],
        );
        let long = "/".repeat(usize::from(u16::MAX));
        let long =
            value!({"version": "2.0", "rawPath": long, "requestContext": {"http": {"method": "GET"}}}).to_string();
        check(&long, expect!["400 Bad Request the method or the path with its query can't be read: uri too long"]);
        let answer = Event::read(long.as_bytes()).unwrap().answer(async |_| panic!("it is no request")).await;
        assert!(answer.unwrap().starts_with(br#"{"statusCode":400,"#));
    }

    #[test]
    fn writes_what_the_api_wants() {
        let response = Response::builder().header("a-b", "c").body(Body::from("{\"é\":1}")).unwrap();
        expect![[r#"{"statusCode":200,"headers":{"a-b":"c"},"multiValueHeaders":{},"body":"{\"é\":1}","isBase64Encoded":false,"cookies":[]}"#]].assert_eq(str::from_utf8(&write(response).unwrap()).unwrap());
    }

    proptest! {
        #[test]
        fn nothing_that_a_client_writes_panics_or_is_changed(
            method in "[A-Z]{3,7}|.*",
            path in "/.*|.*",
            query in ".*",
            stage in "\\$default|prod|.*",
            headers in prop::collection::btree_map(".*|[a-z-]{1,20}", ".*", 0..8),
            body in prop::option::of(".*"),
            address in ".*",
        ) {
            let payload = value!({
                "version": "2.0", "rawPath": path, "rawQueryString": query, "headers": headers, "body": body,
                "requestContext": {"stage": stage, "http": {"method": method, "sourceIp": address}},
            });
            let payload = payload.to_string();
            if let Ok(request) = Event::read(payload.as_bytes()).unwrap().into_request() {
                prop_assert_eq!(request.method().as_str(), method);
                let read = decoded(request.uri().path());
                let path = if path.is_empty() { "/" } else { &path };
                prop_assert!(decoded(path).ends_with(&read), "{path:?} {read:?}");
                prop_assert_eq!(decoded(request.uri().query().unwrap_or_default()), decoded(&query));
                let body = body.unwrap_or_default();
                prop_assert_eq!(&**request.body(), body.as_bytes());
                prop_assert_eq!(client_address(&request), address);
                for (name, value) in request.headers() {
                    let given = headers.iter().filter(|(given, _)| given.eq_ignore_ascii_case(name.as_str()));
                    prop_assert!(given.into_iter().any(|(_, given)| given.as_bytes() == value.as_bytes()));
                }
            }
        }
    }
}
