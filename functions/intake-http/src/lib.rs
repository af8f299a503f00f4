#![doc = include_str!("../README.md")]

mod body;
mod config;
mod deps;
mod outcome;
mod problem;

use std::sync::Arc;
use std::time::Duration;

use http_api::{Event, RequestLog};
use lambda_boot::{Deadline, Handler, InvalidEvent, Vars};
use lambda_http::http::header::CONTENT_TYPE;
use lambda_http::http::{Method, StatusCode};
use lambda_http::{Body, Request, Response};
use telecom::Message;

use crate::problem::unavailable;

pub use crate::body::{MAX_BODY_BYTES, MAX_ITEMS};
pub use crate::config::Config;
pub use crate::deps::Deps;
pub use crate::outcome::{Item, Outcome, Status};
pub use crate::problem::Problem;

/// The function's only path.
pub const PATH: &str = "/messages";

/// The longest wait for Kafka: a broker that is lost has a successor after some seconds, which is better waited for than
/// asked about again; and the API itself gives up after 30 s.
const MAX_WAIT: Duration = Duration::from_secs(10);

/// The function in its outermost form: HTTP API events in, answers out.
///
/// # Errors
/// When the configuration is unusable.
pub async fn boot(vars: Vars) -> anyhow::Result<Handler> {
    let deps = Deps::connect(&Config::from_vars(&vars)?)?;
    Ok(lambda_boot::handler(deps, |deps: Arc<Deps>, invocation| async move {
        let event = Event::read(&invocation.payload).map_err(InvalidEvent::new)?;
        event.answer(async |request| handle(&deps, &request, invocation.deadline).await).await
    }))
}

/// Answers one request and logs one line about it; problems are answers too. When the answer says that a message is
/// accepted, Kafka has acknowledged it.
///
/// # Errors
/// Never in practice: answers always have a JSON form.
pub async fn handle(deps: &Deps, request: &Request, deadline: Deadline) -> anyhow::Result<Response<Body>> {
    let mut log = RequestLog::start();
    let result = respond(deps, request, deadline, &mut log).await;
    let outcome = result.as_ref().map_or_else(Problem::members, Some);
    let counts = outcome.map(|outcome| [outcome.accepted, outcome.duplicates, outcome.rejected]);
    let result = result.and_then(|outcome| accepted(&outcome));
    http_api::log_request!(
        &log,
        request,
        &result,
        http.body_bytes = request.body().len(),
        messages.accepted = counts.map(|[accepted, ..]| accepted),
        messages.duplicates = counts.map(|[_, duplicates, _]| duplicates),
        messages.rejected = counts.map(|[.., rejected]| rejected)
    );
    http_api::finish(request, result)
}

fn accepted(outcome: &Outcome) -> Result<Response<Body>, Problem> {
    let body = serde_json::to_string(outcome).map_err(|error| unavailable(error.into()))?;
    let mut response = http_api::json(body);
    *response.status_mut() = StatusCode::ACCEPTED;
    Ok(response)
}

async fn respond(deps: &Deps, request: &Request, deadline: Deadline, log: &mut RequestLog) -> Result<Outcome, Problem> {
    if request.uri().path() != PATH {
        return Err(Problem::not_found());
    }
    log.route = PATH;
    if request.method() != Method::POST {
        return Err(problem::only_for_posting());
    }
    let sender = in_time(deadline, "the users", deps.users.authenticate(request)).await??;
    if !log.user.insert(sender).may_post() {
        return Err(problem::may_not_post());
    }
    let content_type = request.headers().get(CONTENT_TYPE).map(|value| String::from_utf8_lossy(value.as_bytes()));
    let items = body::items(content_type.as_deref(), request.body())?;
    let (messages, outcome) = outcome::judge(&items, &deps.zone);
    if messages.is_empty() {
        return Err(problem::nothing_accepted(outcome));
    }
    in_time(deadline, "Kafka", publish(deps, &messages)).await?;
    Ok(outcome)
}

/// All or an error, after which some of them may have arrived all the same.
async fn publish(deps: &Deps, messages: &[Message]) -> anyhow::Result<()> {
    let mut session = deps.sink.session()?;
    for message in messages {
        session.send(&deps.topic, message.room_id.as_bytes(), &message.to_json()).await?;
    }
    Ok(session.flush(None).await?)
}

async fn in_time<T>(
    deadline: Deadline,
    what: &str,
    work: impl Future<Output = anyhow::Result<T>>,
) -> Result<T, Problem> {
    http_api::in_time(deadline.wait(MAX_WAIT), what, work).await.map_err(unavailable)
}
