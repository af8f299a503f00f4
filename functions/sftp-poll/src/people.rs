//! What a person decides about a version that waits.

use anyhow::anyhow;
use lake::names::{self, VersionKey};
use lake::registers::{
    Conflict, Decision, Entry, EntryState, FileRegister, HeadRegister, Held, Piece, PieceEnd, Version,
};
use lake::{Action, Announcement, FileResult, REPUBLISH_WITHIN, Swap};
use telecom::FileName;

use crate::decide::{Deciding, end_of, hold, last_held, last_published};
use crate::known::Brief;
use crate::land::recover;
use crate::miss::Miss;
use crate::ports::{Objects, Topic};
use crate::registers::{Read, Standing, read_file, read_head, read_json, standing, version_of};
use crate::rules::Rules;
use crate::work::{Brought, Then, Work};

/// What somebody has decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Its rows count, beside what it waited for.
    Accept,
    /// Its rows count instead of what it waited for.
    Replace,
    /// Its rows do not count.
    Drop,
}

/// Why a decision is not carried out: for the person, or to be tried again.
#[derive(Debug)]
pub(crate) enum Refusal {
    Never(anyhow::Error),
    Later(Miss),
}

impl From<Miss> for Refusal {
    fn from(miss: Miss) -> Self {
        Self::Later(miss)
    }
}

impl From<lake::Error> for Refusal {
    fn from(error: lake::Error) -> Self {
        Self::Later(error.into())
    }
}

impl From<anyhow::Error> for Refusal {
    fn from(error: anyhow::Error) -> Self {
        Self::Never(error)
    }
}

