use futures::future::{AbortHandle, Abortable};
use tokio::runtime::Handle;

/// Does work that computes as much as it waits on a thread of its own, so that others' answers are not kept waiting. It is given up when the
/// returned future is dropped.
///
/// # Errors
/// When the work panics.
pub(crate) async fn on_its_own<T: Send + 'static>(work: impl Future<Output = T> + Send + 'static) -> anyhow::Result<T> {
    let (handle, registration) = AbortHandle::new_pair();
    let _given_up = AbortOnDrop(handle);
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
