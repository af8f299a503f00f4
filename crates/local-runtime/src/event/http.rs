//! The event of an HTTP API (payload format 2.0) and what a function answers to it.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::net::IpAddr;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::header::{CONTENT_TYPE, COOKIE, HOST, HeaderMap, HeaderName, HeaderValue, SET_COOKIE, USER_AGENT};
use http::request::Parts;
use http::{Response, StatusCode};
use jiff::Timestamp;
use jiff::tz::TimeZone;
use percent_encoding::percent_decode_str;
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};

use super::ACCOUNT;

/// What the route of a request says about it.
#[derive(Clone, Debug, Default)]
pub struct Matched {
    /// `GET /items/{id}`, `ANY /{proxy+}` or `$default`.
    pub route_key: String,
    /// The pattern's variables.
    pub path_parameters: BTreeMap<String, String>,
}

/// Where a request came from, and to.
#[derive(Clone, Copy, Debug)]
pub struct Connection {
    /// The client's address.
    pub source_ip: IpAddr,
    /// The port it came to.
    pub port: u16,
}

/// The event for a request. As in the service, `rawPath` is percent-decoded and `rawQueryString` is not; names are
/// lower-cased, repeated values comma-joined, cookies apart.
#[must_use]
pub fn event(
    parts: &Parts,
    body: &Bytes,
    matched: &Matched,
    connection: Connection,
    request_id: &str,
    now: Timestamp,
) -> Bytes {
    let path = percent_decoded(parts.uri.path(), false);
    let query = parts.uri.query().unwrap_or_default();
    let mut headers = joined_headers(&parts.headers);
    add_the_front_s(&mut headers, connection, now);
    let host = headers.get(HOST.as_str()).map(String::as_str).unwrap_or_default();
    let host = host.rsplit_once(':').map_or(host, |(name, _port)| name);
    let mut event = json!({
        "version": "2.0",
        "routeKey": matched.route_key,
        "rawPath": path,
        "rawQueryString": query,
        "headers": headers,
        "requestContext": {
            "accountId": ACCOUNT,
            "apiId": "local",
            "domainName": host,
            "domainPrefix": host.split('.').next().unwrap_or_default(),
            "http": {
                "method": parts.method.as_str(),
                "path": path,
                "protocol": format!("{:?}", parts.version),
                "sourceIp": connection.source_ip.to_string(),
                "userAgent": headers.get(USER_AGENT.as_str()).cloned().unwrap_or_default(),
            },
            "requestId": request_id,
            "routeKey": matched.route_key,
            "stage": "$default",
            "time": now.to_zoned(TimeZone::UTC).strftime("%d/%b/%Y:%H:%M:%S +0000").to_string(),
            "timeEpoch": now.as_millisecond(),
        },
        "isBase64Encoded": false,
    });
    let cookies: Vec<_> = values_of(&parts.headers, &COOKIE)
        .flat_map(|line| line.split(';').map(|cookie| cookie.trim().to_owned()).collect::<Vec<_>>())
        .filter(|cookie| !cookie.is_empty())
        .collect();
    if !cookies.is_empty() {
        event["cookies"] = json!(cookies);
    }
    if !query.is_empty() {
        event["queryStringParameters"] = json!(query_parameters(query));
    }
    if !matched.path_parameters.is_empty() {
        event["pathParameters"] = json!(matched.path_parameters);
    }
    if !body.is_empty() {
        match std::str::from_utf8(body) {
            Ok(text) if is_text(&parts.headers) => event["body"] = json!(text),
            _ => {
                event["body"] = json!(STANDARD.encode(body));
                event["isBase64Encoded"] = json!(true);
            }
        }
    }
    Bytes::from(event.to_string())
}

fn values_of<'h>(headers: &'h HeaderMap, name: &'h HeaderName) -> impl Iterator<Item = String> + 'h {
    headers.get_all(name).iter().map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned())
}

fn joined_headers(headers: &HeaderMap) -> BTreeMap<&str, String> {
    headers
        .keys()
        .filter(|name| *name != COOKIE)
        .map(|name| (name.as_str(), values_of(headers, name).collect::<Vec<_>>().join(",")))
        .collect()
}

