//! Programs that are killed at random while files grow, rotate, are cut and are replaced. The oracle shares no code: it knows
//! what was written, and no call is made twice.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;

use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};
use telecom::{Day, Msisdn};
use test_support::eventually;

use crate::program::{PATIENCE, Program};
use crate::world::World;

/// Another seed: `FILE_KILLS_SEED=2 cargo test …`.
const SEED: Option<&str> = option_env!("FILE_KILLS_SEED");
const KILLS: usize = 30;
/// Within this time of its start a program is killed.
const KILLED_WITHIN_MS: u64 = 2_500;

/// A file on the server, and what of it counts.
#[derive(Clone, Debug)]
struct File {
    name: String,
    subscriber: String,
    /// The number that its first call was made to; the others follow.
    first_called: u64,
    /// The durations of its calls.
    calls: Vec<u64>,
    /// One of which only the beginning is there.
    half: Option<u64>,
    /// It stays as it is.
    is_whole: bool,
    /// Somebody decides about its next version, in this way.
    verdict: Option<&'static str>,
}

impl File {
    fn row(&self, at: usize, duration: u64) -> String {
        let called = self.first_called + at as u64;
        format!("{},7,voice,{called},{duration},2024-03-01 10:00:00\n", self.subscriber)
    }

    fn text(&self) -> String {
        let mut text = "msisdn,tower_id,call_type,dest_nr,call_duration_sec,start_time\n".to_owned();
        for (at, duration) in self.calls.iter().enumerate() {
            text += &self.row(at, *duration);
        }
        if let Some(duration) = self.half {
            // Somewhere in the duration's digits or before them.
            text += &self.row(self.calls.len(), duration)[..36];
        }
        text
    }
}

/// What happens to the files; the oracle.
struct Senders {
    random: SmallRng,
    upload: PathBuf,
    files: Vec<File>,
    /// Seconds, by subscriber, of calls that are not in `files` any more, and count.
    rotated: BTreeMap<String, u64>,
    next_call: u64,
}

impl Senders {
    fn new(seed: u64, upload: PathBuf) -> Self {
        let random = SmallRng::seed_from_u64(seed);
        Self { random, upload, files: Vec::new(), rotated: BTreeMap::new(), next_call: 27_830_000_000 }
    }

    fn do_something(&mut self) {
        match self.random.random_range(0..10) {
            0 | 1 => self.begin(),
            2..=5 => self.grow(0.5),
            6 => self.rotate(),
            7 => self.cut_then_whole(),
            _ => self.correct(),
        }
    }

    /// With numbers that nobody called before.
    fn file(&mut self, calls: Vec<u64>) -> File {
        let made = self.files.len();
        let first_called = self.next_call;
        self.next_call += 1_000_000;
        File {
            name: format!("cdr_voice_20240301_{:02}{:02}{:02}.csv", made / 3600, made / 60 % 60, made % 60),
            subscriber: (27_821_000_000 + made).to_string(),
            first_called,
            calls,
            half: None,
            is_whole: false,
            verdict: None,
        }
    }

    fn durations(&mut self, count: std::ops::Range<usize>) -> Vec<u64> {
        let count = self.random.random_range(count);
        (0..count).map(|_| self.random.random_range(100..1000)).collect()
    }

    fn begin(&mut self) {
        let calls = self.durations(1..40);
        let file = self.file(calls);
        self.write(&file.name, file.text().as_bytes());
        self.files.push(file);
    }

    /// A file gets longer in its place, by whole lines and perhaps a part of one.
    fn grow(&mut self, half: f64) {
        let more = self.durations(1..30);
        let half = self.random.random_bool(half).then(|| self.random.random_range(100..1000));
        let Some(at) = self.one_of(|file| !file.is_whole) else { return };
        let file = &mut self.files[at];
        let length = file.text().len();
        let finished = file.half.take();
        file.calls.extend(finished.into_iter().chain(more));
        file.half = half;
        let text = file.text();
        let mut opened = std::fs::OpenOptions::new().append(true).open(self.upload.join(&file.name)).expect("the file");
        opened.write_all(&text.as_bytes()[length..]).expect("written");
    }

    /// A file is compressed under a new name, and begins anew with other calls.
    fn rotate(&mut self) {
        let calls = self.durations(1..10);
        let is_free = |file: &File| !file.is_whole && file.half.is_none() && file.verdict.is_none();
        let Some(at) = self.one_of(is_free) else { return };
        let first_called = self.next_call;
        self.next_call += 1_000_000;
        let file = &mut self.files[at];
        let packed = gzip(&file.text());
        *self.rotated.entry(file.subscriber.clone()).or_default() += file.calls.iter().sum::<u64>();
        (file.calls, file.first_called, file.verdict) = (calls, first_called, Some("accept"));
        let (name, text) = (file.name.clone(), file.text());
        self.write(&format!("{name}.gz"), &packed);
        self.write(&name, text.as_bytes());
    }

    /// The beginning of a file comes alone, and then the whole under another name.
    fn cut_then_whole(&mut self) {
        let calls = self.durations(2..30);
        let cut = self.random.random_range(1..calls.len());
        let mut whole = self.file(calls);
        whole.is_whole = true;
        let beginning = File { calls: whole.calls[..cut].to_vec(), ..whole.clone() };
        self.write(&beginning.name, beginning.text().as_bytes());
        // It counts in whichever file it comes first.
        self.files.push(File { calls: Vec::new(), ..beginning });
        whole.name = self.file(Vec::new()).name;
        self.write(&whole.name, whole.text().as_bytes());
        self.files.push(whole);
    }

