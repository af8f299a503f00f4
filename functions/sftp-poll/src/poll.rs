use std::collections::{BTreeSet, HashSet};
use std::time::{Instant, SystemTime};

use futures::{FutureExt, StreamExt, TryStreamExt, future, stream};
use lake::names::{self, PieceKey, VersionKey};
use lake::{Announcement, Lake};
use lambda_boot::Deadline;
use telecom::FileName;

use crate::event::Watch;
use crate::folder::{Delivered, Plan};
use crate::job::{Done, bytes_to_read};
use crate::known::{Brief, News};
use crate::landed_files::LandedFiles;
use crate::miss::Miss;
use crate::ports::Topic as _;
use crate::ready::After;
use crate::rules::Design;
use crate::server::{Found, START_MARGIN, Servers};
use crate::work::{Brought, Then, Work};
use crate::{Deps, Report, format, unmatched};

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
    let mut poll = Poll::begin(deps, deadline).await?;
    poll.look().await?;
    poll.finish()
}

/// Looks for new files again and again. What comes in between two invocations waits for the next one.
pub(crate) async fn watch(deps: &Deps, watch: Watch, deadline: Deadline) -> anyhow::Result<Report> {
    let began = Instant::now();
    let mut poll = Poll::begin(deps, deadline).await?;
    loop {
        let looked = Instant::now();
        poll.look().await?;
        // A folder that takes long to list is not listed all the time.
        let pause = if poll.has_lost { watch.every } else { watch.every.max(looked.elapsed()) };
        if began.elapsed() + pause > watch.lasts || deadline.is_within(pause + START_MARGIN) {
            return poll.finish();
        }
        tokio::time::sleep(pause).await;
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
            "files that nobody takes lie in the SFTP folder: their names are not those of call detail records, or they can't be read"
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

/// One invocation under way.
struct Poll<'a> {
    deps: &'a Deps,
    work: Work<'a, Lake, Design>,
    servers: Servers<'a>,
    tally: Tally<'a>,
    /// It has looked before.
    has_looked: bool,
    /// The last look has waited for a server in vain.
    has_lost: bool,
}

/// What has come of the files so far.
struct Tally<'a> {
    topic: LandedFiles<'a>,
    /// What this look has done.
    look: Report,
    /// What all looks have done.
    report: Report,
    /// The files that wait for a person.
    waiting: BTreeSet<FileName>,
    failures: u64,
    first: Option<anyhow::Error>,
    /// Something has landed and waits for what came before it.
    has_left: bool,
}

/// What is to be done, and for which file.
type Job = (Delivered, Plan);

impl<'a> Poll<'a> {
    async fn begin(deps: &'a Deps, deadline: Deadline) -> anyhow::Result<Self> {
        format::check(&deps.lake, &deps.is_checked).await?;
        let topic = LandedFiles::new(deps, deadline);
        Ok(Self {
            deps,
            work: deps.work(),
            servers: Servers::new(&deps.servers, deadline),
            tally: Tally {
                topic,
                look: Report::default(),
                report: Report::default(),
                waiting: BTreeSet::new(),
                failures: 0,
                first: None,
                has_left: false,
            },
            has_looked: false,
            has_lost: false,
        })
    }

    /// Looks for new files, and takes them. Ends with an error where none can be taken, not where one can't.
    async fn look(&mut self) -> anyhow::Result<()> {
        let started = Instant::now();
        let Found { files, unmatched, failures } = self.servers.look(now_s()).await?;
        self.work = self.deps.work();
        self.tally.look = Report { unmatched: unmatched.len() as u64, ..Report::default() };
        self.has_lost = !failures.is_empty();
        failures.into_iter().for_each(|error| self.tally.fail(error));
        let present: Vec<FileName> = files.iter().map(|file| file.name).collect();
        let news = if self.has_looked { News::Files } else { News::Decisions };
        self.learn(&present, news).await?;
        if !self.has_looked {
            warn_of_unmatched(&unmatched);
            // Of a server that can't be looked at, nothing new is known.
            if !self.has_lost
                && let Err(error) = unmatched::note(&self.deps.lake, &unmatched, self.work.now_s).await
            {
                // It is for the dashboard only.
                tracing::warn!(error = error.to_string(), "the files that nobody takes could not be noted");
            }
            self.tally.waiting = self.work.waiting().await.map_err(error_of)?;
        }
        self.run(&files, &present).await?;
        self.tally.look.conflicts = self.tally.waiting.len() as u64;
        self.tell(files.len(), started);
        self.tally.report.add(self.tally.look);
        self.has_looked = true;
        // Where a service has failed, nothing else begins in this invocation.
        match self.servers.is_stopped() || self.tally.topic.has_failed() {
            true => self.tally.result(),
            false => Ok(()),
        }
    }

