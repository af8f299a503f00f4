use std::path::{Path, PathBuf};
use std::pin::Pin;

use anyhow::Context;
use bytes::Bytes;

/// Where files go: a [`Folder`] or an [`SftpFolder`].
pub trait FileSink: Send + Sync {
    /// The place, without secrets: a run is only resumed into the places where it was begun.
    fn place(&self) -> String;

    /// Delivers a file whole: nobody sees it under its name before all of it is there. Again is the same as once.
    ///
    /// # Errors
    /// When it may not have arrived; the run ends and can be resumed.
    fn put<'a>(&'a self, name: &'a str, content: Bytes) -> Put<'a>;
}

/// A delivery under way.
pub type Put<'a> = Pin<Box<dyn Future<Output = anyhow::Result<()>> + Send + 'a>>;

/// Where records go: as files to any number of places, to the topics `cdr_data` and `cdr_voice`, or both.
#[derive(Default)]
pub struct Destination {
    /// Where files go.
    pub files: Vec<Box<dyn FileSink>>,
    /// The topics, of which cluster.
    pub topics: Option<Topics>,
}

impl Destination {
    /// Files only, to one place.
    pub fn files(sink: impl FileSink + 'static) -> Self {
        Self { files: vec![Box::new(sink)], topics: None }
    }

    /// Topics only.
    #[must_use]
    pub fn topics(topics: Topics) -> Self {
        Self { files: Vec::new(), topics: Some(topics) }
    }

    /// Every place, for people and for the index.
    pub(crate) fn places(&self) -> String {
        let topics = self.topics.as_ref().map(Topics::place);
        self.files.iter().map(|files| files.place()).chain(topics).collect::<Vec<_>>().join(", ")
    }
}

/// The topics of a cluster.
pub struct Topics {
    pub(crate) sink: kafka_sink::Sink,
    brokers: String,
}

impl Topics {
    /// A producer for them; they must be there.
    ///
    /// # Errors
    /// When the configuration is none.
    pub fn new(config: &kafka_sink::Config) -> anyhow::Result<Self> {
        Ok(Self { sink: kafka_sink::Sink::new(config)?, brokers: config.brokers().to_owned() })
    }

    fn place(&self) -> String {
        format!("topics of {}", self.brokers)
    }
}

/// A folder of this machine.
pub struct Folder(PathBuf);

impl Folder {
    /// The folder; made if it is not there.
    ///
    /// # Errors
    /// When it cannot be made.
    pub async fn create(path: impl Into<PathBuf>) -> anyhow::Result<Self> {
        let path = path.into();
        tokio::fs::create_dir_all(&path).await.with_context(|| format!("cannot make the folder {}", path.display()))?;
        let path = tokio::fs::canonicalize(&path).await;
        Ok(Self(path.context("cannot find the folder just made")?))
    }
}

impl FileSink for Folder {
    fn place(&self) -> String {
        self.0.display().to_string()
    }

    fn put<'a>(&'a self, name: &'a str, content: Bytes) -> Put<'a> {
        let path = self.0.join(name);
        let temporary = self.0.join(temporary_name(name));
        Box::pin(async move {
            let shown = path.display().to_string();
            tokio::task::spawn_blocking(move || write_and_rename(&temporary, &path, &content))
                .await?
                .with_context(|| format!("cannot write {shown}"))
        })
    }
}

/// A folder of an SFTP server.
pub struct SftpFolder {
    client: sftp::Client,
    path: String,
    place: String,
}

impl SftpFolder {
    /// The folder `SFTP_REMOTE_PATH` of the configured server; it must be there.
    ///
    /// # Errors
    /// When the server cannot be reached, is another one than expected, or refuses the credentials.
    pub async fn connect(config: &sftp::Config) -> anyhow::Result<Self> {
        anyhow::ensure!(
            !config.remote_path.is_pattern(),
            "SFTP_REMOTE_PATH is a pattern: name the folder that files are to go to"
        );
        let client = sftp::Client::connect(config).await?;
        let path = config.remote_path.root().to_owned();
        let place = format!("sftp://{}@{}:{}{path}", config.user, config.host, config.port);
        Ok(Self { client, path, place })
    }

    /// The same server under a name that stays, for one that has another port at every start.
    #[must_use]
    pub fn known_as(self, place: &str) -> Self {
        Self { place: place.to_owned(), ..self }
    }
}

impl FileSink for SftpFolder {
    fn place(&self) -> String {
        self.place.clone()
    }

    fn put<'a>(&'a self, name: &'a str, content: Bytes) -> Put<'a> {
        Box::pin(async move {
            let path = format!("{}/{name}", self.path);
            self.client.write_atomic(&path, &content[..]).await?;
            Ok(())
        })
    }
}

/// Not synchronized to the disk: the point is that no reader sees half a file and that a killed run can go on. What a
/// power failure takes, the same options give again.
fn write_and_rename(temporary: &Path, path: &Path, content: &[u8]) -> std::io::Result<()> {
    std::fs::write(temporary, content)?;
    std::fs::rename(temporary, path)
}

/// A name that pollers leave alone.
fn temporary_name(name: &str) -> String {
    format!(".{name}.tmp")
}