    /// A file comes again under its name, with one duration corrected.
    fn correct(&mut self) {
        let is_free = |file: &File| !file.is_whole && file.half.is_none() && file.verdict.is_none();
        let Some(at) = self.one_of(is_free) else { return };
        let file = &mut self.files[at];
        file.calls[0] += 10_000;
        (file.is_whole, file.verdict) = (true, Some("replace"));
        let (name, text) = (file.name.clone(), file.text());
        self.write(&name, text.as_bytes());
    }

    fn one_of(&mut self, is_wanted: impl Fn(&File) -> bool) -> Option<usize> {
        let wanted: Vec<usize> = (0..self.files.len()).filter(|at| is_wanted(&self.files[*at])).collect();
        (!wanted.is_empty()).then(|| wanted[self.random.random_range(0..wanted.len())])
    }

    /// By a rename, as most senders do.
    fn write(&self, name: &str, bytes: &[u8]) {
        let beside = self.upload.join(format!("{name}.part"));
        std::fs::write(&beside, bytes).expect("written");
        std::fs::rename(&beside, self.upload.join(name)).expect("in its place");
    }

    /// The seconds that each subscriber is to have.
    fn right(&self) -> BTreeMap<String, u64> {
        let mut right = self.rotated.clone();
        for file in &self.files {
            *right.entry(file.subscriber.clone()).or_default() += file.calls.iter().sum::<u64>();
        }
        right
    }

    fn verdict(&self, name: &str) -> Option<&'static str> {
        self.files.iter().find(|file| file.name == name)?.verdict
    }
}

fn gzip(text: &str) -> Vec<u8> {
    let mut gzip = Command::new("gzip").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("gzip");
    gzip.stdin.take().expect("its input").write_all(text.as_bytes()).expect("written");
    gzip.wait_with_output().expect("compressed").stdout
}

async fn found(world: &World, right: &BTreeMap<String, u64>) -> BTreeMap<String, u64> {
    let day = Day::parse("2024-03-01").expect("a day");
    let mut found = BTreeMap::new();
    for subscriber in right.keys() {
        let number = Msisdn::parse(subscriber).expect("a number");
        let usage = world.store.usage_of(number, day, day).await.expect("usage");
        found.insert(subscriber.clone(), usage.iter().map(|usage| usage.totals.seconds).sum());
    }
    found
}

/// Starts the commands by which a person decides about every file that waits.
fn decide(world: &World, senders: &Senders) -> Vec<Program> {
    let waits = |state: &str| ["conflict", "replacing"].contains(&state);
    let files = world.files();
    let waiting = files.iter().filter(|(_, file)| waits(&file.state));
    waiting
        .map(|(name, _)| match senders.verdict(name) {
            Some(verdict) => world.trunkline(&["files", verdict, name]),
            None => panic!("nobody is to decide: {}", world.succeeds(&["files", name])),
        })
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_call_counts_once_whatever_is_killed() {
    let seed = SEED.map_or(1, |seed| seed.parse().expect("a number"));
    let world = World::start(&[("SftpSettleSeconds", "1")]).await;
    let mut senders = Senders::new(seed, world.sshd.upload().to_owned());
    let mut up = world.up().0;
    let mut killed = BTreeMap::<&str, usize>::new();
    for kill in 0..KILLS {
        for _ in 0..senders.random.random_range(1..4) {
            senders.do_something();
        }
        let decisions = if kill % 2 == 0 { decide(&world, &senders) } else { Vec::new() };
        let mut poll = world.poll();
        let after = Duration::from_millis(senders.random.random_range(0..KILLED_WITHIN_MS));
        // The moment is what is random.
        tokio::time::sleep(after).await;
        if !decisions.is_empty() {
            *killed.entry("decisions").or_default() += 1;
            drop(decisions);
        } else if senders.random.random_bool(0.5) {
            *killed.entry("poll").or_default() += 1;
            drop(poll);
        } else {
            *killed.entry("up").or_default() += 1;
            drop(up);
            up = world.up().0;
            poll.ends();
        }
    }
    eprintln!("seed {seed}: killed {killed:?}");
    // Whether a decision is at work in these moments is up to the machine.
    assert!(killed.contains_key("poll") && killed.contains_key("up"), "{killed:?}");

    drop(up);
    let up = world.up().0;
    while senders.files.iter().any(|file| file.half.is_some()) {
        senders.grow(0.0);
    }
    let right = senders.right();
    eventually(PATIENCE, async || {
        // While services come back, they may fail.
        world.poll().ends();
        for mut decision in decide(&world, &senders) {
            decision.ends();
        }
        let found = found(&world, &right).await;
        let wrong: Vec<_> = right.iter().filter(|(subscriber, right)| found[*subscriber] != **right).collect();
        eprintln!("seed {seed}: {} of {} subscribers differ: {wrong:?}", wrong.len(), right.len());
        wrong.is_empty()
    })
    .await;
    // Nothing more comes.
    world.settled(&[]).await;
    assert_eq!(found(&world, &right).await, right, "seed {seed}");
    drop(up);
}
