#![doc = include_str!("../README.md")]

mod answer;
mod ask;
mod config;
mod dashboard;
mod problem;
mod query;
mod route;
mod towers;

use std::future::Future;
use std::sync::Arc;
use std::time::{Duration, Instant};

use http_api::auth::{Authenticator, User};
use http_api::{Request, Response};
use lambda_boot::{Deadline, Handler, InvalidEvent, Vars};
use telecom::{Day, Msisdn, Tariff};
use usage_store::Store;

use dashboard::Wanted;

pub use answer::answer;
pub use ask::{Ask, Form};
pub use config::{Config, DashboardConfig};
pub use problem::Problem;
pub use route::{Resource, Route};
pub use towers::TowerAsk;

/// What a request needs.
pub struct Deps {
    store: Store,
    tariff: Tariff,
    users: Authenticator,
    /// `None` where nobody has said where the warehouse is.
    dashboard: Option<dashboard::Sources>,
}

/// The longest wait for the store or a hash; a request that takes longer is better asked again.
const MAX_WAIT: Duration = Duration::from_secs(5);

/// Whose usage is read to see whether the store answers: no country's numbers begin so.
const NOBODY: Msisdn = match Msisdn::from_u64(99_999) {
    Ok(msisdn) => msisdn,
    Err(_) => panic!("this has five digits"),
};

impl Deps {
    /// The store's clients, and the warehouse's. Users in a secret are read when the first request comes.
    ///
    /// # Errors
    /// When the store can't be used.
    pub async fn connect(config: &Config) -> anyhow::Result<Self> {
        Ok(Self {
            store: Store::connect(&config.usage_store)?,
            tariff: config.tariff.clone(),
            users: Authenticator::new(config.users.clone()),
            dashboard: config.dashboard.as_ref().map(dashboard::Sources::new).transpose()?,
        })
    }
}

/// The function in its outermost form: HTTP API events in, answers out.
///
/// # Errors
/// When the configuration is wrong or the store can't be used.
pub async fn boot(vars: Vars) -> anyhow::Result<Handler> {
    let deps = Deps::connect(&Config::from_vars(&vars)?).await?;
    Ok(lambda_boot::handler(deps, |deps, invocation| async move {
        let request = http_api::read(&invocation.payload).map_err(InvalidEvent::new)?;
        http_api::write(&handle(&deps, &request, invocation.deadline).await?)
    }))
}

/// Answers one request and logs one line about it; problems are answers too.
///
/// # Errors
/// Never in practice: answers always have a JSON form.
pub async fn handle(deps: &Deps, request: &Request, deadline: Deadline) -> anyhow::Result<Response> {
    let started = Instant::now();
    let mut seen = Seen::default();
    let result = respond(deps, request, deadline, &mut seen).await;
    seen.log(request, &result, started.elapsed());
    let mut response = match result {
        Ok(response) => response,
        Err(problem) => problem.response()?,
    };
    if request.method == "HEAD" {
        response.body.clear();
    }
    Ok(response)
}

async fn respond(deps: &Deps, request: &Request, deadline: Deadline, seen: &mut Seen) -> Result<Response, Problem> {
    let route = Route::find(&request.method, &request.path)?;
    seen.route = route.path();
    match route {
        Route::Health => {
            // The cheapest read there is: one day of one subscriber who can't have any usage then.
            in_time(deadline, "the store", deps.store.usage_of(NOBODY, Day::MIN, Day::MIN)).await?;
            Ok(Response::json(r#"{"status":"ok"}"#.into()))
        }
        Route::Usage(resource) => {
            let user = authenticate(deps, request, deadline, seen).await?;
            let ask = Ask::parse(&resource, &request.query)?;
            seen.msisdn = Some(ask.msisdn);
            if !user.may_see(ask.msisdn) {
                return Err(Problem::OutOfScope);
            }
            let rows = in_time(deadline, "the store", deps.store.usage_of(ask.msisdn, ask.from, ask.to)).await?;
            json(answer(&ask, &rows, &deps.tariff))
        }
        Route::TowerActivity { id } => {
            let user = authenticate(deps, request, deadline, seen).await?;
            let ask = TowerAsk::parse(&id, &request.query)?;
            seen.tower_id = Some(ask.tower_id);
            if !user.may_see_everybody() {
                return Err(Problem::TowersOutOfScope);
            }
            let read = deps.store.tower_activity(ask.tower_id, ask.from, ask.to);
            let hours = in_time(deadline, "the store", read).await?;
            json(ask.answer(&hours))
        }
        Route::Dashboard => show(deps, request, deadline, seen, Wanted::Page).await,
        Route::DashboardTable { table } => show(deps, request, deadline, seen, Wanted::File(table)).await,
    }
}

/// The dashboard, for those who may see everybody.
async fn show(
    deps: &Deps,
    request: &Request,
    deadline: Deadline,
    seen: &mut Seen,
    wanted: Wanted,
) -> Result<Response, Problem> {
    let user = authenticate(deps, request, deadline, seen).await?;
    if !user.may_see_everybody() {
        return Err(Problem::DashboardOutOfScope);
    }
    let sources = deps.dashboard.as_ref().ok_or(Problem::NoDashboard)?;
    dashboard::answer(sources, &deps.tariff, wanted, &request.query, deadline.wait(MAX_WAIT)).await
}

fn json(body: serde_json::Result<String>) -> Result<Response, Problem> {
    body.map(Response::json).map_err(|error| Problem::Unavailable(error.into()))
}

async fn authenticate(
    deps: &Deps,
    request: &Request,
    deadline: Deadline,
    seen: &mut Seen,
) -> Result<Arc<User>, Problem> {
    let user = in_time(deadline, "the users", deps.users.authenticate(request)).await??;
    seen.user = Some(Arc::clone(&user));
    Ok(user)
}

/// Waits for what the request needs, but leaves time for the answer.
async fn in_time<T, E: Into<anyhow::Error>>(
    deadline: Deadline,
    what: &str,
    future: impl Future<Output = Result<T, E>>,
) -> Result<T, Problem> {
    let result = deadline.wait_for(MAX_WAIT, what, future).await.map_err(Problem::Unavailable)?;
    result.map_err(|error| Problem::Unavailable(error.into().context(format!("{what} can't be read"))))
}

/// What the log says about a request.
#[derive(Default)]
struct Seen {
    route: &'static str,
    user: Option<Arc<User>>,
    msisdn: Option<Msisdn>,
    tower_id: Option<u32>,
}

impl Seen {
    fn log(&self, request: &Request, result: &Result<Response, Problem>, duration: Duration) {
        // A level is part of the macro's name, so a function could not take it.
        macro_rules! log {
            ($level:ident, $why:ident, $message:literal) => {
                tracing::$level!(
                    http.request_id = request.id,
                    http.method = request.method,
                    http.route = self.route,
                    http.status = result.as_ref().map_or_else(Problem::status, |response| response.status),
                    user = self.user.as_ref().map(|user| user.name()),
                    msisdn = self.msisdn.map(|msisdn| msisdn.masked().to_string()),
                    tower_id = self.tower_id,
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
}
