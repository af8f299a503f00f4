use std::future::Future;

use bytes::Bytes;
use lambda_runtime::{Diagnostic, LambdaEvent, service_fn};
use serde_json::value::RawValue;
use tracing_subscriber::EnvFilter;

use crate::{Deadline, Handler, InvalidEvent, Invocation, Vars};

/// A function's whole `main`: logs, one cold start from the process's environment, then the Lambda runtime loop.
///
/// # Errors
/// When the cold start fails: the line that says why has been logged.
pub async fn run<F, Fut>(boot: F) -> anyhow::Result<()>
where
    F: FnOnce(Vars) -> Fut,
    Fut: Future<Output = anyhow::Result<Handler>>,
{
    init_logs();
    let handler = boot(Vars::from_env())
        .await
        .inspect_err(|error| tracing::error!(error = format!("{error:#}"), "the function can't start"))?;
    lambda_runtime::run(service_fn(move |event: LambdaEvent<Box<RawValue>>| {
        let handler = handler.clone();
        async move { invoke(&handler, event).await.map_err(|error| diagnostic(&error)) }
    }))
    .await
    .map_err(|error| anyhow::anyhow!("the Lambda runtime ended: {error}"))
}

async fn invoke(handler: &Handler, event: LambdaEvent<Box<RawValue>>) -> Result<Box<RawValue>, anyhow::Error> {
    let (payload, context) = event.into_parts();
    let answer = handler(Invocation {
        payload: Bytes::from(String::from(Box::<str>::from(payload))),
        deadline: Deadline::at(context.deadline()),
        request_id: context.request_id,
    })
    .await
    .inspect_err(|error| tracing::error!(error = format!("{error:#}"), "the invocation failed"))?;
    Ok(RawValue::from_string(String::from_utf8(answer.into())?)?)
}

/// What the service gets about a failure: `errorType` for counting and alarms, the message for people.
fn diagnostic(error: &anyhow::Error) -> Diagnostic {
    let error_type = if error.is::<InvalidEvent>() { "InvalidEvent" } else { "InvocationFailed" };
    Diagnostic { error_type: error_type.to_owned(), error_message: format!("{error:#}") }
}

/// The target under which the runtime itself logs failures. They are logged above, once, with fields.
const RUNTIMES_OWN_FAILURES: &str = "lambda_runtime::layers::panic=off";

/// JSON lines on standard output, filtered by `RUST_LOG` (default `info`).
pub fn init_logs() {
    let asked = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    let filter = RUNTIMES_OWN_FAILURES.parse().into_iter().fold(asked, EnvFilter::add_directive);
    tracing_subscriber::fmt().json().flatten_event(true).with_env_filter(filter).with_target(false).init();
}
