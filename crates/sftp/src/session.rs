//! Requests and their answers over one channel, many at once; and the files that are open at the server.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::{Buf as _, Bytes};
use futures::future::try_join_all;
use russh::client::Msg;
use russh::{ChannelMsg, ChannelReadHalf, ChannelWriteHalf};
use tokio::sync::{Notify, OnceCell, mpsc, oneshot};
use tokio_util::task::AbortOnDropHandle;

use crate::connect::{Connection, Goodbye, Greeted};
use crate::wire::{Answer, Answers, Attributes, Name, Request, Status, TooLong};

/// The longest wait for an answer; with all reads in flight, a line of 2 Mbit/s takes this long to bring a file's
/// share.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(40);
/// The longest read: with its header, the answer fits into a packet of the file protocol, by custom 256 KiB.
const LONGEST_READ_BYTES: u32 = 255 << 10;
/// Servers that don't send their limit answer reads of this length whole.
const USUAL_READ_BYTES: u32 = 32 << 10;
/// More is never open at once, whatever the server would allow.
const OPEN_AT_ONCE: u64 = 1_024;
/// How many are opened to see whether a server keeps them apart.
const OPEN_TO_TRY: usize = 3;
/// OpenSSH's rename that replaces its target in one step.
pub(crate) const POSIX_RENAME: &str = "posix-rename@openssh.com";
/// OpenSSH's extension that reports the server's limits.
const LIMITS: &str = "limits@openssh.com";

/// A session with the file protocol. When it is dropped, the connection ends, and the server closes what is open.
pub(crate) struct Session {
    pub(crate) connection: Connection,
    exchange: Arc<Exchange>,
    slots: Arc<Slots>,
    /// Set when it is known that the server keeps open files apart.
    is_tried: OnceCell<()>,
    _tasks: [AbortOnDropHandle<()>; 2],
    /// Whether the server has OpenSSH's replacing rename.
    pub(crate) has_posix_rename: bool,
    /// The longest read that the server answers whole.
    pub(crate) read_bytes: u32,
}

/// Why a request came to nothing.
#[derive(Debug)]
pub(crate) enum Trouble {
    /// The server says no.
    Refused(Status),
    /// The server has too many files open, and none of them is this session's.
    TooManyOpen(Status),
    /// There is no answer, and no connection any more.
    Lost(String),
    /// The answer is longer than is taken.
    TooLong(TooLong),
}

impl Trouble {
    fn other_answer() -> Self {
        Self::Lost("an answer to another question".to_owned())
    }
}

impl Session {
    /// Goes on where the greetings are over.
    pub(crate) async fn begin(connection: Connection, greeted: Greeted) -> Result<Self, Trouble> {
        let Greeted { greeting, answers, incoming, outgoing } = greeted;
        let (requests, queue) = mpsc::unbounded_channel();
        let exchange = Arc::new(Exchange { requests, waiting: Mutex::default() });
        let goodbye = connection.goodbye.clone();
        let tasks = [
            tokio::spawn(send(queue, outgoing)),
            tokio::spawn(receive(Arc::clone(&exchange), incoming, answers, goodbye)),
        ];
        let mut session = Self {
            connection,
            exchange,
            _tasks: tasks.map(AbortOnDropHandle::new),
            slots: Arc::new(Slots::new(1)),
            is_tried: OnceCell::new(),
            has_posix_rename: greeting.has(POSIX_RENAME),
            read_bytes: USUAL_READ_BYTES,
        };
        if greeting.has(LIMITS) {
            session.ask_limits().await?;
        }
        Ok(session)
    }

    async fn ask_limits(&mut self) -> Result<(), Trouble> {
        let mut limits = match self.ask(Request::Extended { name: LIMITS, paths: &[] }).await? {
            Answer::Extended(limits) => limits,
            // Limits that are not sent keep their defaults.
            Answer::Status(_) => return Ok(()),
            _ => return Err(Trouble::other_answer()),
        };
        let mut next = || limits.try_get_u64().map_err(|_| Trouble::other_answer());
        let (_packet, read, _write, open) = (next()?, next()?, next()?, next()?);
        // 0 is no limit.
        let read = if read == 0 { u32::MAX } else { u32::try_from(read).unwrap_or(u32::MAX) };
        self.read_bytes = read.clamp(USUAL_READ_BYTES, LONGEST_READ_BYTES);
        self.slots.allow(if open == 0 { OPEN_AT_ONCE } else { open.min(OPEN_AT_ONCE) });
        self.is_tried = OnceCell::new_with(Some(()));
        Ok(())
    }

