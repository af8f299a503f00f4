#![doc = include_str!("../README.md")]

mod body;
mod config;
mod outcome;
mod problem;

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context;
use http_api::auth::{Authenticator, User};
use http_api::{Request, Response};
use kafka_sink::Sink;
use lambda_boot::{Deadline, Handler, InvalidEvent, Vars};
use telecom::{Message, Zone};

pub use body::{MAX_BODY_BYTES, MAX_ITEMS};
pub use config::Config;
pub use outcome::{Item, Outcome, Status};
pub use problem::Problem;

/// What a request needs.
pub struct Deps {
    sink: Sink,
    topic: String,
    zone: Zone,
    users: Authenticator,
}

/// The function's only path.
pub const PATH: &str = "/messages";

/// The longest wait for Kafka: a broker that is lost has a successor after some seconds, which is better waited for than
/// asked about again; and the API itself gives up after 30 s.
const MAX_WAIT: Duration = Duration::from_secs(10);

impl Deps {
    /// Makes the clients. Kafka may be down: it is waited for when a request needs it.
    ///
    /// # Errors
    /// When the producer refuses its configuration.
    pub fn connect(config: &Config) -> anyhow::Result<Self> {
        Ok(Self {
            sink: Sink::new(&config.kafka)?,
            topic: config.topic.clone(),
            zone: config.zone.clone(),
            users: Authenticator::new(config.users.clone()),
        })
    }
}

/// The function in its outermost form: HTTP API events in, answers out.
///
/// # Errors
/// When the configuration is unusable.
pub async fn boot(vars: Vars) -> anyhow::Result<Handler> {
    let deps = Deps::connect(&Config::from_vars(&vars)?)?;
    Ok(lambda_boot::handler(deps, |deps: Arc<Deps>, invocation| async move {
        let request = http_api::read(&invocation.payload).map_err(InvalidEvent::new)?;
        http_api::write(&handle(&deps, &request, invocation.deadline).await?)
    }))
}

/// Answers one request and logs one line about it; problems are answers too. When the answer says that a message is accepted,
/// Kafka has acknowledged it.
///
/// # Errors
/// Never in practice: answers always have a JSON form.
pub async fn handle(deps: &Deps, request: &Request, deadline: Deadline) -> anyhow::Result<Response> {
    let started = Instant::now();
    let mut user = None;
    let result = respond(deps, request, deadline, &mut user).await;
    log(request, user.as_deref(), &result, started.elapsed());
    Ok(match result {
        Ok(outcome) => Response { status: 202, ..Response::json(serde_json::to_string(&outcome)?) },
        Err(problem) => problem.response()?,
    })
}

async fn respond(
    deps: &Deps,
    request: &Request,
    deadline: Deadline,
    user: &mut Option<Arc<User>>,
) -> Result<Outcome, Problem> {
    if request.path != PATH {
        return Err(Problem::NotFound);
    }
    if request.method != "POST" {
        return Err(Problem::MethodNotAllowed);
    }
    let sender = in_time(deadline, "the users", deps.users.authenticate(request)).await??;
    if !user.insert(sender).may_post() {
        return Err(Problem::MayNotPost);
    }
    let items = body::items(request.content_type.as_deref(), &request.body)?;
    let (messages, outcome) = outcome::judge(&items, &deps.zone);
    if messages.is_empty() {
        return Err(Problem::NothingAccepted(outcome));
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

/// Waits for what the request needs, but leaves time for the answer.
async fn in_time<T>(
    deadline: Deadline,
    what: &str,
    future: impl Future<Output = anyhow::Result<T>>,
) -> Result<T, Problem> {
    let result = deadline.wait_for(MAX_WAIT, what, future).await.map_err(Problem::Unavailable)?;
    result.with_context(|| format!("{what} can't be used")).map_err(Problem::Unavailable)
}

fn log(request: &Request, user: Option<&User>, result: &Result<Outcome, Problem>, duration: Duration) {
    let outcome = match result {
        Ok(outcome) | Err(Problem::NothingAccepted(outcome)) => Some(outcome),
        Err(_) => None,
    };
    // A level is part of the macro's name, so a function could not take it.
    macro_rules! log {
        ($level:ident, $why:ident, $message:literal) => {
            tracing::$level!(
                http.request_id = request.id,
                http.method = request.method,
                http.route = if request.path == PATH { PATH } else { "" },
                http.status = result.as_ref().err().map_or(202, Problem::status),
                http.body_bytes = request.body.len(),
                user = user.map(User::name),
                messages.accepted = outcome.map(|outcome| outcome.accepted),
                messages.duplicates = outcome.map(|outcome| outcome.duplicates),
                messages.rejected = outcome.map(|outcome| outcome.rejected),
                duration_ms = duration.as_millis() as u64,
                $why,
                $message
            )
        };
    }
    match result {
        Err(Problem::Unavailable(error)) => {
            let error = format!("{error:#}");
            log!(error, error, "no answer");
        }
        _ => {
            let problem = result.as_ref().err().map(Problem::name);
            log!(info, problem, "answered");
        }
    }
}