    /// The first look is always told, the others where they did something.
    fn tell(&self, files: usize, started: Instant) {
        let Tally { look, failures, .. } = &self.tally;
        let done = look.landed + look.recovered + look.announced + look.grown + look.changed + look.cleared;
        if self.has_looked && done == 0 {
            return;
        }
        tracing::info!(
            files,
            landed = look.landed,
            recovered = look.recovered,
            announced = look.announced,
            grown = look.grown,
            changed = look.changed,
            conflicts = look.conflicts,
            waiting_lines = look.waiting_lines,
            settling = look.settling,
            deferred = look.deferred,
            unmatched = look.unmatched,
            cleared = look.cleared,
            failures,
            duration_ms = started.elapsed().as_millis() as u64,
            "SFTP folder polled"
        );
    }

    fn finish(mut self) -> anyhow::Result<Report> {
        self.tally.result()?;
        Ok(self.tally.report)
    }

    async fn run(&mut self, files: &[Delivered], present: &[FileName]) -> anyhow::Result<()> {
        let plans = self.plans(files);
        let has_work = plans.iter().any(|plan| plan.takes());
        let taken = self.taken(files, &plans);
        // Notes are left by invocations that ended, so the first look is for them, and by the look before.
        let has_left = std::mem::take(&mut self.tally.has_left);
        if !self.has_looked || has_left || has_work || !taken.is_empty() {
            let notes = self.notes().await?;
            self.clear(taken, &notes).await;
            self.bring(files, &plans, notes, present).await?;
        }
        let (jobs, last) = self.jobs(files);
        self.take_all(jobs).await;
        // A file that came anew under its name may be what another one was moved away for: that one is known by now.
        self.take_all(last).await;
        Ok(())
    }

    /// Brings to their end what earlier invocations have left on their way.
    async fn bring(
        &mut self,
        files: &[Delivered],
        plans: &[Plan],
        mut notes: Vec<PieceKey>,
        present: &[FileName],
    ) -> anyhow::Result<()> {
        if !notes.is_empty() || plans.iter().any(|plan| plan.takes()) {
            self.work.index.refresh(&self.deps.lake, self.work.now_s).await.map_err(error_of)?;
        }
        self.work.catch_up(&notes).await.map_err(error_of)?;
        // These come in their turn.
        let landing = files.iter().zip(plans).filter(|(_, plan)| **plan == Plan::Land);
        let landing: HashSet<PieceKey> = landing.map(|(file, _)| VersionKey::first(file.name).piece()).collect();
        notes.retain(|piece| !landing.contains(piece));
        if !notes.is_empty() {
            self.bring_left(notes, present).await;
            self.learn(present, News::Decisions).await?;
        }
        Ok(())
    }

    /// Learns what the lake says of the files that are there.
    async fn learn(&self, present: &[FileName], news: News) -> anyhow::Result<()> {
        let is_there = |name: &FileName| self.servers.is_lost(name);
        self.deps.known.update(&self.deps.lake, present, news, is_there).await.map_err(error_of)
    }

    /// The files of which nothing is left to take, where they are not to be kept.
    fn taken(&self, files: &[Delivered], plans: &[Plan]) -> Vec<Delivered> {
        let is_taken = |file: &Delivered| {
            *self.servers.after(file.name) != After::Keep
                && self.deps.known.brief(&file.name).is_some_and(|brief| brief.has_all_of(file.stat))
        };
        let idle = files.iter().zip(plans).filter(|(_, plan)| **plan == Plan::Nothing).map(|(file, _)| *file);
        idle.filter(is_taken).collect()
    }