impl<O: Objects, R: Rules> Work<'_, O, R> {
    /// Carries a decision out. Killed anywhere, it is carried out by whoever calls it again, and a replacement also by the
    /// next poll.
    pub(crate) async fn judge(
        &self,
        topic: &mut impl Topic,
        name: FileName,
        verdict: Verdict,
    ) -> Result<Announcement, Refusal> {
        let register = read_file(self.objects, name).await?.value;
        let Some(version) = register.waiting() else { return Err(nothing_waits(&register).into()) };
        let piece = version.last_piece;
        let is_intended = matches!(version.decision, Decision::Replacing(_));
        match verdict {
            Verdict::Replace => {
                if !is_intended {
                    self.may_replace(&register, version).await?;
                }
                self.note(&piece).await?;
                if !R::INTENDS_FIRST {
                    return self.go_on_replacing(topic, &register, &piece).await;
                }
                self.claim(version).await?;
            }
            _ if is_intended => {
                return Err(anyhow!("{name} is taking the place of what it waited for: that can't be undone").into());
            }
            Verdict::Accept => {
                self.note(&piece).await?;
                self.accept(&register, version).await?;
            }
            Verdict::Drop => {
                self.note(&piece).await?;
                self.drop_rows(&register, version).await?;
            }
        }
        match self.bring(piece, None).await?.then {
            Then::Announce(announcement) => Ok(*announcement),
            Then::Replace(register) => self.go_on_replacing(topic, &register, &piece).await,
            Then::Wait | Then::Nothing => Err(anyhow!("{name} was decided otherwise meanwhile: look again").into()),
        }
    }

    /// Writes down in the files' registers what earlier invocations have decided and not written there: what is decided from now
    /// on has to know of it.
    pub(crate) async fn catch_up(&self, notes: &[names::PieceKey]) -> Result<(), Miss> {
        for piece in notes.iter().filter(|_| R::CATCHES_UP) {
            // What else is wrong with it shows when it is brought to its end in its turn.
            if let Err(Miss::Service(error)) = self.register_decided(piece).await {
                return Err(Miss::Service(error));
            }
        }
        Ok(())
    }

    async fn register_decided(&self, piece: &names::PieceKey) -> Result<(), Miss> {
        let register = read_file(self.objects, piece.name()).await?.value;
        let (head, landing) = match standing(&register, piece) {
            Standing::Last(version) if version.decision == Decision::Landed => (version.head, None),
            Standing::Last(version @ Version { decision: Decision::Counted, sketch_key: Some(key), .. }) => {
                return self.put_sketch(version, key).await;
            }
            Standing::Past | Standing::Last(_) => return Ok(()),
            Standing::New => {
                let landing = recover(self.objects, *piece, register.version(&piece.version())).await?;
                (landing.surveyed.head, Some(landing))
            }
        };
        let Some(head) = head else { return Ok(()) };
        let heads = read_head(self.objects, &head).await?.value;
        if heads.entry(&piece.version()).is_some_and(|entry| entry.last_piece == *piece) {
            self.bring(*piece, landing).await?;
        }
        Ok(())
    }

    /// Brings a piece to its end that an earlier invocation has left on its way: its announcement, and what is to be remembered of
    /// the file. A note whose bytes are not there stays: somebody may be about to land them.
    pub(crate) async fn bring_noted(
        &self,
        topic: &mut impl Topic,
        piece: names::PieceKey,
    ) -> Result<(Option<Announcement>, Option<Brief>), Miss> {
        if self.objects.age(&names::landing(&piece)).await?.is_none() {
            if !R::KEEPS_NOTES {
                self.announced(&piece).await?;
            }
            return Err(Miss::Unsettled);
        }
        let Brought { then, newest } = self.bring(piece, None).await?;
        match then {
            Then::Announce(announcement) => Ok((Some(*announcement), newest)),
            Then::Wait | Then::Nothing => Ok((None, newest)),
            Then::Replace(register) => match self.go_on_replacing(topic, &register, &piece).await {
                Ok(announcement) => Ok((Some(announcement), None)),
                Err(Refusal::Later(miss)) => Err(miss),
                Err(Refusal::Never(error)) => Err(Miss::File(error)),
            },
        }
    }

    /// So that the next poll goes on with what was begun.
    async fn note(&self, piece: &names::PieceKey) -> Result<(), Miss> {
        Ok(self.objects.put(&names::unannounced(piece), bytes::Bytes::new()).await?)
    }

    async fn accept(&self, register: &FileRegister, version: &Version) -> Result<(), Miss> {
        let Decision::Waiting(conflict) = &version.decision else { return Err(Miss::Unsettled) };
        let Some(head) = version.head else { return self.decide_in_register(register.name, version).await };
        loop {
            let mut read = read_head(self.objects, &head).await?;
            if !still_waits(&read.value, version) {
                return Ok(());
            }
            let deciding = Deciding { work: self, register, version, heads: &read.value };
            let decided = deciding.accept(conflict).await?;
            if self.write(&mut read, decided).await?.is_some() {
                return Ok(());
            }
        }
    }

    async fn drop_rows(&self, register: &FileRegister, version: &Version) -> Result<(), Miss> {
        let Some(head) = version.head else { return self.decide_in_register(register.name, version).await };
        loop {
            let mut read = read_head(self.objects, &head).await?;
            if !still_waits(&read.value, version) {
                return Ok(());
            }
            if let Some(entry) = read.value.entry_mut(&version.key) {
                drop_piece(entry, version);
            }
            if read.swap(self.objects).await? == Swap::Swapped {
                return Ok(());
            }
        }
    }

    /// Of rows that can't be used, so that no other file shares them.
    async fn decide_in_register(&self, name: FileName, version: &Version) -> Result<(), Miss> {
        loop {
            let mut read = read_file(self.objects, name).await?;
            match read.value.version_mut(&version.key) {
                Some(found) if found.last_piece == version.last_piece => found.decision = Decision::Counted,
                _ => return Err(Miss::Unsettled),
            }
            if read.swap(self.objects).await? == Swap::Swapped {
                return Ok(());
            }
        }
    }

    /// Whether what a version waits for can be taken back, and the version be counted then.
    async fn may_replace(&self, register: &FileRegister, version: &Version) -> Result<(), Refusal> {
        let conflict = version.decision.conflict().ok_or_else(|| nothing_waits(register))?;
        let (_, heads, entry) = self.entry_of(&conflict.with).await?;
        let other = &entry.version;
        if entry.state != EntryState::Counted {
            return Err(anyhow!("{other} does not count any more: accept or drop {}", version.key).into());
        }
        for holder in holders(&entry) {
            let last = match heads.value.entry(&holder) {
                Some(entry) if entry.last.decision.conflict().is_some() => {
                    return Err(anyhow!("{} waits, too: decide about it first", entry.last_piece).into());
                }
                Some(entry) => last_published(self.objects, entry).await?,
                None => holder.piece(),
            };
            for piece in [holder.piece(), last] {
                self.may_take_back(&piece).await?;
            }
        }
        version.head.ok_or_else(|| anyhow!("no row of {} can be used: drop it", register.name))?;
        let may = self.may_count_instead(register, version, other).await?;
        Ok(may.map_err(|why| anyhow!("{why}: accept or drop {}", register.name))?)
    }

    /// Whether a version can be counted once another one is taken back; the inner error says why it can't.
    async fn may_count_instead(
        &self,
        register: &FileRegister,
        version: &Version,
        other: &VersionKey,
    ) -> Result<Result<(), String>, Miss> {
        let mut own = read_head(self.objects, &version.head.ok_or(Miss::Unsettled)?).await?.value;
        take_back::<R>(&mut own, other, version.key);
        let deciding = Deciding { work: self, register, version, heads: &own };
        Ok(deciding.replace().await?.map(drop))
    }

    async fn may_take_back(&self, piece: &names::PieceKey) -> Result<(), Refusal> {
        let key = names::results(piece);
        let result = read_json::<FileResult>(self.objects, key.clone()).await?;
        let (Some(result), Some(age)) = (result, self.objects.age(&key).await?) else {
            return Err(anyhow!("{piece} is not published as a whole yet: wait for {key}, and call this again").into());
        };
        if age > REPUBLISH_WITHIN {
            let days = REPUBLISH_WITHIN.as_secs() / 86_400;
            return Err(anyhow!(
                "{piece} was published more than {days} days ago: the counters can't know any more which of its rows they have"
            )
            .into());
        }
        if result.rules.as_ref() != Some(self.reading) {
            return Err(anyhow!(
                "{piece} was published under other rules (another version of the program, or another OPERATOR_TIMEZONE): its \
                 rows can't be taken back, as they would be read otherwise"
            )
            .into());
        }
        Ok(())
    }

    /// Brings a replacement that was begun to its end. A later version may wait behind it by now.
    pub(crate) async fn go_on_replacing(
        &self,
        topic: &mut impl Topic,
        register: &FileRegister,
        piece: &names::PieceKey,
    ) -> Result<Announcement, Refusal> {
        let version = version_of(register, &piece.version())?;
        let conflict = version.decision.conflict().ok_or_else(|| nothing_waits(register))?;
        if !R::INTENDS_FIRST || self.claim(version).await? {
            self.withdraw(topic, register, version, conflict).await?;
            self.count_instead(register, version).await?;
        }
        match self.bring(version.last_piece, None).await?.then {
            Then::Announce(announcement) => Ok(*announcement),
            _ => Err(Miss::Unsettled.into()),
        }
    }

    /// Writes down that a version is to take the place of what it waits for: from here on it will, and neither a later one nor
    /// somebody else decides about it. Whether it is written.
    async fn claim(&self, version: &Version) -> Result<bool, Miss> {
        self.turn(version, |decision| match decision {
            Decision::Waiting(conflict) | Decision::Replacing(conflict) => Some(Decision::Replacing(conflict.clone())),
            _ => None,
        })
        .await
    }

    /// Changes what is said of a version among all files that begin alike; whether `change` had something to say.
    async fn turn(&self, version: &Version, change: impl Fn(&Decision) -> Option<Decision>) -> Result<bool, Miss> {
        let head = version.head.ok_or(Miss::Unsettled)?;
        loop {
            let mut read = read_head(self.objects, &head).await?;
            let entry = read.value.entry_mut(&version.key).filter(|entry| entry.last_piece == version.last_piece);
            let Some(entry) = entry else { return Ok(false) };
            let Some(decision) = change(&entry.last.decision) else { return Ok(false) };
            if entry.last.decision == decision {
                return Ok(true);
            }
            entry.last.decision = decision;
            if read.swap(self.objects).await? == Swap::Swapped {
                return Ok(true);
            }
        }
    }

    /// Takes back what a version replaces.
    async fn withdraw(
        &self,
        topic: &mut impl Topic,
        register: &FileRegister,
        version: &Version,
        conflict: &Conflict,
    ) -> Result<(), Refusal> {
        let (entry, head, taken_back) = loop {
            let (head, mut read, entry) = self.entry_of(&conflict.with).await?;
            match &entry.state {
                EntryState::Withdrawn { by, taken_back } if *by == version.key => {
                    let taken_back = taken_back.clone();
                    break (entry, head, taken_back);
                }
                EntryState::Counted => {}
                _ => {
                    let why = format!("what {} was to replace does not count any more", version.key);
                    return Err(self.give_up(version, &why).await?);
                }
            }
            if R::WITHDRAWS_WHAT_IS_PUBLISHED {
                // It may have grown since somebody decided.
                let last = last_published(self.objects, &entry).await?;
                self.objects.age(&names::results(&last)).await?.ok_or(Miss::Unsettled)?;
            }
            // Another file may have come since somebody decided.
            if let Err(why) = self.may_count_instead(register, version, &entry.version).await? {
                return Err(self.give_up(version, &why).await?);
            }
            take_back::<R>(&mut read.value, &entry.version, version.key);
            read.swap(self.objects).await?;
        };
        // Rows behind these may have come since.
        let to_line = taken_back.last().map_or(0, |held| held.to_line);
        let last_piece = last_held(self.objects, &entry).await?;
        let (other, source_id) = (entry.version, entry.source_id);
        if self.objects.age(&names::withdrawal(&last_piece)).await?.is_none() {
            let piece = Piece { sha256: content::Digest([0; 32]), bytes: 0, first_line: 0, continued: 0, twin: None };
            let announcement = Announcement {
                action: Action::Withdraw,
                to_line: Some(to_line),
                taken_back,
                ..Announcement::of_piece(&other.piece(), source_id, &piece)
            };
            topic.announce(&[announcement]).await.map_err(Miss::Service)?;
        }
        self.register_withdrawn(&head, version.key).await?;
        Ok(())
    }

    /// What was decided can't be done any more, and nothing of it has been: the version waits again.
    async fn give_up(&self, version: &Version, why: &str) -> Result<Refusal, Miss> {
        let name = version.key.name();
        let waits_again = |decision: &Decision| match decision {
            Decision::Replacing(conflict) => Some(Decision::Waiting(conflict.clone())),
            _ => None,
        };
        self.turn(version, waits_again).await?;
        loop {
            let mut read = read_file(self.objects, name).await?;
            if let Some(found) = read.value.version_mut(&version.key)
                && let Some(decision) = waits_again(&found.decision)
            {
                found.decision = decision;
            }
            if read.swap(self.objects).await? == Swap::Swapped {
                break;
            }
        }
        Ok(anyhow!("{why}: accept or drop {name}").into())
    }

    /// Says in the files' registers what has been taken back.
    async fn register_withdrawn(&self, head: &content::Head, by: VersionKey) -> Result<(), Miss> {
        let heads = read_head(self.objects, head).await?.value;
        for entry in &heads.entries {
            if !matches!(&entry.state, EntryState::Withdrawn { by: found, .. } if *found == by) {
                continue;
            }
            loop {
                let mut read = read_file(self.objects, entry.version.name()).await?;
                match read.value.version_mut(&entry.version) {
                    Some(found) if matches!(found.decision, Decision::Counted | Decision::Superseded { .. }) => {
                        found.decision = Decision::Withdrawn { by };
                        let key = found.sketch_key.take();
                        found.sketch = content::Sketch::default();
                        if read.swap(self.objects).await? == Swap::Lost {
                            continue;
                        }
                        if let Some(key) = key {
                            self.objects.delete(&key).await?;
                        }
                    }
                    _ => {}
                }
                break;
            }
        }
        Ok(())
    }

    async fn count_instead(&self, register: &FileRegister, version: &Version) -> Result<(), Refusal> {
        let head = version.head.ok_or(Miss::Unsettled)?;
        loop {
            let mut read = read_head(self.objects, &head).await?;
            if decision_of(&read.value, version).is_none_or(|decision| decision.conflict().is_none()) {
                return Ok(());
            }
            let deciding = Deciding { work: self, register, version, heads: &read.value };
            let decided = deciding.replace().await?.map_err(|why| anyhow!(why))?;
            if self.write(&mut read, decided).await?.is_some() {
                return Ok(());
            }
        }
    }

    /// The entry of what a version is to replace, with the register that it stands in.
    async fn entry_of(&self, key: &VersionKey) -> Result<(content::Head, Read<HeadRegister>, Entry), Miss> {
        let register = read_file(self.objects, key.name()).await?.value;
        let head = version_of(&register, key)?.head.ok_or(Miss::Unsettled)?;
        let read = read_head(self.objects, &head).await?;
        let entry = current(&register, &read.value, *key).cloned().ok_or(Miss::Unsettled)?;
        Ok((head, read, entry))
    }
}

