use std::future::Future;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use futures::future::BoxFuture;

/// A function in its outermost form: one invocation in, the answer's JSON out. An `Err` is a failed invocation, which
/// the event source retries.
pub type Handler = Arc<dyn Fn(Invocation) -> BoxFuture<'static, anyhow::Result<Bytes>> + Send + Sync>;

/// Makes a [`Handler`] from a function's dependencies and its `handle`.
pub fn handler<D, F, Fut>(deps: D, handle: F) -> Handler
where
    D: Send + Sync + 'static,
    F: Fn(Arc<D>, Invocation) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = anyhow::Result<Bytes>> + Send + 'static,
{
    let deps = Arc::new(deps);
    Arc::new(move |invocation| Box::pin(handle(Arc::clone(&deps), invocation)))
}

/// This function cannot handle this kind of event: the trigger points at the wrong function. Retrying will not help.
/// The service gets the `errorType` `InvalidEvent`; for all other failures it is `InvocationFailed`.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub struct InvalidEvent(anyhow::Error);

impl InvalidEvent {
    /// What reading the event failed with.
    pub fn new(error: impl Into<anyhow::Error>) -> Self {
        Self(error.into())
    }
}

/// One event, as the service hands it over.
#[derive(Clone, Debug)]
pub struct Invocation {
    /// The event's JSON.
    pub payload: Bytes,
    /// When the sandbox is stopped.
    pub deadline: Deadline,
    /// The service's name for this invocation.
    pub request_id: String,
}

/// The moment at which the service stops the invocation; some emulators send none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Deadline(Option<SystemTime>);

impl Deadline {
    /// No limit.
    pub const NONE: Self = Self(None);

    /// With less than this left, an invocation fails with a message of its own rather than being stopped without one.
    pub const FAILURE_MARGIN: Duration = Duration::from_millis(500);

    /// Does the work, and gives it up shortly before the service would.
    ///
    /// # Errors
    /// Those of the work; or that the time is up while `silent`, what the work waits for, has not answered.
    pub fn limit<T>(
        self,
        silent: &str,
        work: impl Future<Output = anyhow::Result<T>>,
    ) -> impl Future<Output = anyhow::Result<T>> {
        // A whole invocation: too large to be moved about.
        let work = Box::pin(work);
        async move {
            match self.remaining() {
                None => work.await,
                Some(left) => tokio::time::timeout(left.saturating_sub(Self::FAILURE_MARGIN), work)
                    .await
                    .map_err(|_| anyhow::anyhow!("the time is up and {silent} still has not answered"))?,
            }
        }
    }

    /// How long to wait for something: not longer than `most`, and short enough to leave time for an answer that
    /// reports a failure.
    #[must_use]
    pub fn wait(self, most: Duration) -> Duration {
        self.remaining().map_or(most, |left| left.saturating_sub(Self::FAILURE_MARGIN).min(most))
    }

    /// Waits that long for `work`.
    ///
    /// # Errors
    /// When it has not ended until then; the error says that `silent` has not answered.
    pub async fn wait_for<F: Future>(self, most: Duration, silent: &str, work: F) -> anyhow::Result<F::Output> {
        let wait = self.wait(most);
        tokio::time::timeout(wait, work).await.map_err(|_| anyhow::anyhow!("{silent}: no answer within {wait:?}"))
    }

    /// A deadline at `moment`; a moment that has already passed means "no deadline" (`cargo lambda watch` sends a
    /// moment in 1970).
    #[must_use]
    pub fn at(moment: SystemTime) -> Self {
        Self(Some(moment).filter(|m| *m > SystemTime::now()))
    }

    /// The deadline that lies `timeout` ahead.
    #[must_use]
    pub fn after(timeout: Duration) -> Self {
        Self(SystemTime::now().checked_add(timeout))
    }

    /// The time left; `None` without a limit.
    #[must_use]
    pub fn remaining(self) -> Option<Duration> {
        self.0.map(|moment| moment.duration_since(SystemTime::now()).unwrap_or_default())
    }

    /// Whether less than `margin` is left.
    #[must_use]
    pub fn is_within(self, margin: Duration) -> bool {
        self.remaining().is_some_and(|left| left < margin)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_deadline_in_the_past_is_none() {
        assert_eq!(Deadline::at(SystemTime::UNIX_EPOCH + Duration::from_secs(60)), Deadline::NONE);
        assert!(!Deadline::NONE.is_within(Duration::from_secs(3600)));
        assert!(Deadline::after(Duration::from_secs(1)).is_within(Duration::from_secs(5)));
        assert!(!Deadline::after(Duration::from_secs(60)).is_within(Duration::from_secs(5)));
    }
}
