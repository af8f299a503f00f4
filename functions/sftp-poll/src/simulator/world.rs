//! A lake, a server and a topic with faults: calls are cut off wherever they wait, answers get lost, requests arrive late, and
//! files change while they are read.

use std::collections::{BTreeMap, VecDeque};
use std::future::poll_fn;
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::Poll;
use std::time::Duration;

use bytes::Bytes;
use futures::{StreamExt as _, TryStreamExt as _, stream};
use lake::registers::{HeadRegister, Stat};
use lake::{Announcement, Put, Swap, Tag, names};
use rand::rngs::SmallRng;
use rand::seq::SliceRandom as _;
use rand::{RngExt as _, SeedableRng as _};
use telecom::FileName;

use crate::miss::Miss;
use crate::ports::{Chunkless, Chunks, Objects, Server, Stored, Topic};

/// Everything outside of the processes.
#[derive(Clone)]
pub(super) struct World(Arc<Mutex<State>>);

pub(super) struct State {
    pub(super) rng: SmallRng,
    pub(super) habits: Habits,
    /// Nothing goes wrong any more.
    pub(super) calm: bool,
    /// Seconds since 1970.
    pub(super) now_s: u64,
    pub(super) objects: BTreeMap<String, Object>,
    tags: u64,
    /// Requests that are on their way, though nobody waits for them any more.
    late: Vec<Request>,
    pub(super) files: BTreeMap<FileName, File>,
    pub(super) topic: VecDeque<Announcement>,
    /// Each state that a register of files that begin alike has had.
    pub(super) decisions: Vec<Decided>,
    /// A request arrives that nobody waits for any more.
    is_late: bool,
}

/// What happens often: some rules are for coincidences that are rare where everything happens equally often.
#[derive(Clone, Copy, PartialEq)]
pub(super) struct Habits {
    /// How many of a hundred steps are a person's.
    pub(super) person: u32,
    /// How likely it is that a sender makes a new file, where there are some.
    pub(super) new_files: f64,
    /// How likely it is that an existing one just grows.
    pub(super) grows: f64,
    /// How likely it is, at each row, that a function ends in the middle of a file.
    pub(super) ends_early: f64,
    /// How likely it is that a file is corrected or copied.
    pub(super) copies: f64,
    /// How likely it is, at each step, that a poll dies.
    pub(super) dies: f64,
}

impl Habits {
    const ALL: [Self; 5] = [
        Self { person: 4, new_files: 0.25, grows: 0.0, ends_early: 0.01, copies: 0.0, dies: 0.002 },
        // Few files, that grow while they are published bit by bit.
        Self { person: 4, new_files: 0.02, grows: 0.8, ends_early: 0.15, copies: 0.0, dies: 0.002 },
        // Few names, under which always other files come.
        Self { person: 10, new_files: 0.02, grows: 0.0, ends_early: 0.01, copies: 0.0, dies: 0.002 },
        Self::PEOPLE_DECIDE,
        Self::POLLS_DIE,
    ];

    /// Few files, about which people decide all the time, while they are published bit by bit.
    pub(super) const PEOPLE_DECIDE: Self =
        Self { person: 20, new_files: 0.05, grows: 0.3, ends_early: 0.15, copies: 0.0, dies: 0.002 };
    /// Copies and corrections, and polls that die.
    pub(super) const POLLS_DIE: Self =
        Self { person: 10, new_files: 0.1, grows: 0.0, ends_early: 0.01, copies: 0.5, dies: 0.05 };

    /// What happens often in a schedule.
    pub(super) fn of(seed: u64) -> Self {
        Self::ALL[usize::try_from(seed % Self::ALL.len() as u64).expect("there are few")]
    }
}

/// What a register of files that begin alike has become.
pub(super) struct Decided {
    pub(super) key: String,
    pub(super) register: HeadRegister,
    pub(super) at: u64,
    /// By a request that arrived when nobody waited for it any more.
    pub(super) is_late: bool,
}

#[derive(Clone)]
pub(super) struct Object {
    pub(super) bytes: Bytes,
    tag: Tag,
    put_at: u64,
    mtime: u64,
}

impl Object {
    pub(super) fn put_at(&self) -> u64 {
        self.put_at
    }

