use std::sync::Arc;
use std::time::{Instant, SystemTime};

use futures::{FutureExt, StreamExt, stream};
use lambda_boot::Deadline;
use sftp::Client;
use telecom::FileName;

use crate::announce::{announce, left_behind};
use crate::copy::{Copier, Landed, Miss};
use crate::folder::{Delivered, Folder};
use crate::known::{Marker, Standing};
use crate::{Deps, Report, change};

/// Files being copied at once: most are small, and a copy waits for two servers in turn. Their memory has a bound of its
/// own.
const FILES_IN_FLIGHT: usize = 8;
/// Files that have landed together are announced together, with one wait for Kafka.
const ANNOUNCED_AT_ONCE: usize = 32;
/// Names shown of those that mean nothing here.
const EXAMPLES: usize = 5;

/// Looks for new files, once.
pub(crate) async fn poll(deps: &Deps, deadline: Deadline) -> anyhow::Result<Report> {
    let started = Instant::now();
    let client = Client::connect(&deps.sftp).await?;
    let path = &deps.sftp.remote_path;
    let entries = client.list(path).await?;
    let present = entries.iter().filter_map(|entry| FileName::parse(&entry.name).ok()).collect();
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs();
    let Folder { ready, settling, unmatched } = Folder::sort(entries, now, deps.settings.settle_s);
    if !unmatched.is_empty() {
        tracing::warn!(
            files = unmatched.len(),
            // With quotes, and without control characters.
            examples = ?&unmatched[..unmatched.len().min(EXAMPLES)],
            "files with other names than those of call detail records lie in the SFTP folder"
        );
    }
    deps.known.update(&deps.lake, &ready).await?;
    let left = left_behind(deps, &present, &ready.iter().map(|file| file.name).collect()).await?;

    let (mut new, mut changed) = (Vec::new(), Vec::new());
    for file in ready.iter().copied() {
        match deps.known.standing(&file) {
            Standing::New => new.push(file),
            Standing::Changed(first) => changed.push((file, first)),
            Standing::Announced => {}
        }
    }
    let copier = Arc::new(Copier::new(deps.lake.clone(), client, path, deadline));
    let report = Report { settling, unmatched: unmatched.len() as u64, ..Report::default() };
    let mut tally = Tally { report, failures: 0, first: None };
    land_all(deps, &copier, left, new, deadline, &mut tally).await;
    keep_all(deps, &copier, changed, &mut tally).await;

    let Tally { report, failures, first } = tally;
    tracing::info!(
        files = ready.len(),
        landed = report.landed,
        recovered = report.recovered,
        announced = report.announced,
        changed = report.changed,
        settling = report.settling,
        deferred = report.deferred,
        unmatched = report.unmatched,
        failures,
        duration_ms = started.elapsed().as_millis() as u64,
        "SFTP folder polled"
    );
    match first {
        None => Ok(report),
        Some(error) => Err(error
            .context(format!("polling failed after {} files were announced (failures: {failures})", report.announced))),
    }
}

/// What has come of the files so far.
struct Tally {
    report: Report,
    failures: u64,
    first: Option<anyhow::Error>,
}

impl Tally {
    fn miss(&mut self, copier: &Copier, name: FileName, miss: Miss) {
        let error = match miss {
            Miss::Unsettled => return self.report.settling += 1,
            Miss::Deferred => return self.report.deferred += 1,
            Miss::File(error) => error,
            Miss::Service(error) => {
                copier.stop();
                error
            }
        };
        self.fail(error.context(format!("copying {name}")));
    }

    fn fail(&mut self, error: anyhow::Error) {
        self.failures += 1;
        self.first.get_or_insert(error);
    }
}

/// Copies new files, several at once, and announces them in their order, behind those `left` by earlier invocations.
async fn land_all(
    deps: &Deps,
    copier: &Arc<Copier>,
    left: Vec<Landed>,
    new: Vec<Delivered>,
    deadline: Deadline,
    tally: &mut Tally,
) {
    let mut session = match deps.sink.session() {
        Ok(session) => Some(session),
        Err(error) => return tally.fail(error.into()),
    };
    let copies = stream::iter(new).map(|file| {
        let copier = Arc::clone(copier);
        async move { (file.name, copier.land(&file).await) }.boxed()
    });
    let left = stream::iter(left).map(|file| (file.name, Ok(file)));
    let mut outcomes = left.chain(copies.buffered(FILES_IN_FLIGHT)).ready_chunks(ANNOUNCED_AT_ONCE);
    while let Some(outcomes) = outcomes.next().await {
        let mut landed = Vec::new();
        for (name, outcome) in outcomes {
            match outcome {
                Ok(file) => landed.push(file),
                Err(miss) => tally.miss(copier, name, miss),
            }
        }
        let copied = landed.iter().filter(|file| file.copied).count() as u64;
        tally.report.landed += copied;
        tally.report.recovered += landed.len() as u64 - copied;
        let Some(announcing) = session.as_mut().filter(|_| !landed.is_empty()) else { continue };
        match announce(deps, announcing, &landed, deadline).await {
            Ok(()) => tally.report.announced += landed.len() as u64,
            // The copies under way are still brought to their end, so that no upload is left half done.
            Err(error) => {
                copier.stop();
                session = None;
                tally.fail(error);
            }
        }
    }
}

/// Looks after files that are no longer what was announced.
async fn keep_all(deps: &Deps, copier: &Copier, changed: Vec<(Delivered, Marker)>, tally: &mut Tally) {
    for (file, first) in changed {
        match change::keep(copier, &file, &first).await {
            Ok(is_new) => {
                deps.known.changed(&file);
                tally.report.changed += u64::from(is_new);
            }
            Err(miss) => tally.miss(copier, file.name, miss),
        }
    }
}
