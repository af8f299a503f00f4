use futures::future::{AbortHandle, Abortable};
use tokio::runtime::Handle;

/// Runs CPU-heavy async work on a blocking thread, so that it does not stall other tasks. Dropping the returned future
/// cancels the work.
///
/// # Errors
/// When the work panics.
pub(crate) async fn on_its_own<T: Send + 'static>(work: impl Future<Output = T> + Send + 'static) -> anyhow::Result<T> {
    let (handle, registration) = AbortHandle::new_pair();
    let _cancel = AbortOnDrop(handle);
    let runtime = Handle::current();
    let work = Abortable::new(Box::pin(work), registration);
    Ok(tokio::task::spawn_blocking(move || runtime.block_on(work)).await??)
}

struct AbortOnDrop(AbortHandle);

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}
