//! Schedules: one task each, which never overlaps itself.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::event;
use crate::invoke::{Call, Invoker};
use crate::template::{Expression, Schedule};

/// Fires `schedule` until `stop`; `every` takes the place of its expression. A rate fires at the start, and a firing that
/// takes longer than the rate delays the next one.
pub(crate) async fn run(
    schedule: Schedule,
    every: Option<Duration>,
    invoker: Arc<dyn Invoker>,
    stop: CancellationToken,
) {
    let mut next = first(&schedule, every);
    while let Some(at) = next {
        if stop.run_until_cancelled(tokio::time::sleep_until(at)).await.is_none() {
            return;
        }
        if stop.run_until_cancelled(fire(&schedule, &*invoker)).await.is_none() {
            return;
        }
        next = following(&schedule, every, at);
    }
    tracing::info!(schedule.name = %schedule.name, "the schedule's calendar has ended");
}

fn first(schedule: &Schedule, every: Option<Duration>) -> Option<Instant> {
    match (every, &schedule.expression) {
        (Some(_), _) | (None, Expression::Rate(_)) => Some(Instant::now()),
        (None, Expression::Cron(_)) => following(schedule, every, Instant::now()),
    }
}

fn following(schedule: &Schedule, every: Option<Duration>, last: Instant) -> Option<Instant> {
    let now = Instant::now();
    let every = match &schedule.expression {
        Expression::Rate(rate) => every.or(Some(*rate)),
        Expression::Cron(_) => every,
    };
    match (every, &schedule.expression) {
        (Some(every), _) => Some((last + every.min(MAX_RATE)).max(now)),
        (None, Expression::Rate(_)) => None,
        (None, Expression::Cron(cron)) => {
            let present = Timestamp::now();
            let moment = cron.next_after(&present.to_zoned(schedule.timezone.clone()))?;
            let wait = Duration::try_from(moment.timestamp().duration_since(present)).unwrap_or_default();
            Some(now + wait.min(MAX_RATE))
        }
    }
}

/// Keeps the clock's arithmetic in range; nothing runs that long.
const MAX_RATE: Duration = Duration::from_secs(100 * 365 * 86_400);

/// One firing. A failure is logged; the next firing is the retry.
pub(crate) async fn fire(schedule: &Schedule, invoker: &dyn Invoker) {
    let mut call = Call::new(&schedule.function, bytes::Bytes::new(), schedule.timeout);
    call.payload = event::schedule::event(schedule, Timestamp::now(), &call.request_id);
    let request_id = call.request_id.clone();
    let began = Instant::now();
    let outcome = invoker.invoke(call).await;
    let duration_ms = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
    match outcome {
        Ok(_) => tracing::debug!(
            function.name = %schedule.function, schedule.name = %schedule.name, request.id = %request_id, duration_ms,
            "a schedule fired"
        ),
        Err(error) => tracing::warn!(
            function.name = %schedule.function, schedule.name = %schedule.name, request.id = %request_id, duration_ms,
            %error, "a scheduled invocation failed"
        ),
    }
}
