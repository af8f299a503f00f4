//! `trunkline generate messages`: posts them as a client does, and checks what the API says of each.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use generator::chat::{Kind, Line, Options, lines};
use http_body_util::{BodyExt, Full};
use hyper::header::{AUTHORIZATION, CONTENT_TYPE};
use hyper::{Request, StatusCode};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use intake_http::{MAX_BODY_BYTES, MAX_ITEMS};
use serde::Deserialize;

use crate::cli::{GenerateMessagesArgs, MessagesArgs};
use crate::figures::Api;
use crate::verify::password;

/// Messages of a request: each waits for Kafka once, so many of them cost little more than one.
const MESSAGES_PER_REQUEST: usize = 1_000;
const _: () = assert!(MESSAGES_PER_REQUEST <= MAX_ITEMS);

/// An answer that takes longer will not come: the API itself gives up after 30 s.
const ANSWER_PATIENCE: Duration = Duration::from_secs(35);

/// A request that is refused because Kafka is away is sent so often again, and after such a pause.
const ATTEMPTS: u32 = 12;
const PAUSE: Duration = Duration::from_secs(5);

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
    let poster = Poster::new(api);
    let mut sum = Sent::default();
    let mut request = Batch::default();
    for line in lines(options)? {
        if !request.fits(&line) {
            sum.add(poster.post(std::mem::take(&mut request)).await?);
        }
        request.push(&line);
    }
    if request.lines > 0 {
        sum.add(poster.post(request).await?);
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

struct Poster {
    client: Client<HttpConnector, Full<Bytes>>,
    url: String,
    authorization: String,
}

impl Poster {
    fn new(api: &Api) -> Self {
        let mut connector = HttpConnector::new();
        connector.set_nodelay(true);
        Self {
            client: Client::builder(TokioExecutor::new()).build(connector),
            url: format!("{}{}", api.url.trim_end_matches('/'), intake_http::PATH),
            authorization: format!("Basic {}", STANDARD.encode(format!("{}:{}", api.user, api.password))),
        }
    }

    async fn post(&self, batch: Batch) -> anyhow::Result<Sent> {
        let body = Bytes::from(batch.body);
        let mut attempt = 1;
        let (status, answer) = loop {
            let (status, answer) = self.once(body.clone()).await?;
            if status != StatusCode::SERVICE_UNAVAILABLE || attempt == ATTEMPTS {
                break (status, answer);
            }
            tracing::warn!("the API can't take messages just now: trying again in {PAUSE:?}");
            tokio::time::sleep(PAUSE).await;
            attempt += 1;
        };
        // A request whose messages are all unusable is a 400, which says the same of each.
        let sent = serde_json::from_slice::<Sent>(&answer).ok();
        let sent = sent.filter(|_| matches!(status, StatusCode::ACCEPTED | StatusCode::BAD_REQUEST));
        let sent = sent.with_context(|| {
            let answer: String = String::from_utf8_lossy(&answer).chars().take(SHOWN_CHARS).collect();
            format!("POST {}: {status}: {answer}", self.url)
        })?;
        ensure!(
            sent.rejected == batch.unusable && sent.accepted + sent.duplicates + sent.rejected == batch.lines as u64,
            "of {} messages {} can't be used, and the API says: {sent:?}",
            batch.lines,
            batch.unusable
        );
        Ok(sent)
    }

    async fn once(&self, body: Bytes) -> anyhow::Result<(StatusCode, Bytes)> {
        let request = Request::post(&self.url)
            .header(AUTHORIZATION, &self.authorization)
            .header(CONTENT_TYPE, "application/x-ndjson")
            .body(Full::new(body))
            .context("the API's address is not a URL")?;
        let answer = async {
            let response = self.client.request(request).await?;
            let status = response.status();
            anyhow::Ok((status, response.into_body().collect().await?.to_bytes()))
        };
        let answer = tokio::time::timeout(ANSWER_PATIENCE, answer).await;
        let answer = answer.with_context(|| format!("{} does not answer within {ANSWER_PATIENCE:?}", self.url))?;
        answer.with_context(|| format!("{} can't be reached", self.url))
    }
}
