use std::collections::{BTreeSet, HashSet};
use std::time::{Instant, SystemTime};

use futures::{FutureExt, StreamExt, TryStreamExt, future, stream};
use lake::names::{self, PieceKey, VersionKey};
use lake::{Announcement, Lake};
use lambda_boot::Deadline;
use sftp::Client;
use telecom::FileName;

use crate::folder::{Delivered, Patience, Plan, sort};
use crate::job::{Done, bytes_to_read};
use crate::known::Brief;
use crate::landed_files::LandedFiles;
use crate::miss::Miss;
use crate::ports::Topic as _;
use crate::rules::Design;
use crate::server::SftpServer;
use crate::work::{Brought, Then, Work};
use crate::{Deps, Report, format};

/// Files being copied at once: most are small, and a copy waits for two servers in turn. Their memory has a bound of its
/// own.
const FILES_IN_FLIGHT: usize = 8;
/// Files that have landed together are announced together, with one wait for Kafka.
const ANNOUNCED_AT_ONCE: usize = 32;
/// Notes on their way at once.
const NOTES_IN_FLIGHT: usize = 16;
/// Names shown of those that mean nothing here.
const EXAMPLES: usize = 5;

/// Looks for new files, once.
pub(crate) async fn poll(deps: &Deps, deadline: Deadline) -> anyhow::Result<Report> {
    let started = Instant::now();
    format::check(&deps.lake, &deps.is_checked).await?;
    let client = Client::connect(&deps.sftp).await?;
    let path = &deps.sftp.remote_path;
    let patience = Patience { settle_s: deps.settings.settle_s, last_line_s: deps.settings.last_line_s };
    let listing = client.list(path).await?;
    let (files, mut unmatched) = sort(listing.files, now_s(), patience);
    unmatched.extend(listing.left_out.iter().map(ToString::to_string));
    warn_of_unmatched(&unmatched);
    let present: Vec<FileName> = files.iter().map(|file| file.name).collect();
    deps.known.update(&deps.lake, &present).await.map_err(error_of)?;
    let topic = LandedFiles::new(&deps.sink, &deps.settings.landed_files, deadline);
    let work = deps.work();
    let waiting = work.waiting().await.map_err(error_of)?;
    let mut poll = Poll {
        deps,
        work,
        server: SftpServer::new(client, path, deadline),
        tally: Tally {
            topic,
            report: Report { unmatched: unmatched.len() as u64, ..Report::default() },
            waiting,
            failures: 0,
            first: None,
        },
    };
    poll.run(&files, &present).await?;
    let Tally { mut report, waiting, failures, first, .. } = poll.tally;
    report.conflicts = waiting.len() as u64;
    tracing::info!(
        files = files.len(),
        landed = report.landed,
        recovered = report.recovered,
        announced = report.announced,
        grown = report.grown,
        changed = report.changed,
        conflicts = report.conflicts,
        waiting_lines = report.waiting_lines,
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

pub(crate) fn now_s() -> u64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs()
}

fn warn_of_unmatched(unmatched: &[String]) {
    if !unmatched.is_empty() {
        tracing::warn!(
            files = unmatched.len(),
            // With quotes, and without control characters.
            examples = ?&unmatched[..unmatched.len().min(EXAMPLES)],
            "files with other names than those of call detail records lie in the SFTP folder"
        );
    }
}

/// What a miss is that ends a poll.
pub(crate) fn error_of(miss: Miss) -> anyhow::Error {
    match miss {
        Miss::File(error) | Miss::Service(error) => error,
        Miss::Unsettled | Miss::UnfinishedLine | Miss::Rewritten => {
            anyhow::anyhow!("what this waits for is not there yet: try again in a minute")
        }
        Miss::Deferred => anyhow::anyhow!("the time was up: try again"),
    }
}

/// One poll under way.
struct Poll<'a> {
    deps: &'a Deps,
    work: Work<'a, Lake, Design>,
    server: SftpServer,
    tally: Tally<'a>,
}

/// What has come of the files so far.
struct Tally<'a> {
    topic: LandedFiles<'a>,
    report: Report,
    /// The files that wait for a person.
    waiting: BTreeSet<FileName>,
    failures: u64,
    first: Option<anyhow::Error>,
}

/// What is to be done, and for which file.
type Job = (Delivered, Plan);

