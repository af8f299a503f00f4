use std::path::Path;
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use nisshi_broker::broker::Broker;
use nisshi_broker::coordinator::group::administrator::{Controller, GroupCoordinatorConfig};
use nisshi_storage::ArcDynStorage;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout};
use url::Url;

use crate::folder::{Data, Folder};
use crate::free_port;

/// The only node's number; any will do.
const NODE_ID: i32 = 1;

/// How long a new group waits for more members before its first assignment. The default of three seconds is for
/// consumers on many machines; here they all start within moments.
const INITIAL_REBALANCE_DELAY: Duration = Duration::from_millis(200);

/// How often a waiting join looks again at its group.
const GROUP_POLL_INTERVAL: Duration = Duration::from_millis(100);

/// Opening a large log takes a moment.
const START_PATIENCE: Duration = Duration::from_secs(30);

/// A port that was free can be taken before the broker binds it; three in a row are no accident.
const PORT_ATTEMPTS: u32 = 3;

const POLL_INTERVAL: Duration = Duration::from_millis(5);

/// No answer to our small request is longer.
const ANSWER_BYTES_MAX: usize = 64 << 10;

#[derive(Debug)]
pub(super) struct Running {
    task: JoinHandle<anyhow::Result<()>>,
    _folder: Option<Folder>,
}

impl Running {
    pub(super) async fn ended(&mut self) -> anyhow::Error {
        reason((&mut self.task).await)
    }

    pub(super) async fn stop(mut self) {
        self.task.abort();
        let reason = reason((&mut self.task).await);
        tracing::debug!(%reason, "the Kafka broker was told to end");
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.task.abort();
    }
}

fn reason(outcome: Result<anyhow::Result<()>, tokio::task::JoinError>) -> anyhow::Error {
    match outcome {
        Ok(Ok(())) => anyhow::anyhow!("the Kafka broker has ended"),
        Ok(Err(error)) => error.context("the Kafka broker has ended"),
        Err(error) => anyhow::Error::new(error).context("the Kafka broker has ended"),
    }
}

pub(super) async fn start(data: Data) -> anyhow::Result<(u16, Running)> {
    let (storage, cluster_id, folder) = match data {
        // In memory, where it is fastest.
        Data::Temporary => (Url::parse("memory://trunkline/")?, new_cluster_id(), None),
        Data::Kept(_) => {
            let folder = Folder::open(data)?;
            let cluster_id = kept_cluster_id(folder.path())?;
            (sqlite_url(&folder.path().join("log.db"))?, cluster_id, Some(folder))
        }
    };
    for _ in 0..PORT_ATTEMPTS {
        let port = free_port()?;
        let mut task = spawn(storage.clone(), &cluster_id, port).await?;
        if wait_until_ready(&mut task, port, &cluster_id).await? {
            return Ok((port, Running { task, _folder: folder }));
        }
    }
    bail!("the Kafka broker found its port taken {PORT_ATTEMPTS} times in a row")
}

async fn spawn(storage: Url, cluster_id: &str, port: u16) -> anyhow::Result<JoinHandle<anyhow::Result<()>>> {
    let listener = Url::parse(&format!("tcp://127.0.0.1:{port}"))?;
    let mut broker = Broker::<Controller<ArcDynStorage>, ArcDynStorage>::builder()
        .node_id(NODE_ID)
        .cluster_id(cluster_id)
        .incarnation_id(uuid::Uuid::now_v7())
        .listener(listener.clone())
        .advertised_listener(listener)
        .storage(storage)
        .silent(true)
        .group_coordinator(GroupCoordinatorConfig {
            initial_rebalance_delay: INITIAL_REBALANCE_DELAY,
            poll_interval: GROUP_POLL_INTERVAL,
        })
        .build()
        .await
        .context("can't open the Kafka broker's log")?;
    // `serve`, not `main`: the latter would take over the process's signals.
    Ok(tokio::spawn(async move { broker.serve(Instant::now()).await.map_err(anyhow::Error::from) }))
}

