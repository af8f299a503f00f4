use std::collections::BTreeMap;
use std::net::SocketAddr;

use bytes::Bytes;
use expect_test::{Expect, expect};
use futures::FutureExt;
use http::Request;
use http_body_util::{BodyExt, Full};
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use local_runtime::{Options, Runtime, Template};
use serde_json::Value;
use test_support::eventually;

use crate::fixture::{PATIENCE, Recorder, invoker};

const TEMPLATE: &str = "Resources: {F: {Type: AWS::Serverless::Function, Properties: {Timeout: 1}}}";

fn options() -> Options {
    Options { invoke_api: Some(SocketAddr::from(([127, 0, 0, 1], 0))), ..Options::default() }
}

fn template() -> Template {
    Template::parse(TEMPLATE, &BTreeMap::new()).unwrap()
}

/// A function that does what its event says.
async fn start() -> Runtime {
    let functions = invoker(|invocation| {
        async move {
            match &invocation.payload[..] {
                b"\"fail\"" => anyhow::bail!("on purpose"),
                b"\"panic\"" => panic!("on purpose"),
                b"\"wait\"" => std::future::pending().await,
                b"\"large\"" => Ok(Bytes::from(vec![b' '; 7_000_000])),
                _ => Ok(invocation.payload),
            }
        }
        .boxed()
    });
    Runtime::start(&template(), functions, options()).await.unwrap()
}

/// Status, the headers that matter, and the body.
async fn invoke(runtime: &Runtime, path: &str, headers: &[(&str, &str)], body: Bytes) -> String {
    let address = runtime.invoke_api_addr().unwrap();
    let mut request = Request::post(format!("http://{address}{path}"));
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let client: Client<_, Full<Bytes>> = Client::builder(TokioExecutor::new()).build_http();
    let (parts, body) = client.request(request.body(Full::new(body)).unwrap()).await.unwrap().into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    let mut shown = parts.status.as_u16().to_string();
    for name in ["x-amz-function-error", "x-amz-executed-version", "x-amzn-errortype"] {
        if let Some(value) = parts.headers.get(name) {
            shown += &format!(" {name}: {}", value.to_str().unwrap());
        }
    }
    format!("{shown} {}", String::from_utf8_lossy(&body))
}

const F: &str = "/2015-03-31/functions/f/invocations";

async fn check(runtime: &Runtime, event: &str, expect: Expect) {
    expect.assert_eq(&invoke(runtime, F, &[], Bytes::copy_from_slice(event.as_bytes())).await);
}