/// What the service's front tells of itself and of the client. Here it has no TLS.
fn add_the_front_s(headers: &mut BTreeMap<&str, String>, connection: Connection, now: Timestamp) {
    let source_ip = connection.source_ip.to_string();
    headers
        .entry("x-forwarded-for")
        .and_modify(|before| *before = format!("{before}, {source_ip}"))
        .or_insert(source_ip);
    headers.insert("x-forwarded-port", connection.port.to_string());
    headers.insert("x-forwarded-proto", "http".to_owned());
    headers.entry("x-amzn-trace-id").or_insert_with(|| {
        let random = uuid::Uuid::new_v4().simple().to_string();
        format!("Root=1-{:08x}-{}", now.as_second(), &random[..24])
    });
}

fn query_parameters(query: &str) -> BTreeMap<String, String> {
    let mut parameters: BTreeMap<String, String> = BTreeMap::new();
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        let value = percent_decoded(value, true);
        parameters
            .entry(percent_decoded(name, true))
            .and_modify(|values| {
                values.push(',');
                values.push_str(&value);
            })
            .or_insert(value);
    }
    parameters
}

/// The service sends these as text and everything else in base64.
fn is_text(headers: &HeaderMap) -> bool {
    let kind = headers.get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    let kind = kind.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    kind.starts_with("text/")
        || matches!(kind.as_str(), "application/json" | "application/javascript" | "application/xml")
        || kind.ends_with("+json")
        || kind.ends_with("+xml")
}