fn nothing_waits(register: &FileRegister) -> anyhow::Error {
    match register.newest() {
        None => anyhow!("{} has never landed", register.name),
        Some(version) => anyhow!("nothing of {} waits: its newest version is {:?}", register.name, version.decision),
    }
}

fn still_waits(heads: &HeadRegister, version: &Version) -> bool {
    matches!(decision_of(heads, version), Some(Decision::Waiting(_)))
}

/// What is said of a version, as it is known, among all files that begin alike.
fn decision_of<'a>(heads: &'a HeadRegister, version: &Version) -> Option<&'a Decision> {
    let entry = heads.entry(&version.key).filter(|entry| entry.last_piece == version.last_piece);
    entry.map(|entry| &entry.last.decision)
}

/// A version's entry: one that goes on from it may have taken its place.
fn current<'a>(register: &FileRegister, heads: &'a HeadRegister, key: VersionKey) -> Option<&'a Entry> {
    let mut key = key;
    loop {
        if let Some(entry) = heads.entry(&key) {
            return Some(entry);
        }
        let Decision::Superseded { by } = register.version(&key)?.decision else { return None };
        key = by;
    }
}

/// Whose rows make up a version.
fn holders(entry: &Entry) -> Vec<VersionKey> {
    let mut holders: Vec<_> = entry.held.iter().filter(|held| held.counts).map(|held| held.version).collect();
    holders.push(entry.version);
    holders.sort_unstable();
    holders.dedup();
    holders
}

