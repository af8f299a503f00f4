//! `trunkline generate messages`: posts them as a client does, and checks what the API says of each.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use generator::chat::{Kind, Line, Options, lines};
use hyper::StatusCode;
use intake_http::{MAX_BODY_BYTES, MAX_ITEMS, PATH};
use serde::Deserialize;

use crate::cli::{GenerateMessagesArgs, MessagesArgs};
use crate::client::{Client, Patience};
use crate::figures::Api;
use crate::verify::password;

/// Messages of a request: each waits for Kafka once, so many of them cost little more than one.
const MESSAGES_PER_REQUEST: usize = 1_000;
const _: () = assert!(MESSAGES_PER_REQUEST <= MAX_ITEMS);

/// The API itself gives up after 30 s. Kafka may be away for a minute.
const PATIENCE: Patience = Patience { answer: Duration::from_secs(35), attempts: 12 };

/// How much of an answer that is no success is shown.
const SHOWN_CHARS: usize = 300;

/// What became of the messages, as the API says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
pub(crate) struct Sent {
    /// Taken, those that come again in another request included.
    pub(crate) accepted: u64,
    /// The same message twice in a request.
    pub(crate) duplicates: u64,
    /// Not taken.
    pub(crate) rejected: u64,
}

pub(crate) async fn run(args: GenerateMessagesArgs) -> anyhow::Result<()> {
    crate::logs::as_text();
    let options = options(&args.messages);
    if let Some(file) = args.to.to_file {
        let count = write(&options, &file).with_context(|| format!("writing {} failed", file.display()))?;
        tracing::info!("Wrote {count} lines to {}", file.display());
        return Ok(());
    }
    let (Some(url), Some(user)) = (args.to.url, args.user) else { bail!("give --url and --user, or --to-file") };
    let sent = post(&Api { url, user, password: password()? }, &options).await?;
    let Sent { accepted, duplicates, rejected } = sent;
    tracing::info!("Posted all messages. accepted [{accepted}], duplicates [{duplicates}], rejected [{rejected}]");
    Ok(())
}

/// The options that the command line asks for.
fn options(args: &MessagesArgs) -> Options {
    let MessagesArgs { count, rooms, seed, subscribers, days, start, faults } = *args;
    Options { seed, count, rooms, subscribers, days, start, faults }
}

fn write(options: &Options, path: &Path) -> anyhow::Result<u64> {
    let lines = lines(options)?;
    let mut file = BufWriter::new(File::create(path)?);
    let mut count = 0;
    for line in lines {
        file.write_all(&line.json)?;
        file.write_all(b"\n")?;
        count += 1;
    }
    file.into_inner().map_err(std::io::IntoInnerError::into_error)?.sync_all()?;
    Ok(count)
}

/// Posts all messages, one request after another, so that rooms keep their order.
///
/// # Errors
/// When the API can't be reached, goes on being unavailable, refuses a request, or takes or refuses other messages than
/// it should. The same call may be made again: messages are known by their ids.
pub(crate) async fn post(api: &Api, options: &Options) -> anyhow::Result<Sent> {
    let client = Client::new(api, PATIENCE)?;
    let mut sum = Sent::default();
    let mut request = Batch::default();
    for line in lines(options)? {
        if !request.fits(&line) {
            sum.add(post_batch(&client, std::mem::take(&mut request)).await?);
        }
        request.push(&line);
    }
    if request.lines > 0 {
        sum.add(post_batch(&client, request).await?);
    }
    Ok(sum)
}

impl Sent {
    fn add(&mut self, other: Self) {
        self.accepted += other.accepted;
        self.duplicates += other.duplicates;
        self.rejected += other.rejected;
    }
}

/// The messages of one request.
#[derive(Default)]
struct Batch {
    body: Vec<u8>,
    lines: usize,
    unusable: u64,
}

impl Batch {
    fn fits(&self, line: &Line) -> bool {
        self.lines < MESSAGES_PER_REQUEST && self.body.len() + line.json.len() < MAX_BODY_BYTES
    }

    fn push(&mut self, line: &Line) {
        self.body.extend_from_slice(&line.json);
        self.body.push(b'\n');
        self.lines += 1;
        self.unusable += u64::from(line.kind == Kind::Unusable);
    }
}

/// Posts a request's messages. Returns what became of them, when that is what should.
async fn post_batch(client: &Client, batch: Batch) -> anyhow::Result<Sent> {
    let (status, answer) = client.post(PATH, "application/x-ndjson", batch.body.into()).await?;
    // A request whose messages are all unusable is a 400, which says the same of each.
    let sent = serde_json::from_slice::<Sent>(&answer).ok();
    let sent = sent.filter(|_| matches!(status, StatusCode::ACCEPTED | StatusCode::BAD_REQUEST));
    let sent = sent.with_context(|| {
        let answer: String = String::from_utf8_lossy(&answer).chars().take(SHOWN_CHARS).collect();
        format!("POST {PATH}: {status}: {answer}")
    })?;
    ensure!(
        sent.rejected == batch.unusable && sent.accepted + sent.duplicates + sent.rejected == batch.lines as u64,
        "of {} messages {} can't be used, and the API says: {sent:?}",
        batch.lines,
        batch.unusable
    );
    Ok(sent)
}