/// Percent-decoded text. Bytes that are not UTF-8 become U+FFFD; a broken escape stays as it is.
pub(crate) fn percent_decoded(text: &str, plus_is_space: bool) -> String {
    let text = if plus_is_space { Cow::Owned(text.replace('+', " ")) } else { Cow::Borrowed(text) };
    percent_decode_str(&text).decode_utf8_lossy().into_owned()
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Answer {
    status_code: Value,
    #[serde(default)]
    headers: Option<BTreeMap<String, Value>>,
    #[serde(default)]
    cookies: Option<Vec<String>>,
    #[serde(default)]
    body: Option<Value>,
    #[serde(default)]
    is_base64_encoded: Option<bool>,
}

/// The response that a function's answer stands for. An answer without `statusCode` is the body of a 200, as JSON.
///
/// # Errors
/// When the answer is not JSON, or its status, headers or body can't be sent: the service answers 500 then.
pub fn response(answer: &[u8]) -> anyhow::Result<Response<Bytes>> {
    let json: &RawValue = serde_json::from_slice(answer)?;
    let is_object = json.get().starts_with('{');
    let has_status =
        is_object && serde_json::from_str::<BTreeMap<String, &RawValue>>(json.get())?.contains_key("statusCode");
    if !has_status {
        let body = match serde_json::from_str::<Value>(json.get())? {
            Value::String(text) => text,
            _ => json.get().to_owned(),
        };
        return Ok(Response::builder().header(CONTENT_TYPE, "application/json").body(body.into())?);
    }
    let answer: Answer = serde_json::from_str(json.get())?;
    let status: StatusCode = text_of(&answer.status_code).parse()?;
    anyhow::ensure!(status.as_u16() >= 200, "status {status} is no final answer");
    let body = match answer.body.unwrap_or_default() {
        Value::Null => Bytes::new(),
        Value::String(text) if answer.is_base64_encoded == Some(true) => STANDARD.decode(text)?.into(),
        Value::String(text) => text.into(),
        _ => anyhow::bail!("the body of an answer has to be a text"),
    };
    let mut response = Response::new(body);
    *response.status_mut() = status;
    let headers = response.headers_mut();
    for (name, value) in answer.headers.unwrap_or_default() {
        headers.append(HeaderName::try_from(name)?, HeaderValue::try_from(text_of(&value))?);
    }
    for cookie in answer.cookies.unwrap_or_default() {
        headers.append(SET_COOKIE, HeaderValue::try_from(cookie)?);
    }
    if !response.body().is_empty() && !response.headers().contains_key(CONTENT_TYPE) {
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/plain;charset=UTF-8"));
    }
    // The server writes these itself; a function's own would contradict what is sent.
    for name in [http::header::CONTENT_LENGTH, http::header::TRANSFER_ENCODING, http::header::CONNECTION] {
        response.headers_mut().remove(name);
    }
    Ok(response)
}

fn text_of(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        value => value.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use expect_test::{Expect, expect};
    use http::Request;

    use super::*;

    fn connection() -> Connection {
        Connection { source_ip: [127, 0, 0, 1].into(), port: 3_000 }
    }

    #[test]
    fn what_a_front_before_this_one_tells_is_kept() {
        let (parts, ()) = Request::builder()
            .header("X-Forwarded-For", "192.0.2.1")
            .header("X-Forwarded-Proto", "https")
            .header("X-Amzn-Trace-Id", "Root=1-0-a")
            .body(())
            .unwrap()
            .into_parts();
        let event = event(&parts, &Bytes::new(), &Matched::default(), connection(), "", Timestamp::UNIX_EPOCH);
        let event: Value = serde_json::from_slice(&event).unwrap();
        expect![[r#"{"x-amzn-trace-id":"Root=1-0-a","x-forwarded-for":"192.0.2.1, 127.0.0.1","x-forwarded-port":"3000","x-forwarded-proto":"http"}"#]]
        .assert_eq(&event["headers"].to_string());
    }

    #[test]
    fn an_event_looks_as_the_service_writes_it() {
        let (parts, ()) = Request::builder()
            .method("POST")
            .uri("/v1/usage/27%2082?day=2024-01-01&day=2024-01-02&q=a+b%2Bc&flag")
            .header("Host", "localhost:3000")
            .header("User-Agent", "curl/8")
            .header("X-Many", "1")
            .header("X-Many", "2")
            .header("Cookie", "a=1; b=2")
            .header("Cookie", "c=3")
            .header("Content-Type", "application/json; charset=utf-8")
            .body(())
            .unwrap()
            .into_parts();
        let matched = Matched {
            route_key: "POST /v1/usage/{msisdn}".into(),
            path_parameters: [("msisdn".into(), "27 82".into())].into(),
        };
        let now: Timestamp = "2024-03-12T19:03:58.390Z".parse().unwrap();
        let event = event(&parts, &Bytes::from_static(b"{}"), &matched, connection(), "id-1", now);
        let mut event: Value = serde_json::from_slice(&event).unwrap();
        let trace = event["headers"]["x-amzn-trace-id"].take();
        let (root, random) = trace.as_str().unwrap().rsplit_once('-').unwrap();
        assert_eq!((root, random.len()), ("Root=1-65f0a71e", 24));
        expect![[r#"
            {
              "body": "{}",
              "cookies": [
                "a=1",
                "b=2",
                "c=3"
              ],
              "headers": {
                "content-type": "application/json; charset=utf-8",
                "host": "localhost:3000",
                "user-agent": "curl/8",
                "x-amzn-trace-id": null,
                "x-forwarded-for": "127.0.0.1",
                "x-forwarded-port": "3000",
                "x-forwarded-proto": "http",
                "x-many": "1,2"
              },
              "isBase64Encoded": false,
              "pathParameters": {
                "msisdn": "27 82"
              },
              "queryStringParameters": {
                "day": "2024-01-01,2024-01-02",
                "flag": "",
                "q": "a b+c"
              },
              "rawPath": "/v1/usage/27 82",
              "rawQueryString": "day=2024-01-01&day=2024-01-02&q=a+b%2Bc&flag",
              "requestContext": {
                "accountId": "000000000000",
                "apiId": "local",
                "domainName": "localhost",
                "domainPrefix": "localhost",
                "http": {
                  "method": "POST",
                  "path": "/v1/usage/27 82",
                  "protocol": "HTTP/1.1",
                  "sourceIp": "127.0.0.1",
                  "userAgent": "curl/8"
                },
                "requestId": "id-1",
                "routeKey": "POST /v1/usage/{msisdn}",
                "stage": "$default",
                "time": "12/Mar/2024:19:03:58 +0000",
                "timeEpoch": 1710270238390
              },
              "routeKey": "POST /v1/usage/{msisdn}",
              "version": "2.0"
            }"#]]
        .assert_eq(&serde_json::to_string_pretty(&event).unwrap());
    }

    #[test]
    fn bodies_that_are_not_text_are_base64() {
        let check = |kind: Option<&str>, body: &[u8], expect: Expect| {
            let mut request = Request::builder().uri("/");
            if let Some(kind) = kind {
                request = request.header("Content-Type", kind);
            }
            let (parts, ()) = request.body(()).unwrap().into_parts();
            let matched = Matched::default();
            let event = event(&parts, &Bytes::copy_from_slice(body), &matched, connection(), "", Timestamp::UNIX_EPOCH);
            let event: Value = serde_json::from_slice(&event).unwrap();
            expect.assert_eq(&format!("{} {}", event["body"], event["isBase64Encoded"]));
        };
        check(Some("text/csv"), b"a,b", expect![[r#""a,b" false"#]]);
        check(Some("application/problem+json"), b"{}", expect![[r#""{}" false"#]]);
        check(Some("text/plain"), b"\xff", expect![[r#""/w==" true"#]]);
        check(Some("application/x-www-form-urlencoded"), b"a=1", expect![[r#""YT0x" true"#]]);
        check(None, b"x", expect![[r#""eA==" true"#]]);
        check(None, b"", expect!["null false"]);
    }

    fn check(answer: &str, expect: Expect) {
        let shown = match response(answer.as_bytes()) {
            Ok(response) => {
                let headers: Vec<_> = response
                    .headers()
                    .iter()
                    .map(|(name, value)| format!("{name}: {}", value.to_str().unwrap()))
                    .collect();
                format!("{} [{}] {:?}", response.status().as_u16(), headers.join(", "), response.body())
            }
            Err(error) => format!("{error:#}"),
        };
        expect.assert_eq(&shown);
    }

    #[test]
    fn answers_become_responses() {
        check(
            r#"{"statusCode":201,"headers":{"X-A":"1","x-n":2},"cookies":["a=1","b=2"],"body":"hi","multiValueHeaders":{}}"#,
            expect![[
                r#"201 [x-a: 1, x-n: 2, set-cookie: a=1, set-cookie: b=2, content-type: text/plain;charset=UTF-8] b"hi""#
            ]],
        );
        check(r#"{"statusCode":"204"}"#, expect![[r#"204 [] b"""#]]);
        check(
            r#"{"statusCode":200,"body":"AP8=","isBase64Encoded":true}"#,
            expect![[r#"200 [content-type: text/plain;charset=UTF-8] b"\0\xff""#]],
        );
        check(
            r#"{"message":"hello"}"#,
            expect![[r#"200 [content-type: application/json] b"{\"message\":\"hello\"}""#]],
        );
        check(r#""Hello""#, expect![[r#"200 [content-type: application/json] b"Hello""#]]);
        check("null", expect![[r#"200 [content-type: application/json] b"null""#]]);
        check("oops", expect!["expected value at line 1 column 1"]);
        check(r#"{"statusCode":"ok"}"#, expect!["invalid status code"]);
        check(r#"{"statusCode":100}"#, expect!["status 100 Continue is no final answer"]);
        check(r#"{"statusCode":200,"body":{}}"#, expect!["the body of an answer has to be a text"]);
        check(r#"{"statusCode":200,"headers":{"a b":"c"}}"#, expect!["invalid HTTP header name"]);
    }

    #[test]
    fn percent_decoding_takes_what_comes() {
        for (text, plain) in
            [("a%20b", "a b"), ("%", "%"), ("%4", "%4"), ("%+1", "%+1"), ("%zz%41", "%zzA"), ("%ff", "\u{fffd}")]
        {
            assert_eq!(percent_decoded(text, false), plain);
        }
        assert_eq!(percent_decoded("a+b", true), "a b");
        assert_eq!(percent_decoded("a+b", false), "a+b");
    }
}
