use std::fs::File;
use std::path::Path;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use anyhow::Context;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};

/// The user and group that a child process runs as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Owner {
    /// The user's number.
    pub uid: u32,
    /// The group's number.
    pub gid: u32,
}

/// A child process that can't outlive us.
///
/// A small `sh` stands between: it starts the program, passes on the signals whose names come through its standard
/// input, and sends a last one when that pipe ends, which the system brings about even when we are killed with -9.
#[derive(Debug)]
pub struct Supervised {
    shell: Child,
    control: ChildStdin,
    /// A line for each signal that was sent.
    sent: ChildStdout,
}

/// `$1` is the signal for the pipe's end; the rest is the program and its arguments. The program gets neither the pipes
/// nor our standard input; the shell ends with its status. A signal is confirmed by a line, which nobody may be left to read.
/// The last one is repeated: a program that has only just started does not listen yet.
const SUPERVISE: &str = r#"
last=$1; shift
exec 3<&0 </dev/null
"$@" 3<&- >&2 &
program=$!
{
    trap '' PIPE
    while read -r signal; do kill -s "$signal" "$program"; echo; done
    while kill -s "$last" "$program"; do sleep 1; done
} <&3 2>/dev/null &
relay=$!
exec 3<&- >&2
wait "$program"; status=$?
kill "$relay" 2>/dev/null
exit "$status"
"#;

impl Supervised {
    /// Starts `program` in the folder `/`; its output goes to the file `log`, which is begun anew. `signal_at_end` is the name
    /// of what it gets when this value is dropped or lost, such as `KILL`.
    ///
    /// # Errors
    /// When the log can't be written or `sh` can't be started. A program that can't be started ends at once.
    pub fn spawn<S: AsRef<std::ffi::OsStr>>(
        program: &Path,
        arguments: impl IntoIterator<Item = S>,
        owner: Option<Owner>,
        log: &Path,
        signal_at_end: &str,
    ) -> anyhow::Result<Self> {
        let output = File::create(log).with_context(|| format!("can't write {}", log.display()))?;
        let mut command = Command::new("sh");
        command
            .args(["-c", SUPERVISE, "sh", signal_at_end])
            .arg(program)
            .args(arguments)
            .current_dir("/")
            // Messages that we look for must not be translated.
            .env("LC_ALL", "C")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(output)
            // Ctrl-C goes to the terminal's process group; the program is to end when we say so, after its clients.
            .process_group(0);
        if let Some(Owner { uid, gid }) = owner {
            command.uid(uid).gid(gid);
        }
        let mut shell = command.spawn().context("can't start `sh`, which supervises the program")?;
        let control = shell.stdin.take().context("the supervising `sh` has no standard input")?;
        let sent = shell.stdout.take().context("the supervising `sh` has no standard output")?;
        Ok(Self { shell, control, sent })
    }

    /// Waits for the program's end. Cancel safe.
    ///
    /// # Errors
    /// When the system refuses to tell.
    pub async fn ended(&mut self) -> anyhow::Result<ExitStatus> {
        // Not Child::wait on the whole: that would close the pipe, which means "stop". The pipe was taken out in spawn.
        self.shell.wait().await.context("can't wait for the supervising `sh`")
    }

    /// The program's status when it has ended.
    ///
    /// # Errors
    /// When the system refuses to tell.
    pub fn try_ended(&mut self) -> anyhow::Result<Option<ExitStatus>> {
        self.shell.try_wait().context("can't ask for the supervising `sh`")
    }

    /// Sends the program the signal of this name, such as `STOP`. Returns when the system has it.
    ///
    /// # Errors
    /// When the program has ended.
    pub async fn signal(&mut self, name: &str) -> anyhow::Result<()> {
        self.control.write_all(format!("{name}\n").as_bytes()).await.context("the program has ended")?;
        self.sent.read_u8().await.context("the program has ended")?;
        Ok(())
    }

    /// Sends each signal in turn until the program ends within the time that goes with it.
    ///
    /// # Errors
    /// When it outlives them all.
    pub async fn stop(mut self, signals: &[(&str, Duration)]) -> anyhow::Result<ExitStatus> {
        for (signal, patience) in signals {
            // It may have ended already: then the pipe is closed, and waiting tells.
            if let Err(error) = self.signal(signal).await {
                tracing::debug!(%error, signal, "the program has ended before it was told to");
            }
            if let Ok(status) = tokio::time::timeout(*patience, self.ended()).await {
                return status;
            }
        }
        anyhow::bail!("the program did not end after {}", signals.iter().map(|s| s.0).collect::<Vec<_>>().join(", "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// It begins to listen only at its second signal.
    const HARD_OF_HEARING: &str = r#"
heard=0
trap 'heard=$((heard + 1)); echo "$heard"; [ "$heard" -lt 2 ] || exit 0' TERM
echo ready
while :; do sleep 0.1; done
"#;

    #[tokio::test]
    async fn the_last_signal_is_repeated_until_it_is_heard() {
        let folder = tempfile::tempdir().unwrap();
        let log = folder.path().join("log");
        let arguments = ["-c", HARD_OF_HEARING];
        let supervised = Supervised::spawn(Path::new("/bin/sh"), arguments, None, &log, "TERM").unwrap();
        let said = async |text: &str| {
            while std::fs::read_to_string(&log).unwrap() != text {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        said("ready\n").await;
        drop(supervised);
        said("ready\n1\n2\n").await;
    }
}
