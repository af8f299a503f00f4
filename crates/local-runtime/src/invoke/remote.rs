use std::error::Error;

use bytes::Bytes;
use futures::FutureExt;
use futures::future::BoxFuture;
use http::{Request, StatusCode, Uri};
use http_body_util::{BodyExt, Full, Limited};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use serde::Deserialize;

use super::{Call, InvokeError, Invoker};
use crate::event::kafka::MAX_PAYLOAD_BYTES;

/// Functions behind the Lambda Invoke API of something else, over plain HTTP: `cargo lambda watch`, LocalStack.
#[derive(Clone, Debug)]
pub struct RemoteInvoker {
    base: String,
    prefix: String,
    client: Client<HttpConnector, Full<Bytes>>,
}

/// What the Invoke API answers when a function has failed.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Refusal {
    error_message: String,
    #[serde(default)]
    error_type: Option<String>,
}

impl RemoteInvoker {
    /// An invoker of the functions at `base`, for example `http://127.0.0.1:9000`.
    ///
    /// # Errors
    /// When `base` is not the address of a plain HTTP server.
    pub fn new(base: &str) -> Result<Self, String> {
        let uri: Uri = base.parse().map_err(|error| format!("{base} is no URL: {error}"))?;
        if uri.scheme_str() != Some("http") || uri.authority().is_none() {
            return Err(format!("expected an address such as http://127.0.0.1:9000, found {base}"));
        }
        let client = Client::builder(TokioExecutor::new()).pool_timer(TokioTimer::new()).build_http();
        Ok(Self { base: base.trim_end_matches('/').to_owned(), prefix: String::new(), client })
    }

    /// The functions there are called as here, but begin with this: a stack's name, say.
    #[must_use]
    pub fn with_prefix(self, prefix: &str) -> Self {
        Self { prefix: prefix.to_owned(), ..self }
    }

    async fn send(self, call: &Call) -> Result<Bytes, InvokeError> {
        let Self { base, prefix, .. } = &self;
        let uri = format!("{base}/2015-03-31/functions/{prefix}{}/invocations", call.function);
        let request = Request::post(uri)
            .header("content-type", "application/json")
            .header("x-amz-invocation-type", "RequestResponse")
            .body(Full::new(call.payload.clone()))
            .map_err(|error| InvokeError::Unreachable(format!("{} can't be part of a URL: {error}", call.function)))?;
        let unreachable = |error: &dyn Error| {
            InvokeError::Unreachable(format!("{base} can't be reached ({}): is it running?", innermost(error)))
        };
        let response = self.client.request(request).await.map_err(|error| unreachable(&error))?;
        let status = response.status();
        let is_function_error = response.headers().contains_key("x-amz-function-error");
        let body = Limited::new(response.into_body(), MAX_PAYLOAD_BYTES).collect().await.map_err(|error| {
            InvokeError::failed("Error", format!("the answer of {} can't be read: {error}", call.function))
        })?;
        let body = body.to_bytes();
        if status == StatusCode::NOT_FOUND {
            return Err(InvokeError::Unknown(call.function.clone()));
        }
        if is_function_error || !status.is_success() {
            return Err(match serde_json::from_slice::<Refusal>(&body) {
                Ok(error) => InvokeError::failed(error.error_type.as_deref().unwrap_or("Error"), error.error_message),
                Err(_) => InvokeError::failed("Error", format!("the Invoke API answered {status}")),
            });
        }
        Ok(body)
    }
}

impl Invoker for RemoteInvoker {
    fn invoke(&self, call: Call) -> BoxFuture<'static, Result<Bytes, InvokeError>> {
        let this = self.clone();
        async move {
            match tokio::time::timeout(call.timeout, this.send(&call)).await {
                Ok(answer) => answer,
                Err(_) => Err(InvokeError::TimedOut(call.timeout)),
            }
        }
        .boxed()
    }
}

fn innermost(error: &dyn Error) -> &dyn Error {
    let mut error = error;
    while let Some(source) = error.source() {
        error = source;
    }
    error
}
