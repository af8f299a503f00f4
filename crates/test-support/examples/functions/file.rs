use std::convert::Infallible;
use std::io::Write as _;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::Context as _;
use bytes::{Buf as _, Bytes};
use flate2::Compression;
use flate2::write::GzEncoder;
use futures::stream;
use generator::{Destination, FileSink, Options, Put, run};
use lake::names::{self, VersionKey};
use lake::{Announcement, Lake, Stored};
use telecom::{FileName, RecordType};
use tokio::sync::mpsc::{Receiver, Sender, channel};

/// Many, so that a file covers one day; the generator's limit is 1,000.
const LINES_PER_SECOND: u32 = 100;

/// Files of the generator (100 KB each) on their way to the lake, at most.
const CHUNKS_AHEAD: usize = 16;

/// Lands the generator's records as one file: of data or voice, gzipped or not, as its name says. The rows are all
/// different, and the same for the same figures. The file is never held.
pub(crate) async fn land(lake: &Lake, name: &str, rows: u64, subscribers: u32) -> anyhow::Result<Announcement> {
    let folder = tempfile::tempdir()?;
    let options = Options {
        seconds: rows / u64::from(LINES_PER_SECOND),
        lines_per_second: LINES_PER_SECOND,
        subscribers,
        index: folder.path().join("index"),
        ..Options::default()
    };
    let name = FileName::parse(name)?;
    let (sender, plain) = channel(CHUNKS_AHEAD);
    let generated = async move {
        let sink = Concatenated { rows: sender, record_type: name.record_type(), has_header: AtomicBool::new(false) };
        run(&options, &Destination::files(sink), &generator::progress_bar()).await?;
        anyhow::Ok(())
    };
    let stored = if name.compression().is_some() { gzip(plain) } else { plain };
    let stored = stream::unfold(stored, async |mut stored| Some((Ok::<_, Infallible>(stored.recv().await?), stored)));
    let key = names::landing(&VersionKey::first(name).piece());
    let landed = async { Ok(lake.put_stream_if_absent(&key, stored, &[]).await?) };
    let ((), Stored { sha256, bytes, .. }) = futures::try_join!(generated, landed)?;
    Ok(Announcement::new(name, sha256, bytes))
}

/// Takes the generator's files of one type as one file with one header.
struct Concatenated {
    rows: Sender<Bytes>,
    record_type: RecordType,
    has_header: AtomicBool,
}

impl FileSink for Concatenated {
    fn place(&self) -> String {
        "one file".to_owned()
    }

    fn put<'a>(&'a self, name: &'a str, mut content: Bytes) -> Put<'a> {
        Box::pin(async move {
            if FileName::parse(name)?.record_type() == self.record_type {
                if self.has_header.swap(true, Ordering::Relaxed) {
                    let header = content.iter().position(|byte| *byte == b'\n').context("a file without a header")?;
                    content.advance(header + 1);
                }
                self.rows.send(content).await?;
            }
            Ok(())
        })
    }
}

fn gzip(mut plain: Receiver<Bytes>) -> Receiver<Bytes> {
    let (sender, compressed) = channel(CHUNKS_AHEAD);
    tokio::task::spawn_blocking(move || {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
        while let Some(chunk) = plain.blocking_recv() {
            encoder.write_all(&chunk)?;
            sender.blocking_send(std::mem::take(encoder.get_mut()).into())?;
        }
        anyhow::Ok(sender.blocking_send(encoder.finish()?.into())?)
    });
    compressed
}
