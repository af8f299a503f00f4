use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use expect_test::{Expect, expect};
use futures::FutureExt;
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use local_runtime::{Invoker, Options, Runtime, Template};
use serde_json::{Value, json};

use crate::fixture::{PATIENCE, invoker};

const TEMPLATE: &str = r#"
Resources:
  F:
    Type: AWS::Serverless::Function
    Properties:
      Timeout: 1
      Events:
        Echo: {Type: HttpApi, Properties: {Path: "/echo/{id}", Method: GET}}
        Post: {Type: HttpApi, Properties: {Path: /echo, Method: POST}}
        Any: {Type: HttpApi, Properties: {Path: "/do/{proxy+}", Method: ANY, TimeoutInMillis: 60}}
        Slow: {Type: HttpApi, Properties: {Path: /slow, Method: GET}}
"#;

/// Answers with what it saw, or does what the path says.
fn function() -> Arc<dyn Invoker> {
    invoker(|invocation| {
        async move {
            let event: Value = serde_json::from_slice(&invocation.payload)?;
            match event["pathParameters"]["proxy"].as_str().or(event["rawPath"].as_str()).unwrap_or_default() {
                "fail" => anyhow::bail!("on purpose"),
                "panic" => panic!("on purpose"),
                "nonsense" => Ok(Bytes::from_static(b"<html>")),
                "slow" | "/slow" => std::future::pending().await,
                "teapot" => {
                    Ok(json!({"statusCode": 418, "headers": {"X-Tea": "yes"}, "cookies": ["a=1"], "body": "short"})
                        .to_string()
                        .into())
                }
                _ => Ok(json!({
                    "routeKey": event["routeKey"],
                    "pathParameters": event["pathParameters"],
                    "queryStringParameters": event["queryStringParameters"],
                    "body": event["body"],
                    "isBase64Encoded": event["isBase64Encoded"],
                    "agent": event["requestContext"]["http"]["sourceIp"],
                })
                .to_string()
                .into()),
            }
        }
        .boxed()
    })
}

async fn start() -> (Runtime, SocketAddr) {
    let template = Template::parse(TEMPLATE, &BTreeMap::new()).unwrap();
    let runtime = Runtime::start(&template, function(), Options::default()).await.unwrap();
    let address = runtime.http_addr().unwrap();
    (runtime, address)
}

fn client() -> Client<HttpConnector, Full<Bytes>> {
    Client::builder(TokioExecutor::new()).build_http()
}

pub(crate) async fn send(address: SocketAddr, method: &str, path: &str, body: Bytes) -> Response<Bytes> {
    let request = Request::builder()
        .method(method)
        .uri(format!("http://{address}{path}"))
        .header("content-type", "text/plain")
        .body(Full::new(body))
        .unwrap();
    let (parts, body) = client().request(request).await.unwrap().into_parts();
    Response::from_parts(parts, body.collect().await.unwrap().to_bytes())
}

async fn check(address: SocketAddr, request: &str, expect: Expect) {
    let (method, path) = request.split_once(' ').unwrap();
    let response = send(address, method, path, Bytes::new()).await;
    let mut shown = response.status().as_u16().to_string();
    for name in ["content-type", "x-tea", "set-cookie"] {
        if let Some(value) = response.headers().get(name) {
            shown.push_str(&format!(" {name}: {}", value.to_str().unwrap()));
        }
    }
    expect.assert_eq(&format!("{shown}\n{}", std::str::from_utf8(response.body()).unwrap()));
}

