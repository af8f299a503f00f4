//! The dashboard: one page, made here, without a script. What can't be read is said in its place; the rest is there.

mod chart;
mod page;
mod parts;
mod period;
mod text;
mod warehouse;

use std::time::Duration;

use http_api::Response;
use kafka_sink::GroupLag;
use postgres_pool::{Names, Pool};
use telecom::Tariff;
use tokio::time::{Instant, timeout_at};

use crate::config::DashboardConfig;
use period::{Days, Period};
use warehouse::{Conflict, DayUsage, Loads, Messages, Rejected, Top, Waits};

/// The groups of Trunkline's event source mappings.
const GROUP_PREFIX: &str = "trunkline-";

/// Kafka's answer to that takes a quarter of a second; a cluster that takes this long does not hold up the rest of the page longer.
const KAFKA_WAIT: Duration = Duration::from_secs(3);

const USAGE: &str = "analytics.usage_by_day";
const MESSAGES: &str = "analytics.messages_by_day";
const WAITS: &str = "analytics.response_times";
const TOP: [&str; 2] = ["prepared_layers.daily_cost", "prepared_layers.daily_usage"];
const LOADS: [&str; 3] = ["ops.runs", "ops.layer_audit", "ops.lanes"];
const CONFLICTS: &str = "ops.file_conflicts";
const REJECTED: [&str; 2] = ["raw.rejected", "ops.unusable_records"];

/// Where the dashboard's figures are.
#[derive(Debug)]
pub(crate) struct Sources {
    warehouse: Pool,
    kafka: Option<kafka_sink::Config>,
}

impl Sources {
    /// The warehouse, connected to when it is first asked, and the cluster whose lag is shown.
    ///
    /// # Errors
    /// When the address is malformed.
    pub(crate) fn new(DashboardConfig { database_url, kafka }: &DashboardConfig) -> anyhow::Result<Self> {
        const NAMES: Names = Names { variable: "DATABASE_URL", service: "the warehouse" };
        Ok(Self { warehouse: Pool::new(database_url, NAMES)?, kafka: kafka.clone() })
    }
}

/// Why a part of the page has no figures.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Absent {
    /// Its tables are not there: nothing has been loaded yet.
    NotMade,
    /// The service can't be read now; the log says why.
    Away,
    /// It did not answer in time.
    TooSlow,
    /// Nobody has said where it is.
    Unset(&'static str),
}

type Section<T> = Result<T, Absent>;

/// What the page shows.
struct View {
    asked: Option<Period>,
    marts: Marts,
    lags: Section<Vec<GroupLag>>,
}

/// What the warehouse has. A part that goes by days has none where its table is empty.
struct Marts {
    usage: Section<Option<(Days, Vec<DayUsage>)>>,
    top: Section<Option<(Days, Top)>>,
    messages: Section<Option<(Days, Messages)>>,
    waits: Section<Option<(Days, Vec<Waits>)>>,
    loads: Section<Loads>,
    rejected: Section<Vec<Rejected>>,
    conflicts: Section<Vec<Conflict>>,
}

/// The page as an answer; also where the days that are asked for are none.
pub(crate) async fn answer(sources: &Sources, tariff: &Tariff, query: &str, wait: Duration) -> Response {
    let (status, body) = match Period::parse(query) {
        Err(problem) => (problem.status(), page::wrong(&problem.to_string())),
        Ok(asked) => (200, page::render(&read(sources, tariff, asked, Instant::now() + wait).await, tariff)),
    };
    Response { status, headers: page::headers(), body }
}

/// Reads everything side by side.
async fn read(sources: &Sources, tariff: &Tariff, asked: Option<Period>, until: Instant) -> View {
    let lags = async {
        let kafka = sources.kafka.as_ref().ok_or(Absent::Unset("KAFKA_BROKERS"))?;
        let wait = until.duration_since(Instant::now()).min(KAFKA_WAIT);
        section("lag", until, kafka_sink::lag(kafka, GROUP_PREFIX, wait)).await
    };
    let marts = Box::pin(read_marts(&sources.warehouse, tariff, asked, until));
    let (marts, lags) = tokio::join!(marts, lags);
    View { asked, marts, lags }
}

async fn read_marts(pool: &Pool, tariff: &Tariff, asked: Option<Period>, until: Instant) -> Marts {
    let tables = [&[USAGE, MESSAGES, WAITS, CONFLICTS], &TOP[..], &LOADS, &REJECTED].concat();
    let missing = section("tables", until, warehouse::missing(pool, &tables)).await;
    let there = |tables: &[&'static str]| match &missing {
        Err(absent) => Err(*absent),
        Ok(missing) if tables.iter().any(|table| missing.contains(table)) => Err(Absent::NotMade),
        Ok(_) => Ok(()),
    };
    let days = async |table| match asked {
        Some(period) => there(&[table]).map(|()| Some(period.days())),
        None => {
            there(&[table])?;
            section("days", until, warehouse::last_days(pool, table)).await
        }
    };
    let (usage_days, message_days) = tokio::join!(days(USAGE), days(MESSAGES));
    let top_days = there(&TOP).and_then(|()| usage_days.clone());
    let wait_days = there(&[WAITS]).and_then(|()| message_days.clone());
    let loads = async {
        there(&LOADS)?;
        section("loads", until, warehouse::loads(pool)).await
    };
    let rejected = async {
        there(&REJECTED)?;
        section("rejected", until, warehouse::rejected(pool)).await
    };
    let conflicts = async {
        there(&[CONFLICTS])?;
        section("conflicts", until, warehouse::conflicts(pool)).await
    };
    let (usage, top, messages, waits, loads, rejected, conflicts) = tokio::join!(
        of_days("usage", until, &usage_days, |days| warehouse::usage(pool, days)),
        of_days("top", until, &top_days, |days| warehouse::top(pool, days, tariff)),
        of_days("messages", until, &message_days, |days| warehouse::messages(pool, days)),
        of_days("waits", until, &wait_days, |days| warehouse::waits(pool, days)),
        loads,
        rejected,
        conflicts,
    );
    Marts { usage, top, messages, waits, loads, rejected, conflicts }
}

async fn of_days<'a, T, F: Future<Output = anyhow::Result<T>>>(
    name: &'static str,
    until: Instant,
    days: &'a Section<Option<Days>>,
    read: impl FnOnce(&'a Days) -> F,
) -> Section<Option<(Days, T)>> {
    let Some(days) = days.as_ref().map_err(|absent| *absent)? else { return Ok(None) };
    Ok(Some((days.clone(), section(name, until, read(days)).await?)))
}

/// A part of the page: a failure is logged here, and said there.
async fn section<T>(name: &'static str, until: Instant, read: impl Future<Output = anyhow::Result<T>>) -> Section<T> {
    match timeout_at(until, read).await {
        Ok(Ok(read)) => Ok(read),
        Ok(Err(error)) => {
            let error = format!("{error:#}");
            tracing::error!(dashboard.section = name, error, "a part of the dashboard can't be read");
            Err(Absent::Away)
        }
        Err(_) => {
            tracing::error!(dashboard.section = name, "a part of the dashboard was not read in time");
            Err(Absent::TooSlow)
        }
    }
}