#[tokio::test]
async fn a_function_answers_or_fails_as_in_the_service() {
    let runtime = start().await;
    check(&runtime, r#"{"a":1}"#, expect![[r#"200 x-amz-executed-version: $LATEST {"a":1}"#]]).await;
    check(&runtime, "", expect!["200 x-amz-executed-version: $LATEST {}"]).await;
    check(&runtime, r#""fail""#, expect![[r#"200 x-amz-function-error: Unhandled x-amz-executed-version: $LATEST {"errorMessage":"on purpose","errorType":"Error"}"#]]).await;
    check(&runtime, r#""panic""#, expect![[r#"200 x-amz-function-error: Unhandled x-amz-executed-version: $LATEST {"errorMessage":"the function panicked: on purpose","errorType":"Panic"}"#]]).await;
    check(&runtime, r#""large""#, expect![[r#"200 x-amz-function-error: Unhandled x-amz-executed-version: $LATEST {"errorMessage":"the answer of 7000000 bytes is above the service's limit of 6291456","errorType":"Function.ResponseSizeTooLarge"}"#]]).await;
    check(&runtime, "{", expect![[r#"400 x-amzn-errortype: InvalidRequestContentException {"Message":"Could not parse request body into json: EOF while parsing an object at line 1 column 1","Type":"User","errorMessage":"Could not parse request body into json: EOF while parsing an object at line 1 column 1","errorType":"InvalidRequestContentException"}"#]]).await;
    let answer = invoke(&runtime, F, &[], Bytes::from_static(br#""wait""#)).await;
    let (_, body) = answer.split_once(" {").unwrap();
    let body: Value = serde_json::from_str(&format!("{{{body}")).unwrap();
    assert_eq!(body["errorType"], "Sandbox.Timedout");
    assert!(body["errorMessage"].as_str().unwrap().ends_with(" Error: Task timed out after 1.00 seconds"), "{body}");
    runtime.shutdown().await;
}

#[tokio::test]
async fn a_function_is_found_by_each_of_its_names_and_others_are_not() {
    let runtime = start().await;
    let arn = "arn%3Aaws%3Alambda%3Aus-east-1%3A123456789012%3Afunction%3Af";
    for name in ["f", "F", "f:live", arn, "f?x=1"] {
        let (name, query) = name.split_once('?').unwrap_or((name, ""));
        let path = format!("/2015-03-31/functions/{name}/invocations?Qualifier=live&{query}");
        let answer = invoke(&runtime, &path, &[("X-Amz-Log-Type", "Tail")], Bytes::from_static(b"1")).await;
        assert_eq!(answer, "200 x-amz-executed-version: $LATEST 1", "{name}");
    }
    let path = "/2015-03-31/functions/nobody/invocations";
    expect![[r#"404 x-amzn-errortype: ResourceNotFoundException {"Message":"Function not found: arn:aws:lambda:us-east-1:000000000000:function:nobody","Type":"User","errorMessage":"Function not found: arn:aws:lambda:us-east-1:000000000000:function:nobody","errorType":"ResourceNotFoundException"}"#]].assert_eq(&invoke(&runtime, path, &[], Bytes::new()).await);
    expect![[r#"404 x-amzn-errortype: UnknownOperationException {"Message":"only POST /2015-03-31/functions/NAME/invocations is served here","Type":"User","errorMessage":"only POST /2015-03-31/functions/NAME/invocations is served here","errorType":"UnknownOperationException"}"#]].assert_eq(&invoke(&runtime, "/2015-03-31/functions", &[], Bytes::new()).await);
    runtime.shutdown().await;
}

#[tokio::test]
async fn events_are_limited_and_pages_are_refused() {
    let runtime = start().await;
    let json = |bytes: usize| Bytes::from(format!("\"{}\"", "x".repeat(bytes - 2)));
    let limit = 6 * 1024 * 1024;
    assert!(invoke(&runtime, F, &[], json(limit)).await.starts_with("200 "));
    expect![[r#"413 x-amzn-errortype: RequestTooLargeException {"Message":"Request must be smaller than 6291456 bytes for the InvokeFunction operation","Type":"User","errorMessage":"Request must be smaller than 6291456 bytes for the InvokeFunction operation","errorType":"RequestTooLargeException"}"#]].assert_eq(&invoke(&runtime, F, &[], json(limit + 1)).await);
    let event = [("X-Amz-Invocation-Type", "Event")];
    expect![[r#"413 x-amzn-errortype: RequestTooLargeException {"Message":"Request must be smaller than 1048576 bytes for the InvokeFunction operation","Type":"User","errorMessage":"Request must be smaller than 1048576 bytes for the InvokeFunction operation","errorType":"RequestTooLargeException"}"#]].assert_eq(&invoke(&runtime, F, &event, json(1024 * 1024 + 1)).await);
    expect![[r#"400 x-amzn-errortype: InvalidParameterValueException {"Message":"X-Amz-Invocation-Type is one of RequestResponse, Event, DryRun","Type":"User","errorMessage":"X-Amz-Invocation-Type is one of RequestResponse, Event, DryRun","errorType":"InvalidParameterValueException"}"#]].assert_eq(&invoke(&runtime, F, &[("X-Amz-Invocation-Type", "Later")], json(3)).await);
    expect![[r#"403 x-amzn-errortype: AccessDeniedException {"Message":"the Invoke API is for programs on this machine: not for pages, and under no other name","Type":"User","errorMessage":"the Invoke API is for programs on this machine: not for pages, and under no other name","errorType":"AccessDeniedException"}"#]].assert_eq(&invoke(&runtime, F, &[("Origin", "http://example.org")], json(3)).await);
    expect![[r#"403 x-amzn-errortype: AccessDeniedException {"Message":"the Invoke API is for programs on this machine: not for pages, and under no other name","Type":"User","errorMessage":"the Invoke API is for programs on this machine: not for pages, and under no other name","errorType":"AccessDeniedException"}"#]].assert_eq(&invoke(&runtime, F, &[("Host", "example.org")], json(3)).await);
    runtime.shutdown().await;
}

#[tokio::test]
async fn an_event_that_nobody_waits_for_is_run_all_the_same() {
    let recorder = Recorder::default();
    let runtime = Runtime::start(&template(), recorder.invoker(|_| false), options()).await.unwrap();
    let dry = invoke(&runtime, F, &[("X-Amz-Invocation-Type", "DryRun")], Bytes::from_static(b"1")).await;
    let sent = invoke(&runtime, F, &[("X-Amz-Invocation-Type", "Event")], Bytes::from_static(b"2")).await;
    assert_eq!(
        (dry.as_str(), sent.as_str()),
        ("204 x-amz-executed-version: $LATEST ", "202 x-amz-executed-version: $LATEST ",)
    );
    eventually(PATIENCE, async || !recorder.seen().is_empty()).await;
    let seen: Vec<_> = recorder.seen().into_iter().map(|seen| seen.payload).collect();
    assert_eq!(seen, [Bytes::from_static(b"2")]);
    runtime.shutdown().await;
}

#[tokio::test]
async fn it_listens_for_this_machine_only_and_only_if_asked() {
    let recorder = Recorder::default();
    let open = Options { invoke_api: Some(SocketAddr::from(([0, 0, 0, 0], 9_001))), ..Options::default() };
    let error = Runtime::start(&template(), recorder.invoker(|_| true), open).await.err().unwrap();
    expect!["the Invoke API can't listen on 0.0.0.0:9001: it asks nobody who they are, so it is for this machine only (127.0.0.1:9001)"].assert_eq(&error.to_string());
    let runtime = Runtime::start(&template(), recorder.invoker(|_| true), Options::default()).await.unwrap();
    assert_eq!(runtime.invoke_api_addr(), None);
    runtime.shutdown().await;
}
