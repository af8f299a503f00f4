//! What every function does with a request, beside its answer.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context;
use lambda_http::http::Method;
use lambda_http::{Body, Request, Response};
use serde::Serialize;

use crate::auth::User;
use crate::problem::Problem;

/// Waits for what a request needs, at most `wait`, which leaves time for an answer.
///
/// # Errors
/// Those of `work`; or that `what` has not answered in time.
pub async fn in_time<T, E: Into<anyhow::Error>>(
    wait: Duration,
    what: &str,
    work: impl Future<Output = Result<T, E>>,
) -> anyhow::Result<T> {
    let result =
        tokio::time::timeout(wait, work).await.with_context(|| format!("{what}: no answer within {wait:?}"))?;
    result.map_err(|error| error.into().context(format!("{what} can't be used")))
}

/// The answer, or the problem as one; without its body where only the head was asked for.
///
/// # Errors
/// Never in practice: answers always have a JSON form.
pub fn finish<M: Serialize>(
    request: &Request,
    result: Result<Response<Body>, Problem<M>>,
) -> anyhow::Result<Response<Body>> {
    let mut response = match result {
        Ok(response) => response,
        Err(problem) => problem.response()?,
    };
    if request.method() == Method::HEAD {
        *response.body_mut() = Body::Text(String::new());
    }
    Ok(response)
}

/// What every request's line of the log says; [`log_request!`](crate::log_request) writes it.
#[derive(Debug)]
pub struct RequestLog {
    /// When the request came.
    pub started: Instant,
    /// The path without its values; empty where it is unknown.
    pub route: &'static str,
    /// Who asks, once that is known.
    pub user: Option<Arc<User>>,
}

impl RequestLog {
    /// The log of a request that has just come.
    #[must_use]
    pub fn start() -> Self {
        Self { started: Instant::now(), route: "", user: None }
    }
}

/// Logs the one line of a request: what all functions say about it, and fields of the function's own. Takes the
/// [`RequestLog`], the request, the result and those fields.
#[macro_export]
macro_rules! log_request {
    ($log:expr, $request:expr, $result:expr $(, $($fields:tt)+)?) => {{
        let (log, request, result): (&$crate::RequestLog, &$crate::lambda_http::Request, _) = ($log, $request, $result);
        let status = result.as_ref().map_or_else($crate::Problem::status, |response| response.status());
        // A level is part of the macro's name, so a function could not take it.
        macro_rules! line {
            ($level:ident, $why:ident, $message:literal) => {
                $crate::tracing::$level!(
                    http.request_id = $crate::request_id(request),
                    http.method = request.method().as_str(),
                    http.route = log.route,
                    http.status = status.as_u16(),
                    user = log.user.as_ref().map(|user| user.name()),
                    $($($fields)+,)?
                    duration_ms = log.started.elapsed().as_millis() as u64,
                    $why,
                    $message
                )
            };
        }
        let problem = result.as_ref().err();
        match problem.and_then($crate::Problem::cause) {
            Some(error) => {
                let error = format!("{error:#}");
                line!(error, error, "no answer");
            }
            None => {
                let problem = problem.map($crate::Problem::name);
                line!(info, problem, "answered");
            }
        }
    }};
}
