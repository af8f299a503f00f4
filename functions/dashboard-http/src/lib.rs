#![doc = include_str!("../README.md")]

mod asked;
mod chart;
mod config;
mod deps;
mod markup;
mod page;
mod parts;
mod problem;
mod read;
mod route;
mod table;
mod text;
mod warehouse;

use std::sync::Arc;
use std::time::Duration;

use http_api::{Event, Problem, RequestLog};
use lambda_boot::{Deadline, Handler, InvalidEvent, Vars};
use lambda_http::http::StatusCode;
use lambda_http::http::header::{CACHE_CONTROL, CONTENT_DISPOSITION, CONTENT_TYPE, X_CONTENT_TYPE_OPTIONS};
use lambda_http::{Body, Request, Response};
use tokio::time::Instant;

use crate::asked::Asked;
use crate::page::Page;
use crate::problem::unavailable;

pub use crate::config::Config;
pub use crate::deps::Deps;
pub use crate::route::Route;

/// The longest wait for the warehouse or a hash; a page that takes longer is better asked for again.
const MAX_WAIT: Duration = Duration::from_secs(5);

/// The function in its outermost form: HTTP API events in, answers out.
///
/// # Errors
/// When the configuration is wrong.
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
    let mut log = RequestLog::start();
    let result = respond(deps, request, deadline, &mut log).await;
    http_api::log_request!(&log, request, &result);
    http_api::finish(request, result)
}

async fn respond(
    deps: &Deps,
    request: &Request,
    deadline: Deadline,
    log: &mut RequestLog,
) -> Result<Response<Body>, Problem> {
    let route = Route::find(request.method(), request.uri().path())?;
    log.route = route.path();
    let authenticated = deps.users.authenticate(request);
    let user = http_api::in_time(deadline.wait(MAX_WAIT), "the users", authenticated).await.map_err(unavailable)??;
    if !log.user.insert(user).may_see_everybody() {
        return Err(problem::out_of_scope());
    }
    let page = page(deps, request.uri().query().unwrap_or_default(), Instant::now() + deadline.wait(MAX_WAIT)).await;
    match route {
        Route::Page => html(deps, page),
        Route::Table { file } => csv(page?, &file),
    }
}

async fn page(deps: &Deps, query: &str, until: Instant) -> Result<Page, Problem> {
    let asked = Asked::parse(query)?;
    Ok(match asked.subscriber {
        None => Page::of_everybody(asked, &read::read(deps, asked.period, until).await, &deps.tariff),
        Some(place) => {
            let view = read::read_subscriber(deps, asked.period, place, until).await?;
            Page::of_subscriber(asked, &view.ok_or_else(problem::not_in_ranking)?, &deps.tariff)
        }
    })
}

/// The page as an answer. It is a page also where what is asked for can't be shown.
fn html(deps: &Deps, page: Result<Page, Problem>) -> Result<Response<Body>, Problem> {
    let (status, page) = match page {
        Ok(page) => (StatusCode::OK, page),
        Err(problem) => (problem.status(), Page::of_nothing(problem.to_string())),
    };
    let body = page.render(&deps.templates).map_err(unavailable)?;
    markup::with_headers(Response::builder().status(status))
        .body(Body::Text(body))
        .map_err(|error| unavailable(error.into()))
}

/// A table of the page as a file.
fn csv(page: Page, file: &str) -> Result<Response<Body>, Problem> {
    let table = file.strip_suffix(".csv").ok_or_else(Problem::not_found)?;
    let body = page.into_table(table)?.csv().map_err(unavailable)?;
    Response::builder()
        .header(CONTENT_TYPE, "text/csv; charset=utf-8; header=present")
        .header(CONTENT_DISPOSITION, "attachment")
        .header(CACHE_CONTROL, "no-store")
        .header(X_CONTENT_TYPE_OPTIONS, "nosniff")
        .body(Body::Text(body))
        .map_err(|error| unavailable(error.into()))
}