impl Poll<'_> {
    async fn run(&mut self, files: &[Delivered], present: &[FileName]) -> anyhow::Result<()> {
        let mut notes = self.notes().await?;
        let plans = self.plans(files);
        if !notes.is_empty() || plans.iter().any(|plan| matches!(plan, Plan::Land | Plan::Grow | Plan::LandAgain)) {
            self.work.index.refresh(&self.deps.lake, self.work.now_s).await.map_err(error_of)?;
        }
        self.work.catch_up(&notes).await.map_err(error_of)?;
        // These come in their turn.
        let landing = files.iter().zip(&plans).filter(|(_, plan)| **plan == Plan::Land);
        let landing: HashSet<PieceKey> = landing.map(|(file, _)| VersionKey::first(file.name).piece()).collect();
        notes.retain(|piece| !landing.contains(piece));
        if !notes.is_empty() {
            self.bring_left(notes).await;
            self.deps.known.update(&self.deps.lake, present).await.map_err(error_of)?;
        }
        let (jobs, last) = self.jobs(files);
        self.take_all(jobs).await;
        // A file that came anew under its name may be what another one was moved away for: that one is known by now.
        self.take_all(last).await;
        Ok(())
    }

    fn plans(&self, files: &[Delivered]) -> Vec<Plan> {
        files.iter().map(|file| file.plan(self.deps.known.brief(&file.name))).collect()
    }

    /// What is to be done, in order; and what is to be done behind all that.
    fn jobs(&mut self, files: &[Delivered]) -> (Vec<Job>, Vec<Job>) {
        let (mut jobs, mut last) = (Vec::new(), Vec::new());
        for (file, plan) in files.iter().zip(self.plans(files)) {
            match plan {
                Plan::Nothing => {}
                Plan::Settle => self.tally.report.settling += 1,
                Plan::WaitForLine => self.tally.report.waiting_lines += 1,
                Plan::Land | Plan::Grow => jobs.push((*file, plan)),
                Plan::LandAgain => last.push((*file, plan)),
            }
        }
        (jobs, last)
    }

    /// The pieces that earlier invocations have left on their way.
    async fn notes(&self) -> Result<Vec<PieceKey>, lake::Error> {
        let listed = self.deps.lake.list(names::UNANNOUNCED);
        let mut notes: Vec<PieceKey> =
            listed.try_filter_map(|note| future::ready(Ok(PieceKey::of_object(&note.key)))).try_collect().await?;
        notes.sort_unstable();
        Ok(notes)
    }

    /// Brings pieces to their end that earlier invocations have left on their way.
    async fn bring_left(&mut self, notes: Vec<PieceKey>) {
        for piece in notes {
            match self.work.bring_noted(&mut self.tally.topic, piece).await {
                Ok((announcement, newest)) => {
                    self.tally.remember(self.deps, piece.name(), newest);
                    if let Some(announcement) = announcement {
                        // What has taken another's place waits no more.
                        self.tally.waiting.remove(&piece.name());
                        self.tally.report.recovered += 1;
                        self.tally.announce(&self.work, vec![announcement]).await;
                    }
                }
                Err(Miss::Unsettled) => {}
                Err(miss) => self.tally.miss(&self.server, piece.name(), miss),
            }
        }
    }

    /// Takes files, several at once, and announces them in their order.
    async fn take_all(&mut self, jobs: Vec<Job>) {
        let Self { deps, work, server, tally } = self;
        let (work, server) = (&*work, &*server);
        let takes = stream::iter(jobs).map(|(file, plan)| {
            let known = deps.known.brief(&file.name);
            async move {
                let taken = async {
                    let _room = server.begin(bytes_to_read(&file, known)).await?;
                    work.take(server, &file, plan).await
                };
                (file, plan, taken.await)
            }
            .boxed()
        });
        let mut takes = takes.buffered(FILES_IN_FLIGHT).ready_chunks(ANNOUNCED_AT_ONCE);
        while let Some(taken) = takes.next().await {
            let mut announcements = Vec::new();
            for (file, plan, taken) in taken {
                match taken {
                    Ok(done) => announcements.extend(tally.done(deps, file.name, plan, done)),
                    Err(Miss::UnfinishedLine) => {
                        deps.known.saw(&file.name, file.stat);
                        tally.report.waiting_lines += 1;
                    }
                    Err(miss) => {
                        // Perhaps it is not what is remembered of it any more: somebody has decided about it meanwhile.
                        deps.known.remember(file.name, None);
                        tally.miss(server, file.name, miss);
                    }
                }
            }
            if !announcements.is_empty() {
                tally.announce(work, announcements).await;
                if tally.topic.has_failed() {
                    // The copies under way are still brought to their end, so that no upload is left half done.
                    server.stop();
                }
            }
        }
    }
}

impl Tally<'_> {
    fn remember(&mut self, deps: &Deps, name: FileName, newest: Option<Brief>) {
        match newest {
            Some(brief) if brief.waits => drop(self.waiting.insert(name)),
            Some(_) => drop(self.waiting.remove(&name)),
            None => {}
        }
        deps.known.remember(name, newest);
    }

    /// Counts what has come of a file, and returns what is to be announced of it.
    fn done(&mut self, deps: &Deps, name: FileName, plan: Plan, done: Done) -> Option<Announcement> {
        let Done { brought: Brought { then, newest }, landed } = done;
        self.remember(deps, name, newest);
        match landed {
            Some(landed) if !landed.is_new => self.report.recovered += 1,
            Some(landed) if !landed.piece.is_first() => self.report.grown += 1,
            Some(_) if plan == Plan::Land => self.report.landed += 1,
            Some(_) => self.report.changed += 1,
            None => {}
        }
        match then {
            Then::Announce(announcement) => Some(*announcement),
            // A replacement that was begun has a note, and goes on with the next poll.
            Then::Wait | Then::Nothing | Then::Replace(_) => None,
        }
    }

    /// Announces pieces in the given order and, once Kafka has them all, removes their notes. Where it ends in between, they are
    /// announced again later.
    async fn announce(&mut self, work: &Work<'_, Lake, Design>, announcements: Vec<Announcement>) {
        if self.topic.has_failed() {
            return;
        }
        if let Err(error) = self.topic.announce(&announcements).await {
            return self.fail(error);
        }
        self.report.announced += announcements.len() as u64;
        let pieces: Vec<_> = announcements.iter().filter_map(Announcement::piece).collect();
        let notes = stream::iter(pieces).map(|piece| async move { work.announced(&piece).await }.boxed());
        let notes = notes.buffer_unordered(NOTES_IN_FLIGHT);
        if let Err(miss) = notes.try_collect::<Vec<()>>().await {
            self.fail(error_of(miss));
        }
    }

    fn miss(&mut self, server: &SftpServer, name: FileName, miss: Miss) {
        let error = match miss {
            Miss::Unsettled | Miss::UnfinishedLine | Miss::Rewritten => return self.report.settling += 1,
            Miss::Deferred => return self.report.deferred += 1,
            Miss::File(error) => error,
            Miss::Service(error) => {
                server.stop();
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
