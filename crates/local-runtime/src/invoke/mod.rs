//! How a function is invoked.

mod in_process;
mod remote;

use std::time::Duration;

use bytes::Bytes;
use futures::future::BoxFuture;

pub use in_process::{InProcess, InProcessFunction, Invocation};
pub use remote::RemoteInvoker;

/// One invocation to make.
#[derive(Clone, Debug)]
pub struct Call {
    /// The function's name, [`crate::template::Function::name`].
    pub function: String,
    /// The event's JSON.
    pub payload: Bytes,
    /// The function's timeout.
    pub timeout: Duration,
    /// A name for this invocation.
    pub request_id: String,
}

/// What a function says of its failure, as the service passes it on.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct FunctionError {
    /// `errorType`.
    pub kind: String,
    /// `errorMessage`.
    pub message: String,
}

impl FunctionError {
    pub(crate) fn new(kind: &str, message: impl Into<String>) -> Self {
        Self { kind: kind.to_owned(), message: message.into() }
    }
}

impl InvokeError {
    /// A failure of the function itself; `kind` is its `errorType`.
    pub(crate) fn failed(kind: &str, message: impl Into<String>) -> Self {
        Self::Failed(FunctionError::new(kind, message))
    }
}

/// Why an invocation brought no answer.
#[derive(Debug, thiserror::Error)]
pub enum InvokeError {
    /// There is no function of this name.
    #[error("there is no function {0}")]
    Unknown(String),
    /// The function returned an error, panicked or crashed.
    #[error("{0}")]
    Failed(FunctionError),
    /// The function took longer than its timeout.
    #[error("timed out after {} s", .0.as_secs_f64())]
    TimedOut(Duration),
    /// Whatever runs the function can't be reached.
    #[error("{0}")]
    Unreachable(String),
}

/// Something that runs functions.
pub trait Invoker: Send + Sync + 'static {
    /// Invokes a function and waits for its answer's JSON. Dropping the future gives the answer up.
    fn invoke(&self, call: Call) -> BoxFuture<'static, Result<Bytes, InvokeError>>;
}

impl Call {
    /// A call with a random request id.
    #[must_use]
    pub fn new(function: impl Into<String>, payload: Bytes, timeout: Duration) -> Self {
        Self { function: function.into(), payload, timeout, request_id: uuid::Uuid::new_v4().to_string() }
    }
}