    /// The file's last change when it was copied.
    pub(super) fn mtime(&self) -> u64 {
        self.mtime
    }
}

#[derive(Clone, Default)]
pub(super) struct File {
    pub(super) bytes: Vec<u8>,
    pub(super) mtime: u64,
}

#[derive(Clone)]
enum Condition {
    None,
    New,
    Is(Tag),
}

#[derive(Clone)]
enum Request {
    Put { key: String, bytes: Bytes, mtime: u64, condition: Condition },
    Delete { key: String },
}

/// What the caller of a request hears.
enum Fate {
    Answered,
    /// The first answer was lost, and the same request sent again.
    Repeated,
    /// Nothing, and the request arrives some time, or never.
    Lost,
}

impl State {
    /// Carries a request out; whether its condition held.
    fn apply(&mut self, request: Request) -> bool {
        match request {
            Request::Delete { key } => {
                self.objects.remove(&key);
                true
            }
            Request::Put { key, bytes, mtime, condition } => {
                let holds = match (&condition, self.objects.get(&key)) {
                    (Condition::None, _) | (Condition::New, None) => true,
                    (Condition::Is(tag), Some(object)) => object.tag == *tag,
                    (Condition::New, Some(_)) | (Condition::Is(_), None) => false,
                };
                if holds {
                    self.put(key, bytes, mtime);
                }
                holds
            }
        }
    }

    fn apply_late(&mut self, request: Request) {
        self.is_late = true;
        self.apply(request);
        self.is_late = false;
    }

    pub(super) fn put(&mut self, key: String, bytes: Bytes, mtime: u64) {
        if key.starts_with(names::HEADS) {
            let register = serde_json::from_slice(&bytes).expect("a register");
            let (at, is_late) = (self.now_s, self.is_late);
            self.decisions.push(Decided { key: key.clone(), register, at, is_late });
        }
        self.tags += 1;
        let tag = Tag::new(self.tags.to_string());
        self.objects.insert(key, Object { bytes, tag, put_at: self.now_s, mtime });
    }

    fn fate(&mut self) -> Fate {
        match self.rng.random_range(0..1000) {
            _ if self.calm => Fate::Answered,
            0..8 => Fate::Repeated,
            8..16 => Fate::Lost,
            _ => Fate::Answered,
        }
    }
}

fn no_answer() -> lake::Error {
    lake::Error::Transient { doing: "asking".to_owned(), why: "no answer".to_owned() }
}

impl World {
    pub(super) fn new(seed: u64) -> Self {
        let rng = SmallRng::seed_from_u64(seed);
        Self(Arc::new(Mutex::new(State {
            rng,
            habits: Habits::of(seed),
            calm: false,
            now_s: 1_700_000_000,
            objects: BTreeMap::new(),
            tags: 0,
            late: Vec::new(),
            files: BTreeMap::new(),
            topic: VecDeque::new(),
            decisions: Vec::new(),
            is_late: false,
        })))
    }

    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().expect("no panic while the world is locked")
    }

    /// Perhaps one of the late requests arrives.
    pub(super) fn maybe_deliver_late(&self) {
        let state = &mut *self.state();
        if !state.late.is_empty() && state.rng.random_bool(0.1) {
            let at = state.rng.random_range(..state.late.len());
            let request = state.late.swap_remove(at);
            state.apply_late(request);
        }
    }

    /// All late requests arrive.
    pub(super) fn deliver_late(&self) {
        let state = &mut *self.state();
        let mut late = std::mem::take(&mut state.late);
        late.shuffle(&mut state.rng);
        for request in late {
            state.apply_late(request);
        }
    }

    async fn send(&self, request: Request) -> Result<bool, lake::Error> {
        wait().await;
        let state = &mut *self.state();
        match state.fate() {
            Fate::Answered => Ok(state.apply(request)),
            Fate::Repeated => {
                state.apply(request.clone());
                Ok(state.apply(request))
            }
            Fate::Lost => {
                if state.rng.random_bool(0.7) {
                    state.late.push(request);
                }
                Err(no_answer())
            }
        }
    }
}