/// True when our broker answers, false when the port was somebody else's.
async fn wait_until_ready(
    task: &mut JoinHandle<anyhow::Result<()>>,
    port: u16,
    cluster_id: &str,
) -> anyhow::Result<bool> {
    let began = Instant::now();
    loop {
        if task.is_finished() {
            let error = reason(task.await);
            return if error.chain().any(|cause| cause.to_string().contains("in use")) {
                Ok(false)
            } else {
                Err(error)
            };
        }
        match timeout(START_PATIENCE, answers_as(port, cluster_id)).await.context("the Kafka broker does not answer")? {
            Ok(true) => return Ok(true),
            // Another program listens there; ours is about to find out.
            Ok(false) => tracing::debug!(port, "another program answers on the Kafka broker's port"),
            Err(error) if began.elapsed() > START_PATIENCE => {
                return Err(error.context(format!("the Kafka broker did not answer within {START_PATIENCE:?}")));
            }
            Err(_) => {}
        }
        ensure!(began.elapsed() < START_PATIENCE, "the Kafka broker's port {port} is answered by another program");
        sleep(POLL_INTERVAL).await;
    }
}

/// Asks for the cluster's id with the smallest metadata request (version 2, no topics).
async fn answers_as(port: u16, cluster_id: &str) -> anyhow::Result<bool> {
    const METADATA_REQUEST: [u8; 18] = [
        0, 0, 0, 14, /* metadata */ 0, 3, /* version */ 0, 2, 0, 0, 0, 1, /* no client id */ 255, 255,
        0, 0, 0, 0,
    ];
    let mut socket = TcpStream::connect(("127.0.0.1", port)).await?;
    socket.write_all(&METADATA_REQUEST).await?;
    let length = usize::try_from(socket.read_u32().await?)?;
    ensure!(length <= ANSWER_BYTES_MAX, "an answer of {length} bytes is not a Kafka broker's");
    let mut answer = vec![0; length];
    socket.read_exact(&mut answer).await?;
    Ok(answer.windows(cluster_id.len()).any(|window| window == cluster_id.as_bytes()))
}

fn new_cluster_id() -> String {
    format!("trunkline-{}", uuid::Uuid::new_v4().simple())
}

/// The log knows its cluster by this name, so it is written down before the log is first opened.
fn kept_cluster_id(folder: &Path) -> anyhow::Result<String> {
    let path = folder.join("cluster-id");
    if let Ok(id) = std::fs::read_to_string(&path)
        && !id.is_empty()
    {
        return Ok(id);
    }
    let id = new_cluster_id();
    let unfinished = folder.join("cluster-id.new");
    std::fs::write(&unfinished, &id)
        .and_then(|()| std::fs::rename(&unfinished, &path))
        .with_context(|| format!("can't write {}", path.display()))?;
    Ok(id)
}

/// The storage takes what follows `sqlite:///` as a path below the current folder, and an absolute one replaces that.
fn sqlite_url(file: &Path) -> anyhow::Result<Url> {
    let path = file.to_str().with_context(|| format!("the path {} is not UTF-8", file.display()))?;
    let url = Url::parse(&format!("sqlite:///{path}"))?;
    // It does not decode the URL again.
    ensure!(
        url.path().strip_prefix('/') == Some(path) && url.query().is_none() && url.fragment().is_none(),
        "the Kafka broker can't keep its log in {}: choose a data folder without spaces and special characters",
        file.display()
    );
    Ok(url)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_file_becomes_a_url_that_names_it_exactly() {
        let url = sqlite_url(Path::new("/data/trunkline/log.db")).unwrap();
        assert_eq!((url.as_str(), url.path()), ("sqlite:////data/trunkline/log.db", "//data/trunkline/log.db"));
        for path in ["/my data/log.db", "/a?b/log.db", "/a#b/log.db", "/ä/log.db"] {
            let error = sqlite_url(Path::new(path)).unwrap_err().to_string();
            assert!(error.contains("without spaces") && error.contains(path), "{error}");
        }
    }
}
