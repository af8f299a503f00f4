//! The functions' Invoke API: `POST /2015-03-31/functions/NAME/invocations`, as the service has it, without signatures.

use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use futures::FutureExt;
use futures::future::BoxFuture;
use http::request::Parts;
use http::{HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper::body::Incoming;
use serde_json::json;
use serde_json::value::RawValue;
use tokio::task::JoinSet;

use super::Answer;
use crate::event::http::percent_decoded;
use crate::event::kafka::MAX_PAYLOAD_BYTES;
use crate::event::{ACCOUNT, REGION};
use crate::invoke::{Call, FunctionError, InvokeError, Invoker};
use crate::template::Function;

/// The service's limit for an event that nobody waits for.
const MAX_EVENT_BYTES: usize = 1024 * 1024;
/// Events that are with their functions at a time: far more than a machine runs, and no more than memory holds.
const MAX_EVENTS: usize = 100;

/// Functions of a template, for whoever can reach the listener: see [`Refusal::not_a_program`].
pub(crate) struct InvokeApi {
    functions: Vec<Function>,
    invoker: Arc<dyn Invoker>,
    /// Ends with the API.
    events: Mutex<JoinSet<()>>,
}

/// `X-Amz-Invocation-Type`.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    RequestResponse,
    Event,
    DryRun,
}

/// What the service answers where no function was invoked.
struct Refusal {
    status: StatusCode,
    kind: &'static str,
    message: String,
}

impl Answer for InvokeApi {
    fn answer(
        self: Arc<Self>,
        request: Request<Incoming>,
        _peer: SocketAddr,
        _local: SocketAddr,
    ) -> BoxFuture<'static, Response<Full<Bytes>>> {
        async move { self.invoked(request).await.unwrap_or_else(Refusal::response) }.boxed()
    }
}

impl InvokeApi {
    pub(crate) fn new(functions: Vec<Function>, invoker: Arc<dyn Invoker>) -> Self {
        Self { functions, invoker, events: Mutex::default() }
    }

    async fn invoked(&self, request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Refusal> {
        let (parts, body) = request.into_parts();
        if !is_of_a_program(&parts) {
            return Err(Refusal::not_a_program());
        }
        let function = self.function(&parts)?;
        let kind = Kind::of(&parts)?;
        let limit = if kind == Kind::Event { MAX_EVENT_BYTES } else { MAX_PAYLOAD_BYTES };
        let payload = payload(body, limit).await?;
        let call = Call::new(&function.name, payload, function.timeout);
        let request_id = call.request_id.clone();
        let mut response = match kind {
            Kind::DryRun => empty(StatusCode::NO_CONTENT),
            Kind::Event => self.send(call)?,
            Kind::RequestResponse => answered(&function.name, self.invoker.invoke(call).await, &request_id)?,
        };
        let headers = response.headers_mut();
        headers.insert("x-amz-executed-version", HeaderValue::from_static("$LATEST"));
        headers.extend(
            HeaderValue::from_str(&request_id).map(|id| (header::HeaderName::from_static("x-amzn-requestid"), id)),
        );
        Ok(response)
    }

    fn function(&self, parts: &Parts) -> Result<&Function, Refusal> {
        let path = parts.uri.path().strip_prefix("/2015-03-31/functions/");
        let name = path.and_then(|path| path.strip_suffix("/invocations")).filter(|_| parts.method == Method::POST);
        let Some(name) = name else {
            let message = "only POST /2015-03-31/functions/NAME/invocations is served here".into();
            return Err(Refusal { status: StatusCode::NOT_FOUND, kind: "UnknownOperationException", message });
        };
        let asked = percent_decoded(name, false);
        let name = bare_name(&asked);
        self.functions.iter().find(|function| function.answers_to(name)).ok_or_else(|| Refusal::no_function(name))
    }

    /// Invokes without waiting. A failure is logged: nothing is repeated or sent elsewhere.
    fn send(&self, call: Call) -> Result<Response<Full<Bytes>>, Refusal> {
        // Every writer leaves whole tasks behind.
        let mut events = self.events.lock().unwrap_or_else(PoisonError::into_inner);
        while events.try_join_next().is_some() {}
        if events.len() >= MAX_EVENTS {
            let message = format!("{MAX_EVENTS} events are with their functions: send this one later");
            return Err(Refusal { status: StatusCode::TOO_MANY_REQUESTS, kind: "TooManyRequestsException", message });
        }
        let (invoker, function, request_id) =
            (Arc::clone(&self.invoker), call.function.clone(), call.request_id.clone());
        events.spawn(async move {
            if let Err(error) = invoker.invoke(call).await {
                tracing::warn!(
                    function.name = function, request.id = request_id, %error, "an event's invocation failed"
                );
            }
        });
        Ok(empty(StatusCode::ACCEPTED))
    }
}

impl Kind {
    fn of(parts: &Parts) -> Result<Self, Refusal> {
        let kind = parts.headers.get("x-amz-invocation-type").map_or(Ok("RequestResponse"), HeaderValue::to_str);
        match kind {
            Ok("RequestResponse") => Ok(Self::RequestResponse),
            Ok("Event") => Ok(Self::Event),
            Ok("DryRun") => Ok(Self::DryRun),
            _ => Err(Refusal {
                status: StatusCode::BAD_REQUEST,
                kind: "InvalidParameterValueException",
                message: "X-Amz-Invocation-Type is one of RequestResponse, Event, DryRun".into(),
            }),
        }
    }
}

/// Whether it does not come from a page in a browser: any page may send requests to this machine, also under a name of
/// its own that it lets point here.
fn is_of_a_program(parts: &Parts) -> bool {
    let is_of_a_page = ["origin", "sec-fetch-site"].iter().any(|name| parts.headers.contains_key(*name));
    let host = parts.headers.get(header::HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
    let name = host.rsplit_once(':').filter(|(_, port)| !port.contains(']')).map_or(host, |(name, _)| name);
    let address = name.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
    let is_here = name.eq_ignore_ascii_case("localhost") || address.is_ok_and(|address| address.is_loopback());
    is_here && !is_of_a_page
}

/// A function's name without the ARN around it and the version behind it.
fn bare_name(asked: &str) -> &str {
    let name = asked.rsplit_once("function:").map_or(asked, |(_, name)| name);
    name.split(':').next().unwrap_or_default()
}

/// The event; one without a body is `{}`, as in the service.
async fn payload(body: Incoming, limit: usize) -> Result<Bytes, Refusal> {
    let invalid =
        |message| Refusal { status: StatusCode::BAD_REQUEST, kind: "InvalidRequestContentException", message };
    let body = Limited::new(body, limit).collect().await.map_err(|error| {
        if error.is::<LengthLimitError>() {
            let message = format!("Request must be smaller than {limit} bytes for the InvokeFunction operation");
            return Refusal { status: StatusCode::PAYLOAD_TOO_LARGE, kind: "RequestTooLargeException", message };
        }
        invalid("the body can't be read".into())
    })?;
    let body = body.to_bytes();
    if body.is_empty() {
        return Ok(Bytes::from_static(b"{}"));
    }
    let json = serde_json::from_slice::<&RawValue>(&body);
    json.map_err(|error| invalid(format!("Could not parse request body into json: {error}")))?;
    Ok(body)
}

/// An answer, or a function's failure: that is no failure of the API.
fn answered(
    function: &str,
    outcome: Result<Bytes, InvokeError>,
    request_id: &str,
) -> Result<Response<Full<Bytes>>, Refusal> {
    let error = match outcome {
        Ok(answer) => return Ok(json_response(StatusCode::OK, answer)),
        Err(InvokeError::Unknown(_)) => return Err(Refusal::no_function(function)),
        Err(InvokeError::Unreachable(message)) => {
            return Err(Refusal { status: StatusCode::BAD_GATEWAY, kind: "ServiceException", message });
        }
        Err(InvokeError::TimedOut(after)) => FunctionError::new(
            "Sandbox.Timedout",
            format!("RequestId: {request_id} Error: Task timed out after {:.2} seconds", after.as_secs_f64()),
        ),
        Err(InvokeError::Failed(error)) => error,
    };
    tracing::warn!(function.name = function, request.id = request_id, %error, "an invocation failed");
    let body = json!({"errorMessage": error.message, "errorType": error.kind});
    let mut response = json_response(StatusCode::OK, body.to_string().into());
    response.headers_mut().insert("x-amz-function-error", HeaderValue::from_static("Unhandled"));
    Ok(response)
}

fn empty(status: StatusCode) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::default());
    *response.status_mut() = status;
    response
}

