use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use generator::{Destination, FileSink, Options, Put, Summary, run};
use indicatif::ProgressBar;

/// Keeps files in memory, and can be broken.
#[derive(Clone, Default)]
pub(crate) struct Memory(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    files: BTreeMap<String, Bytes>,
    /// Every delivery, in order.
    log: Vec<String>,
    /// Deliveries left until one fails.
    fails_in: Option<(usize, Failure)>,
}

/// How a delivery ends when the process is killed.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Failure {
    /// The file has not arrived.
    Before,
    /// The file has arrived, but nobody has been told.
    After,
}

impl Memory {
    /// The next `deliveries` succeed; the one after them fails.
    pub(crate) fn fail_after(&self, deliveries: usize, failure: Failure) {
        self.0.lock().unwrap().fails_in = Some((deliveries, failure));
    }

    pub(crate) fn files(&self) -> BTreeMap<String, Bytes> {
        self.0.lock().unwrap().files.clone()
    }

    /// The names, in order of delivery.
    pub(crate) fn log(&self) -> Vec<String> {
        self.0.lock().unwrap().log.clone()
    }
}

impl FileSink for Memory {
    fn place(&self) -> String {
        "memory".to_owned()
    }

    fn put<'a>(&'a self, name: &'a str, content: Bytes) -> Put<'a> {
        let mut state = self.0.lock().unwrap();
        let failure = match &mut state.fails_in {
            Some((0, failure)) => Some(*failure),
            Some((deliveries, _)) => {
                *deliveries -= 1;
                None
            }
            None => None,
        };
        if failure.is_some() {
            state.fails_in = None;
        }
        if !matches!(failure, Some(Failure::Before)) {
            state.log.push(name.to_owned());
            let before = state.files.insert(name.to_owned(), content.clone());
            assert!(before.is_none_or(|before| before == content), "{name} was delivered with other bytes");
        }
        Box::pin(async move { failure.map_or(Ok(()), |_| anyhow::bail!("the sink is broken")) })
    }
}

/// One attempt at a run.
pub(crate) async fn attempt(options: &Options, sink: &Memory) -> anyhow::Result<Summary> {
    run(options, &Destination::files(sink.clone()), &ProgressBar::hidden()).await
}

/// A run from beginning to end: its files.
pub(crate) async fn complete(options: &Options) -> BTreeMap<String, Bytes> {
    let sink = Memory::default();
    attempt(options, &sink).await.unwrap();
    sink.files()
}