    /// Opens a file or a folder. If the server allows no more of them at once, this waits until one of this session's
    /// is closed.
    pub(crate) async fn open(self: &Arc<Self>, request: Request<'_>) -> Result<Handle, Trouble> {
        loop {
            if self.slots.are_full() {
                self.is_tried.get_or_try_init(|| self.try_handles()).await?;
            }
            let mut slot = Slots::take(&self.slots).await;
            let status = match self.ask(request).await? {
                Answer::Handle(bytes) if slot.gets(&bytes) => {
                    return Ok(Handle { session: Arc::clone(self), bytes, slot: Some(slot) });
                }
                Answer::Handle(_) => return Err(self.exchange.end("the server gave one handle to two files")),
                Answer::Status(status) => status,
                _ => return Err(Trouble::other_answer()),
            };
            if !status.says_too_many_are_open(request) {
                return Err(Trouble::Refused(status));
            }
            if !slot.give_up() {
                return Err(Trouble::TooManyOpen(status));
            }
        }
    }

    /// Erlang's server gives the third open file the handle of the second, and then answers with the wrong file's
    /// bytes. So before a server that does not report its limits has two files open, this tests it with folders.
    async fn try_handles(&self) -> Result<(), Trouble> {
        let folder = Request::OpenFolder { path: "." };
        let answers = try_join_all([folder; OPEN_TO_TRY].map(|request| self.ask(request))).await?;
        let handles = answers.iter().filter_map(|answer| match answer {
            Answer::Handle(handle) => Some(handle),
            // It need not have such a folder, and may allow fewer: that is seen later.
            _ => None,
        });
        let handles: Vec<_> = handles.collect();
        try_join_all(handles.iter().map(|handle| self.ask(Request::Close { handle }))).await?;
        let kept_apart = handles.iter().collect::<HashSet<_>>().len();
        self.slots.allow(if kept_apart < handles.len() { kept_apart as u64 } else { OPEN_AT_ONCE });
        Ok(())
    }

    pub(crate) async fn stat(&self, path: &str) -> Result<Attributes, Trouble> {
        attributes(self.ask(Request::Stat { path }).await?)
    }

    /// A request that is answered with a status.
    pub(crate) async fn act(&self, request: Request<'_>) -> Result<(), Trouble> {
        done(self.ask(request).await?)
    }

    async fn ask(&self, request: Request<'_>) -> Result<Answer, Trouble> {
        self.exchange.ask(request, None).await
    }
}

/// A file or folder that is open at the server. Dropping it closes it, without waiting.
pub(crate) struct Handle {
    session: Arc<Session>,
    bytes: Bytes,
    /// None once it is closed.
    slot: Option<Slot>,
}

impl Handle {
    /// The next names of a folder; none at its end.
    pub(crate) async fn names(&self) -> Result<Option<Vec<Name>>, Trouble> {
        match self.session.ask(Request::ReadFolder { handle: &self.bytes }).await? {
            // Some servers end so, and would never say more.
            Answer::Names(names) if names.is_empty() => Ok(None),
            Answer::Names(names) => Ok(Some(names)),
            Answer::Status(status) if status.is_end() => Ok(None),
            Answer::TooLong(answer) => Err(Trouble::TooLong(answer)),
            Answer::Status(status) => Err(Trouble::Refused(status)),
            _ => Err(Trouble::other_answer()),
        }
    }

    /// Some bytes of a file, at most this many; none at its end.
    pub(crate) async fn read(&self, offset: u64, len: u32) -> Result<Option<Bytes>, Trouble> {
        match self.session.ask(Request::Read { handle: &self.bytes, offset, len }).await? {
            Answer::Data(data) if data.is_empty() => Ok(None),
            Answer::Data(data) => Ok(Some(data)),
            Answer::Status(status) if status.is_end() => Ok(None),
            Answer::Status(status) => Err(Trouble::Refused(status)),
            _ => Err(Trouble::other_answer()),
        }
    }

    pub(crate) async fn write(&self, offset: u64, data: &[u8]) -> Result<(), Trouble> {
        done(self.session.ask(Request::Write { handle: &self.bytes, offset, data }).await?)
    }