fn json_response(status: StatusCode, body: Bytes) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(body));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

impl Refusal {
    fn no_function(name: &str) -> Self {
        let message = format!("Function not found: arn:aws:lambda:{REGION}:{ACCOUNT}:function:{name}");
        Self { status: StatusCode::NOT_FOUND, kind: "ResourceNotFoundException", message }
    }

    fn not_a_program() -> Self {
        let message = "the Invoke API is for programs on this machine: not for pages, and under no other name".into();
        Self { status: StatusCode::FORBIDDEN, kind: "AccessDeniedException", message }
    }

    /// The service's own form, of which SDKs read the header and `Message`; `cargo lambda invoke` reads the other two.
    fn response(self) -> Response<Full<Bytes>> {
        let fault = if self.status.is_server_error() { "Service" } else { "User" };
        let body = json!({
            "Type": fault, "Message": &self.message, "errorType": self.kind, "errorMessage": &self.message,
        });
        let mut response = json_response(self.status, body.to_string().into());
        response.headers_mut().insert("x-amzn-errortype", HeaderValue::from_static(self.kind));
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_function_may_be_named_in_full() {
        for asked in [
            "f",
            "f:live",
            "123456789012:function:f",
            "arn:aws:lambda:us-east-1:123456789012:function:f:1",
            "function:f",
        ] {
            assert_eq!(bare_name(asked), "f", "{asked}");
        }
    }

    #[test]
    fn pages_are_refused() {
        let check = |headers: &[(&str, &str)]| {
            let mut request = Request::post("/");
            for (name, value) in headers {
                request = request.header(*name, *value);
            }
            is_of_a_program(&request.body(()).unwrap().into_parts().0)
        };
        for host in ["127.0.0.1:9001", "localhost:9001", "LOCALHOST", "[::1]:9001", "[::1]", "127.8.9.1"] {
            assert!(check(&[("host", host)]), "{host}");
        }
        for host in ["example.org", "127.0.0.1.example.org:9001", "10.0.0.1:9001", "", "localhost.example.org"] {
            assert!(!check(&[("host", host)]), "{host}");
        }
        assert!(!check(&[("host", "127.0.0.1:9001"), ("origin", "http://127.0.0.1:9001")]));
        assert!(!check(&[("host", "127.0.0.1:9001"), ("sec-fetch-site", "cross-site")]));
        assert!(!check(&[]));
    }
}