/// Somebody else may go on, and this process may end here.
pub(super) async fn wait() {
    let mut has_waited = false;
    poll_fn(|context| {
        // Streams of several futures ask only those that say so.
        context.waker().wake_by_ref();
        if std::mem::replace(&mut has_waited, true) { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
}

impl Objects for World {
    async fn get(&self, key: &str) -> Result<Option<(Bytes, Tag)>, lake::Error> {
        wait().await;
        Ok(self.state().objects.get(key).map(|object| (object.bytes.clone(), object.tag.clone())))
    }

    async fn replace(&self, key: &str, read: Option<&Tag>, bytes: Bytes) -> Result<Swap, lake::Error> {
        let condition = read.map_or(Condition::New, |tag| Condition::Is(tag.clone()));
        let swapped = self.send(Request::Put { key: key.to_owned(), bytes, mtime: 0, condition }).await?;
        Ok(if swapped { Swap::Swapped } else { Swap::Lost })
    }

    async fn put(&self, key: &str, bytes: Bytes) -> Result<(), lake::Error> {
        self.send(Request::Put { key: key.to_owned(), bytes, mtime: 0, condition: Condition::None }).await.map(drop)
    }

    async fn put_chunks(&self, key: &str, chunks: Chunks<'_, Miss>, mtime: u64) -> Result<Put, Miss> {
        let bytes = chunks.try_collect::<Vec<_>>().await?.concat().into();
        let put = self.send(Request::Put { key: key.to_owned(), bytes, mtime, condition: Condition::New }).await?;
        Ok(if put { Put::Created } else { Put::Exists })
    }

    async fn read(&self, key: &str) -> Result<Option<Stored>, lake::Error> {
        wait().await;
        Ok(self.state().objects.get(key).map(|object| Stored {
            bytes: object.bytes.len() as u64,
            mtime: object.mtime,
            chunks: stream::iter([Ok(object.bytes.clone())]).boxed(),
        }))
    }

    async fn age(&self, key: &str) -> Result<Option<Duration>, lake::Error> {
        wait().await;
        let state = self.state();
        Ok(state.objects.get(key).map(|object| Duration::from_secs(state.now_s - object.put_at)))
    }

    fn list(&self, prefix: &str, after: Option<&str>) -> Chunkless<'_> {
        let from = after.map_or_else(|| prefix.to_owned(), |after| format!("{after}\0"));
        let keys: Vec<String> = self.state().objects.range(from..).map(|(key, _)| key.clone()).collect();
        let prefix = prefix.to_owned();
        let keys = keys.into_iter().filter(move |key| key.starts_with(&prefix)).map(Ok);
        stream::once(wait()).flat_map(move |()| stream::iter(keys.clone())).boxed()
    }

    async fn delete(&self, key: &str) -> Result<(), lake::Error> {
        self.send(Request::Delete { key: key.to_owned() }).await.map(drop)
    }
}

impl Server for World {
    async fn stat(&self, name: FileName) -> Result<Option<Stat>, Miss> {
        wait().await;
        let state = self.state();
        Ok(state.files.get(&name).map(|file| Stat { size: file.bytes.len() as u64, mtime: file.mtime }))
    }

    async fn read(&self, name: FileName, range: Range<u64>) -> Result<Chunks<'_, Miss>, Miss> {
        wait().await;
        // In two halves, between which the file may change.
        let middle = range.start + (range.end - range.start) / 2;
        let halves = [range.start..middle, middle..range.end];
        let chunks = stream::iter(halves).then(move |half| async move {
            wait().await;
            let state = self.state();
            let file = state.files.get(&name).ok_or(Miss::Unsettled)?;
            let half = file.bytes.get(half.start as usize..half.end as usize).ok_or(Miss::Unsettled)?;
            Ok(Bytes::copy_from_slice(half))
        });
        Ok(chunks.boxed())
    }
}

impl Topic for World {
    async fn announce(&mut self, announcements: &[Announcement]) -> anyhow::Result<()> {
        wait().await;
        let state = &mut *self.state();
        let sent = if state.calm { announcements.len() } else { state.rng.random_range(0..=announcements.len()) };
        let fails = !state.calm && state.rng.random_bool(0.02);
        let sent = if fails { sent } else { announcements.len() };
        state.topic.extend(announcements[..sent].iter().cloned());
        if fails { Err(anyhow::anyhow!("no answer")) } else { Ok(()) }
    }
}