    pub(crate) async fn stat(&self) -> Result<Attributes, Trouble> {
        attributes(self.session.ask(Request::StatOpen { handle: &self.bytes }).await?)
    }

    pub(crate) async fn close(mut self) -> Result<(), Trouble> {
        let slot = self.slot.take();
        done(self.session.exchange.ask(Request::Close { handle: &self.bytes }, slot).await?)
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        if let Some(slot) = self.slot.take() {
            let close = Request::Close { handle: &self.bytes };
            self.session.exchange.send(close, Waiter { asked: None, closes: Some(slot) });
        }
    }
}

fn done(answer: Answer) -> Result<(), Trouble> {
    match answer {
        Answer::Status(status) if status.is_ok() => Ok(()),
        Answer::Status(status) => Err(Trouble::Refused(status)),
        _ => Err(Trouble::other_answer()),
    }
}

fn attributes(answer: Answer) -> Result<Attributes, Trouble> {
    match answer {
        Answer::Attributes(attributes) => Ok(attributes),
        Answer::Status(status) => Err(Trouble::Refused(status)),
        _ => Err(Trouble::other_answer()),
    }
}

/// Outstanding requests, and the tasks that wait for their answers.
struct Exchange {
    requests: mpsc::UnboundedSender<Bytes>,
    waiting: Mutex<Waiting>,
}

#[derive(Default)]
struct Waiting {
    next_id: u32,
    by_id: HashMap<u32, Waiter>,
    /// Why no answer comes any more.
    ended: Option<String>,
}

struct Waiter {
    /// None where nobody waits.
    asked: Option<oneshot::Sender<Answer>>,
    /// The place that is free with the answer, and not before. It is freed in the order of the answers: the next one
    /// that is opened may get the same handle.
    closes: Option<Slot>,
}

impl Waiting {
    fn add(&mut self, waiter: Waiter) -> u32 {
        let id = self.next_id;
        self.next_id = id.wrapping_add(1);
        self.by_id.insert(id, waiter);
        id
    }

    /// No request gets an answer any more. The first reason is the one that is reported.
    fn end(&mut self, why: &str) {
        self.ended.get_or_insert_with(|| why.to_owned());
        self.by_id.clear();
    }
}

impl Exchange {
    async fn ask(&self, request: Request<'_>, closes: Option<Slot>) -> Result<Answer, Trouble> {
        let (sender, answer) = oneshot::channel();
        self.send(request, Waiter { asked: Some(sender), closes });
        match tokio::time::timeout(REQUEST_TIMEOUT, answer).await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(_)) => Err(Trouble::Lost(self.waiting().ended.clone().unwrap_or_default())),
            Err(_) => Err(Trouble::Lost("no answer in time".to_owned())),
        }
    }

    /// Sends a request; where no answer can come, the waiter is dropped at once.
    fn send(&self, request: Request<'_>, waiter: Waiter) {
        let mut waiting = self.waiting();
        if waiting.ended.is_some() {
            return;
        }
        let id = waiting.add(waiter);
        if self.requests.send(request.packet(id)).is_err() {
            waiting.end("the connection is closed");
        }
    }

    fn answer(&self, id: u32, answer: Answer) {
        let Some(Waiter { asked, closes }) = self.waiting().by_id.remove(&id) else { return };
        drop(closes);
        // The task that waited for the open file may be gone.
        if let Some(Err(Answer::Handle(handle))) = asked.map(|asked| asked.send(answer)) {
            self.send(Request::Close { handle: &handle }, Waiter { asked: None, closes: None });
        }
    }

    /// Ends the session, from our side.
    fn end(&self, why: &str) -> Trouble {
        self.waiting().end(why);
        Trouble::Lost(why.to_owned())
    }

    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        // Nothing that may panic happens under this lock.
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn send(mut queue: mpsc::UnboundedReceiver<Bytes>, outgoing: ChannelWriteHalf<Msg>) {
    while let Some(packet) = queue.recv().await {
        if let Err(error) = outgoing.data_bytes(packet).await {
            // `receive` reports it to the tasks that wait for answers.
            tracing::debug!(%error, "the SFTP connection takes nothing any more");
            return;
        }
    }
}

