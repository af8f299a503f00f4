use std::convert::Infallible;
use std::time::Duration;

use bytes::Bytes;
use expect_test::{Expect, expect};
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use local_runtime::{Call, Invoker, RemoteInvoker};
use tokio::net::TcpListener;

/// An Invoke API whose functions are named after what they do.
async fn invoke_api() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), service_fn(answer)));
        }
    });
    base
}

async fn answer(request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    assert_eq!(request.method(), "POST");
    assert_eq!(request.headers()["x-amz-invocation-type"], "RequestResponse");
    let path = request.uri().path().to_owned();
    let name = path.strip_prefix("/2015-03-31/functions/").unwrap().strip_suffix("/invocations").unwrap();
    let body = request.into_body().collect().await.unwrap().to_bytes();
    let response = Response::builder();
    Ok(match name {
        "echo" => response.body(body.into()),
        "error" => response
            .header("X-Amz-Function-Error", "Unhandled")
            .body(r#"{"errorType":"E","errorMessage":"it broke"}"#.into()),
        "crash" => response.status(502).body("bad gateway".into()),
        "slow" => std::future::pending().await,
        _ => response.status(404).body(Full::default()),
    }
    .unwrap())
}

async fn check(base: &str, function: &str, expect: Expect) {
    check_within(Duration::from_secs(30), base, function, expect).await;
}

async fn check_within(timeout: Duration, base: &str, function: &str, expect: Expect) {
    let call = Call::new(function, Bytes::from_static(b"{\"a\":1}"), timeout);
    let shown = match RemoteInvoker::new(base).unwrap().invoke(call).await {
        Ok(answer) => String::from_utf8(answer.to_vec()).unwrap(),
        Err(error) => error.to_string(),
    };
    expect.assert_eq(&shown.replace(base, "BASE"));
}

#[tokio::test]
async fn the_invoke_api_is_spoken() {
    let base = invoke_api().await;
    check(&base, "echo", expect![[r#"{"a":1}"#]]).await;
    check(&base, "error", expect!["it broke"]).await;
    check(&base, "crash", expect!["the Invoke API answered 502 Bad Gateway"]).await;
    check_within(Duration::from_millis(500), &base, "slow", expect!["timed out after 0.5 s"]).await;
    check(&base, "nobody", expect!["there is no function nobody"]).await;
    check(
        "http://127.0.0.1:1",
        "echo",
        expect!["BASE can't be reached (Connection refused (os error 111)): is it running?"],
    )
    .await;
}

#[test]
fn only_plain_http_addresses_are_taken() {
    for bad in ["127.0.0.1:9000", "https://example.com", "http://", "::"] {
        assert!(RemoteInvoker::new(bad).is_err(), "{bad}");
    }
}
