//! The program as a person starts it.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

/// A run of `trunkline`, or of another program, that is killed when the test ends.
pub(crate) struct Program {
    child: Child,
    output: PathBuf,
}

/// Everything here takes seconds; on a slow machine some tens of them.
pub(crate) const PATIENCE: Duration = Duration::from_secs(240);

const POLL_INTERVAL: Duration = Duration::from_millis(20);

impl Program {
    /// Starts `trunkline ARGS…`; what it prints goes to a file in `scratch`.
    pub(crate) fn start<A: AsRef<str>>(scratch: &Path, args: &[A]) -> Self {
        Self::run(scratch, Command::new(env!("CARGO_BIN_EXE_trunkline")).args(args.iter().map(AsRef::as_ref)))
    }

    /// Starts a command in `scratch`; what it prints goes to a file there.
    pub(crate) fn run(scratch: &Path, command: &mut Command) -> Self {
        let output = scratch.join(format!("output-{}", rand_name()));
        let file = File::create(&output).expect("an output file");
        let child = command
            .current_dir(scratch)
            .env_remove("TRUNKLINE_PARAMETERS")
            .stdin(Stdio::null())
            .stdout(file.try_clone().expect("one file for both"))
            .stderr(file)
            .spawn()
            .unwrap_or_else(|error| panic!("{command:?} can't be started: {error}"));
        Self { child, output }
    }

    /// What it has printed so far.
    pub(crate) fn printed(&self) -> String {
        let mut text = String::new();
        File::open(&self.output).and_then(|mut file| file.read_to_string(&mut text)).expect("what it printed");
        text
    }

    /// Waits until it ends.
    pub(crate) fn ends(&mut self) -> ExitStatus {
        let ended = wait_for(PATIENCE, || self.child.try_wait().expect("a child"));
        ended.unwrap_or_else(|| panic!("still running after {PATIENCE:?}; it printed:\n{}", self.printed()))
    }

    /// Waits until it ends well, and returns what it has printed.
    pub(crate) fn succeeds(&mut self) -> String {
        let status = self.ends();
        let printed = self.printed();
        assert!(status.success(), "{printed}");
        printed
    }

    /// Waits until `trunkline up` serves; returns where.
    pub(crate) fn serves(&mut self) -> String {
        self.until_printed("it serves", |printed| {
            let (_, address) = printed.split_once("The API is at ")?;
            Some(address.split_once(". ")?.0.to_owned())
        })
    }

    /// Waits until it ends or this time has passed.
    pub(crate) fn ends_within(&mut self, patience: Duration) -> Option<ExitStatus> {
        wait_for(patience, || self.child.try_wait().expect("a child"))
    }

    /// Waits for something to come true while it runs.
    pub(crate) fn until<T>(&mut self, what: &str, condition: impl Fn() -> Option<T>) -> T {
        let met = wait_for(PATIENCE, || {
            let met = condition();
            if met.is_none() && self.child.try_wait().expect("a child").is_some() {
                panic!("it ended before {what}; it printed:\n{}", self.printed());
            }
            met
        });
        met.unwrap_or_else(|| panic!("not {what} after {PATIENCE:?}; it printed:\n{}", self.printed()))
    }

    /// Waits for it to print something, and takes what is wanted of it.
    pub(crate) fn until_printed<T>(&mut self, what: &str, wanted: impl Fn(&str) -> Option<T>) -> T {
        let output = self.output.clone();
        self.until(what, || wanted(&std::fs::read_to_string(&output).expect("what it printed")))
    }

    /// Sends a signal by name.
    pub(crate) fn signal(&self, name: &str) {
        let status = Command::new("kill").arg(format!("-{name}")).arg(self.child.id().to_string()).status();
        assert!(status.expect("kill runs").success(), "no process to send {name} to");
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        if self.child.try_wait().is_ok_and(|ended| ended.is_none()) {
            self.child.kill().expect("killed");
            self.child.wait().expect("gone");
        }
    }
}

/// What of a program's output is for people: all but its log.
pub(crate) fn without_log(printed: &str) -> String {
    printed.lines().filter(|line| !line.starts_with('{')).map(|line| format!("{line}\n")).collect()
}

/// Waits until no process's command line names `folder`, which all that works on it does.
pub(crate) fn nothing_left_on(folder: &Path) {
    nothing_left("cmdline", folder.to_str().expect("a UTF-8 path"));
}

/// Waits until no process has `text` in its environment, which it hands on to those that it starts.
pub(crate) fn nothing_left_with(text: &str) {
    nothing_left("environ", text);
}

fn nothing_left(file: &str, text: &str) {
    let gone = wait_for(PATIENCE, || processes(file, text).is_empty().then_some(()));
    assert!(gone.is_some(), "left behind: {:?}", processes(file, text));
}

/// The command lines of the processes with `text` in this file of `/proc`.
fn processes(file: &str, text: &str) -> Vec<String> {
    let processes = std::fs::read_dir("/proc").expect("processes").flatten().map(|process| process.path());
    let read = |path: PathBuf| {
        let bytes = std::fs::read(path).ok()?;
        Some(String::from_utf8_lossy(&bytes).replace('\0', " "))
    };
    processes
        .filter(|process| read(process.join(file)).is_some_and(|it| it.contains(text)))
        .filter_map(|process| read(process.join("cmdline")))
        .collect()
}

fn wait_for<T>(patience: Duration, mut condition: impl FnMut() -> Option<T>) -> Option<T> {
    let began = Instant::now();
    loop {
        let met = condition();
        if met.is_some() || began.elapsed() > patience {
            return met;
        }
        pause();
    }
}

#[expect(clippy::disallowed_methods, reason = "between two looks at a condition, in a thread of its own")]
fn pause() {
    std::thread::sleep(POLL_INTERVAL);
}

fn rand_name() -> u64 {
    use std::sync::atomic::{AtomicU64, Ordering};
    static NEXT: AtomicU64 = AtomicU64::new(0);
    NEXT.fetch_add(1, Ordering::Relaxed)
}