async fn receive(exchange: Arc<Exchange>, mut incoming: ChannelReadHalf, mut answers: Answers, goodbye: Goodbye) {
    let why = loop {
        match answers.next() {
            Ok(Some((id, answer))) => exchange.answer(id, answer),
            Ok(None) => match incoming.wait().await {
                Some(ChannelMsg::Data { data }) => answers.push(data),
                Some(ChannelMsg::Eof | ChannelMsg::Close) => break "the server has ended the session",
                None => break goodbye.said().unwrap_or("the connection is closed"),
                Some(_) => {}
            },
            Err(_) => break "the server sends something that is not the file protocol",
        }
    };
    exchange.end(why);
}

/// How many files and folders are open at once: as many as the server allows. Most servers show their limit only by a
/// refusal.
struct Slots {
    count: Mutex<Count>,
    freed: Notify,
}

struct Count {
    open: u64,
    handles: HashSet<Bytes>,
    limit: u64,
    /// How many have been closed, ever.
    closed: u64,
}

/// The place of one that is open, or is about to be.
struct Slot {
    slots: Arc<Slots>,
    handle: Option<Bytes>,
    /// How many had been closed when this one was taken.
    closed_before: u64,
}

impl Slots {
    fn new(limit: u64) -> Self {
        Self { count: Mutex::new(Count { open: 0, handles: HashSet::new(), limit, closed: 0 }), freed: Notify::new() }
    }

    fn allow(&self, limit: u64) {
        self.count().limit = limit;
        self.freed.notify_one();
    }

    fn are_full(&self) -> bool {
        let count = self.count();
        count.open >= count.limit
    }

    async fn take(slots: &Arc<Self>) -> Slot {
        loop {
            let freed = slots.freed.notified();
            {
                let mut count = slots.count();
                if count.open < count.limit {
                    count.open += 1;
                    // Several may have been freed at once.
                    if count.open < count.limit {
                        slots.freed.notify_one();
                    }
                    return Slot { slots: Arc::clone(slots), handle: None, closed_before: count.closed };
                }
            }
            freed.await;
        }
    }

    fn count(&self) -> MutexGuard<'_, Count> {
        self.count.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Slot {
    /// Takes the handle; false where another one has it.
    fn gets(&mut self, handle: &Bytes) -> bool {
        let is_new = self.slots.count().handles.insert(handle.clone());
        if is_new {
            self.handle = Some(handle.clone());
        }
        is_new
    }

    /// The server has no place for it beside the others: no more than those are tried from now on. False where there
    /// are no others, so that waiting would be of no use.
    fn give_up(self) -> bool {
        let mut count = self.slots.count();
        let others = count.open - 1;
        count.limit = count.limit.min(others.max(1));
        others > 0 || count.closed > self.closed_before
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        let mut count = self.slots.count();
        count.open -= 1;
        count.closed += 1;
        if let Some(handle) = &self.handle {
            count.handles.remove(handle);
        }
        drop(count);
        self.slots.freed.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use std::pin::pin;

    use futures::poll;

    use super::*;

    #[tokio::test]
    async fn no_more_are_opened_than_the_server_allows() {
        let slots = Arc::new(Slots::new(OPEN_AT_ONCE));
        let mut taken = Vec::new();
        for _ in 0..8 {
            taken.push(Slots::take(&slots).await);
        }
        for refused in taken.drain(2..) {
            assert!(refused.give_up());
        }
        let (mut third, mut fourth) = (pin!(Slots::take(&slots)), pin!(Slots::take(&slots)));
        assert!(poll!(third.as_mut()).is_pending() && poll!(fourth.as_mut()).is_pending());
        taken.clear();
        let (third, fourth) = (third.await, fourth.await);
        // With no other one open, waiting is of no use.
        drop(third);
        let fifth = Slots::take(&slots).await;
        drop(fourth);
        assert!(fifth.give_up());
        assert!(!Slots::take(&slots).await.give_up());
    }

    #[tokio::test]
    async fn two_that_are_open_never_have_one_handle() {
        let slots = Arc::new(Slots::new(OPEN_AT_ONCE));
        let (mut first, mut second) = (Slots::take(&slots).await, Slots::take(&slots).await);
        let handle = Bytes::from_static(b"1");
        assert!(first.gets(&handle) && !second.gets(&handle));
        drop(first);
        assert!(second.gets(&handle));
    }
}
