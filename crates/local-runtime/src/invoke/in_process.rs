use std::collections::HashMap;
use std::sync::Arc;
use std::time::SystemTime;

use bytes::Bytes;
use futures::FutureExt;
use futures::future::BoxFuture;
use tokio_util::task::AbortOnDropHandle;

use super::{Call, InvokeError, Invoker};
use crate::event::kafka::MAX_PAYLOAD_BYTES;

/// A function as a closure; an `Err` is a failed invocation.
pub type InProcessFunction = Arc<dyn Fn(Invocation) -> BoxFuture<'static, anyhow::Result<Bytes>> + Send + Sync>;

/// What an in-process function is given.
#[derive(Clone, Debug)]
pub struct Invocation {
    /// The event's JSON.
    pub payload: Bytes,
    /// When the invocation is given up.
    pub deadline: SystemTime,
    /// The invocation's name.
    pub request_id: String,
}

/// Functions in this process, on the tokio runtime that invokes them. A panic is a failed invocation and ends nothing
/// else; at its timeout an invocation is dropped where it waits.
#[derive(Clone, Default)]
pub struct InProcess {
    functions: Arc<HashMap<String, InProcessFunction>>,
}

impl InProcess {
    /// The functions by name.
    #[must_use]
    pub fn new(functions: impl IntoIterator<Item = (String, InProcessFunction)>) -> Self {
        Self { functions: Arc::new(functions.into_iter().collect()) }
    }
}

impl Invoker for InProcess {
    fn invoke(&self, call: Call) -> BoxFuture<'static, Result<Bytes, InvokeError>> {
        let function = self.functions.get(&call.function).cloned();
        async move {
            let function = function.ok_or(InvokeError::Unknown(call.function))?;
            let invocation = Invocation {
                payload: call.payload,
                deadline: SystemTime::now() + call.timeout,
                request_id: call.request_id,
            };
            // A task of its own: the closure's own code and its future both may panic.
            let task = AbortOnDropHandle::new(tokio::spawn(async move { function(invocation).await }));
            match tokio::time::timeout(call.timeout, task).await {
                Ok(Ok(Ok(answer))) if answer.len() > MAX_PAYLOAD_BYTES => Err(InvokeError::failed(
                    "Function.ResponseSizeTooLarge",
                    format!("the answer of {} bytes is above the service's limit of {MAX_PAYLOAD_BYTES}", answer.len()),
                )),
                Ok(Ok(Ok(answer))) => Ok(answer),
                Ok(Ok(Err(error))) => Err(InvokeError::failed("Error", format!("{error:#}"))),
                Ok(Err(ended)) => Err(match ended.try_into_panic() {
                    Ok(panic) => {
                        InvokeError::failed("Panic", format!("the function panicked: {}", panic_message(&*panic)))
                    }
                    Err(ended) => InvokeError::failed("Error", format!("the function's task ended: {ended}")),
                }),
                Err(_) => Err(InvokeError::TimedOut(call.timeout)),
            }
        }
        .boxed()
    }
}

fn panic_message(panic: &(dyn std::any::Any + Send)) -> &str {
    panic
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("no message")
}

impl std::fmt::Debug for InProcess {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_set().entries(self.functions.keys()).finish()
    }
}