    /// Deletes or moves the files that have been taken, once they are announced: those without a note.
    async fn clear(&mut self, mut taken: Vec<Delivered>, notes: &[PieceKey]) {
        let Self { servers, tally, .. } = self;
        let servers = &*servers;
        taken.retain(|file| notes.iter().all(|piece| piece.name() != file.name));
        let cleared = stream::iter(taken).map(|file| async move { (file.name, servers.clear(&file).await) }.boxed());
        let mut cleared = cleared.buffer_unordered(FILES_IN_FLIGHT);
        while let Some((name, cleared)) = cleared.next().await {
            match cleared {
                Ok(()) => tally.look.cleared += 1,
                // Written to since: the next look sees what it is.
                Err(Miss::Unsettled | Miss::UnfinishedLine | Miss::Rewritten | Miss::Deferred) => {}
                Err(Miss::File(error) | Miss::Service(error)) => {
                    tally.fail(error.context(format!("SFTP_AFTER: clearing {name} away")));
                }
            }
        }
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
                Plan::Settle => self.tally.look.settling += 1,
                Plan::WaitForLine => self.tally.look.waiting_lines += 1,
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
    async fn bring_left(&mut self, notes: Vec<PieceKey>, present: &[FileName]) {
        for piece in notes {
            match self.work.bring_noted(&mut self.tally.topic, piece).await {
                Ok((announcement, newest)) => {
                    self.tally.remember(self.deps, piece.name(), newest);
                    if let Some(announcement) = announcement {
                        // What has taken another's place waits no more.
                        self.tally.waiting.remove(&piece.name());
                        self.tally.look.recovered += 1;
                        self.tally.announce(&self.work, vec![announcement]).await;
                    }
                }
                // Of a file that is no longer there, the next invocation looks again.
                Err(Miss::Unsettled) => self.tally.has_left |= present.binary_search(&piece.name()).is_ok(),
                Err(miss) => self.tally.miss(&self.servers, piece.name(), miss),
            }
        }
    }

    /// Takes files, several at once, and announces them in their order.
    async fn take_all(&mut self, jobs: Vec<Job>) {
        let Self { deps, work, servers, tally, .. } = self;
        let (work, servers) = (&*work, &*servers);
        let takes = stream::iter(jobs).map(|(file, plan)| {
            let known = deps.known.brief(&file.name);
            async move {
                let taken = async {
                    let _room = servers.begin(bytes_to_read(&file, known)).await?;
                    work.take(servers, &file, plan).await
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
                        tally.look.waiting_lines += 1;
                    }
                    Err(miss) => {
                        // Perhaps it is not what is remembered of it any more: somebody has decided about it meanwhile.
                        deps.known.remember(file.name, None);
                        tally.miss(servers, file.name, miss);
                    }
                }
            }
            if !announcements.is_empty() {
                tally.announce(work, announcements).await;
                if tally.topic.has_failed() {
                    // The copies under way are still brought to their end, so that no upload is left half done.
                    servers.stop();
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
            Some(landed) if !landed.is_new => self.look.recovered += 1,
            Some(landed) if !landed.piece.is_first() => self.look.grown += 1,
            Some(_) if plan == Plan::Land => self.look.landed += 1,
            Some(_) => self.look.changed += 1,
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
        self.look.announced += announcements.len() as u64;
        let pieces: Vec<_> = announcements.iter().filter_map(Announcement::piece).collect();
        let notes = stream::iter(pieces).map(|piece| async move { work.announced(&piece).await }.boxed());
        let notes = notes.buffer_unordered(NOTES_IN_FLIGHT);
        if let Err(miss) = notes.try_collect::<Vec<()>>().await {
            self.fail(error_of(miss));
        }
    }

    fn miss(&mut self, servers: &Servers<'_>, name: FileName, miss: Miss) {
        let error = match miss {
            Miss::Unsettled | Miss::UnfinishedLine | Miss::Rewritten => {
                self.has_left = true;
                return self.look.settling += 1;
            }
            Miss::Deferred => return self.look.deferred += 1,
            Miss::File(error) => error,
            Miss::Service(error) => {
                servers.stop();
                error
            }
        };
        self.fail(error.context(format!("copying {name}")));
    }

    fn fail(&mut self, error: anyhow::Error) {
        self.failures += 1;
        self.first.get_or_insert(error);
    }

    fn result(&mut self) -> anyhow::Result<()> {
        let (announced, failures) = (self.report.announced, self.failures);
        match self.first.take() {
            None => Ok(()),
            Some(error) => {
                Err(error
                    .context(format!("polling failed after {announced} files were announced (failures: {failures})")))
            }
        }
    }
}