#[tokio::test]
async fn requests_reach_the_function_and_answers_come_back() {
    let (runtime, address) = start().await;
    check(address, "GET /echo/27%2082?a=1&a=2", expect![[r#"
        200 content-type: application/json
        {"agent":"127.0.0.1","body":null,"isBase64Encoded":false,"pathParameters":{"id":"27 82"},"queryStringParameters":{"a":"1,2"},"routeKey":"GET /echo/{id}"}"#]]).await;
    check(
        address,
        "PUT /do/teapot",
        expect![[r#"
        418 content-type: text/plain;charset=UTF-8 x-tea: yes set-cookie: a=1
        short"#]],
    )
    .await;
    check(
        address,
        "GET /echo",
        expect![[r#"
        404 content-type: application/json
        {"message":"Not Found"}"#]],
    )
    .await;
    check(
        address,
        "GET /nowhere",
        expect![[r#"
        404 content-type: application/json
        {"message":"Not Found"}"#]],
    )
    .await;
    check(
        address,
        "GET /do/fail",
        expect![[r#"
        500 content-type: application/json
        {"message":"Internal Server Error"}"#]],
    )
    .await;
    check(
        address,
        "GET /do/panic",
        expect![[r#"
        500 content-type: application/json
        {"message":"Internal Server Error"}"#]],
    )
    .await;
    check(
        address,
        "GET /do/nonsense",
        expect![[r#"
        500 content-type: application/json
        {"message":"Internal Server Error"}"#]],
    )
    .await;
    // The API's patience ends before the function's time, or after it.
    check(
        address,
        "GET /do/slow",
        expect![[r#"
        503 content-type: application/json
        {"message":"Service Unavailable"}"#]],
    )
    .await;
    check(
        address,
        "GET /slow",
        expect![[r#"
        504 content-type: application/json
        {"message":"Gateway Timeout"}"#]],
    )
    .await;
    runtime.shutdown().await;
}

#[tokio::test]
async fn a_body_is_passed_on_up_to_the_limit() {
    let (runtime, address) = start().await;
    let response = send(address, "POST", "/echo", Bytes::from_static(b"hello")).await;
    let seen: Value = serde_json::from_slice(response.body()).unwrap();
    assert_eq!((&seen["body"], &seen["isBase64Encoded"]), (&json!("hello"), &json!(false)));
    let response = send(address, "POST", "/echo", Bytes::from(vec![b'x'; 5_000_000])).await;
    assert_eq!(response.status(), 200);
    for bytes in [6 * 1024 * 1024, 7_000_000] {
        let response = send(address, "POST", "/echo", Bytes::from(vec![b'x'; bytes])).await;
        assert_eq!(
            (response.status().as_u16(), &response.body()[..]),
            (413, &br#"{"message":"Request Entity Too Large"}"#[..])
        );
    }
    runtime.shutdown().await;
}

#[tokio::test]
async fn request_line_and_header_values_are_limited() {
    let (runtime, address) = start().await;
    // `GET /echo/1?` and ` HTTP/1.1`, and what the client sends of itself: `host` and `content-type`.
    let others = "GET /echo/1?".len() + " HTTP/1.1".len() + address.to_string().len() + "text/plain".len();
    for (bytes, status) in [(10_240, 200), (10_241, 431)] {
        let path = format!("/echo/1?{}", "x".repeat(bytes - others));
        assert_eq!(send(address, "GET", &path, Bytes::new()).await.status(), status, "{bytes}");
    }
    runtime.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn shutdown_waits_for_open_requests_and_not_for_ever() {
    let (runtime, address) = start().await;
    let open = tokio::spawn(async move { send(address, "GET", "/slow", Bytes::new()).await });
    // The request is open when another one has been answered after it.
    assert_eq!(send(address, "GET", "/echo/1", Bytes::new()).await.status(), 200);
    tokio::time::timeout(PATIENCE, runtime.shutdown()).await.unwrap();
    // It got the function's timeout, of 1 s, within the grace time; or had not been accepted.
    if let Ok(response) = open.await {
        assert_eq!(response.status(), 504);
    }
    assert!(tokio::net::TcpStream::connect(address).await.is_err());
}

#[tokio::test]
async fn an_address_that_is_taken_is_said() {
    let (runtime, address) = start().await;
    let template = Template::parse(TEMPLATE, &BTreeMap::new()).unwrap();
    let options = Options { listen: address, ..Options::default() };
    let error = Runtime::start(&template, function(), options).await.err().unwrap();
    assert_eq!(error.to_string(), format!("the HTTP API can't listen on {address}"));
    runtime.shutdown().await;
}
