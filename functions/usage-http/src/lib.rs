#![doc = include_str!("../README.md")]

mod answer;
mod ask;
mod config;
mod deps;
mod problem;
mod route;
mod towers;

use std::sync::Arc;
use std::time::Duration;

use http_api::auth::User;
use http_api::{Event, Problem, RequestLog, json};
use lambda_boot::{Deadline, Handler, InvalidEvent, Vars};
use lambda_http::{Body, Request, Response};
use telecom::{Day, Msisdn};

use crate::problem::unavailable;

pub use crate::answer::answer;
pub use crate::ask::{Ask, Form};
pub use crate::config::Config;
pub use crate::deps::Deps;
pub use crate::route::{Resource, Route};
pub use crate::towers::TowerAsk;

/// The longest wait for the store or a hash; a request that takes longer is better asked again.
const MAX_WAIT: Duration = Duration::from_secs(5);

/// Whose usage is read to see whether the store answers: no country's numbers begin so.
const NOBODY: Msisdn = match Msisdn::from_u64(99_999) {
    Ok(msisdn) => msisdn,
    Err(_) => panic!("this has five digits"),
};

/// The function in its outermost form: HTTP API events in, answers out.
///
/// # Errors
/// When the configuration is wrong or the store can't be used.
pub async fn boot(vars: Vars) -> anyhow::Result<Handler> {
    let deps = Deps::connect(&Config::from_vars(&vars)?)?;
    Ok(lambda_boot::handler(deps, |deps: Arc<Deps>, invocation| async move {
        let event = Event::read(&invocation.payload).map_err(InvalidEvent::new)?;
        event.answer(async |request| handle(&deps, &request, invocation.deadline).await).await
    }))
}

/// Answers one request and logs one line about it; problems are answers too.
///
/// # Errors
/// Never in practice: answers always have a JSON form.
pub async fn handle(deps: &Deps, request: &Request, deadline: Deadline) -> anyhow::Result<Response<Body>> {
    let mut seen = Seen { log: RequestLog::start(), msisdn: None, tower_id: None };
    let result = respond(deps, request, deadline, &mut seen).await;
    let msisdn = seen.msisdn.map(|msisdn| msisdn.masked().to_string());
    http_api::log_request!(&seen.log, request, &result, msisdn = msisdn, tower_id = seen.tower_id);
    http_api::finish(request, result)
}

/// What the log says about a request.
struct Seen {
    log: RequestLog,
    msisdn: Option<Msisdn>,
    tower_id: Option<u32>,
}

async fn respond(
    deps: &Deps,
    request: &Request,
    deadline: Deadline,
    seen: &mut Seen,
) -> Result<Response<Body>, Problem> {
    let route = Route::find(request.method(), request.uri().path())?;
    seen.log.route = route.path();
    match route {
        Route::Health => {
            // The cheapest read there is: one day of one subscriber who can't have any usage then.
            in_time(deadline, "the store", deps.store.usage_of(NOBODY, Day::MIN, Day::MIN)).await?;
            Ok(json(r#"{"status":"ok"}"#.to_owned()))
        }
        Route::Usage(resource) => {
            let user = authenticate(deps, request, deadline, seen).await?;
            let ask = Ask::parse(&resource, request.uri().query().unwrap_or_default())?;
            seen.msisdn = Some(ask.msisdn);
            if !user.may_see(ask.msisdn) {
                return Err(problem::out_of_scope());
            }
            let rows = in_time(deadline, "the store", deps.store.usage_of(ask.msisdn, ask.from, ask.to)).await?;
            answered(answer(&ask, &rows, &deps.tariff))
        }
        Route::TowerActivity { id } => {
            let user = authenticate(deps, request, deadline, seen).await?;
            let ask = TowerAsk::parse(&id, request.uri().query().unwrap_or_default())?;
            seen.tower_id = Some(ask.tower_id);
            if !user.may_see_everybody() {
                return Err(problem::towers_out_of_scope());
            }
            let read = deps.store.tower_activity(ask.tower_id, ask.from, ask.to);
            let hours = in_time(deadline, "the store", read).await?;
            answered(ask.answer(&hours))
        }
    }
}

fn answered(body: serde_json::Result<String>) -> Result<Response<Body>, Problem> {
    body.map(json).map_err(|error| unavailable(error.into()))
}

async fn authenticate(
    deps: &Deps,
    request: &Request,
    deadline: Deadline,
    seen: &mut Seen,
) -> Result<Arc<User>, Problem> {
    let user = in_time(deadline, "the users", deps.users.authenticate(request)).await??;
    seen.log.user = Some(Arc::clone(&user));
    Ok(user)
}

async fn in_time<T, E: Into<anyhow::Error>>(
    deadline: Deadline,
    what: &str,
    read: impl Future<Output = Result<T, E>>,
) -> Result<T, Problem> {
    http_api::in_time(deadline.wait(MAX_WAIT), what, read).await.map_err(unavailable)
}