/// The rows of a piece that waits do not count; whatever comes behind them may.
fn drop_piece(entry: &mut Entry, version: &Version) {
    entry.last.decision = Decision::Dropped;
    if entry.state == EntryState::Waiting {
        entry.state = EntryState::Dropped;
        return;
    }
    let end = end_of(version);
    (entry.rows, entry.digest) = (end.rows, end.digest);
    let (source_id, to_line) = (entry.source_id, end.rows);
    hold(&mut entry.held, Held { source_id, version: version.key, to_line, counts: false });
    entry.ends.push(PieceEnd { extent: end, next_byte: Some(version.bytes) });
}

/// Marks a version as withdrawn, and its rows wherever they are held. A file of which nothing is left that counts is
/// withdrawn with it.
fn take_back<R: Rules>(heads: &mut HeadRegister, key: &VersionKey, by: VersionKey) {
    let Some(entry) = heads.entry_mut(key) else { return };
    let mut taken_back = entry.held.clone();
    if !R::WITHDRAWS_WHAT_IS_CONTINUED {
        let own = entry.source_id;
        taken_back.iter_mut().for_each(|held| held.counts &= held.source_id == own);
    }
    entry.state = EntryState::Withdrawn { by, taken_back: taken_back.clone() };
    for entry in &mut heads.entries {
        let held_before = entry.held.iter().any(|held| held.counts);
        entry.held = without(&entry.held, &taken_back);
        if entry.state == EntryState::Counted && held_before && !entry.held.iter().any(|held| held.counts) {
            entry.state = EntryState::Withdrawn { by, taken_back: Vec::new() };
        }
    }
}

/// What is held, where rows that were taken back do not count any more.
fn without(held: &[Held], taken_back: &[Held]) -> Vec<Held> {
    let mut ends: Vec<u64> = held.iter().chain(taken_back).map(|held| held.to_line).collect();
    ends.sort_unstable();
    ends.dedup();
    let at = |held: &[Held], line: u64| held.iter().find(|held| held.to_line >= line).copied();
    let mut rest = Vec::new();
    for to_line in ends {
        let Some(rows) = at(held, to_line) else { break };
        let taken = at(taken_back, to_line).filter(|taken| taken.counts && taken.source_id == rows.source_id);
        hold(&mut rest, Held { to_line, counts: rows.counts && taken.is_none(), ..rows });
    }
    rest
}
