use std::convert::Infallible;
use std::ffi::OsStr;
use std::path::Path;
use std::process::Stdio;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use anyhow::{Context as _, anyhow, bail};
use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::net::TcpListener;
use tokio::process::{Child, ChildStdout, Command};
use tokio::sync::{Notify, mpsc, oneshot};
use tokio::task::JoinSet;

/// The service's own limit for a cold start.
const COLD_START_LIMIT: Duration = Duration::from_secs(10);

/// `MemorySize` of the template, in MB. Nothing here enforces it: [`Sandbox::peak_memory_bytes`] tells.
const MEMORY_SIZE: &str = "128";

/// A function's own binary as a process of its own, behind a Lambda Runtime API: what the service starts for a function.
///
/// It gets one event at a time. Its logs are kept, and go to standard error; dropping the sandbox ends it.
pub struct Sandbox {
    process: Child,
    logs: Arc<Mutex<String>>,
    events: mpsc::Sender<Invocation>,
    _server: JoinSet<()>,
}

/// One event and who waits for what becomes of it.
struct Invocation {
    request_id: String,
    event: Bytes,
    deadline: SystemTime,
    outcome: oneshot::Sender<Outcome>,
}

/// The function's answer, or the error that it reported.
type Outcome = Result<Bytes, Bytes>;

impl Sandbox {
    /// Starts the binary with these environment variables and the service's own, no others. Returns when it asks for its
    /// first event, which ends the cold start.
    ///
    /// # Errors
    /// When it can't be started, ends, or takes longer than the service would wait.
    pub async fn start<K, V>(binary: &Path, variables: impl IntoIterator<Item = (K, V)>) -> anyhow::Result<Self>
    where
        K: AsRef<OsStr>,
        V: AsRef<OsStr>,
    {
        let name = binary.file_name().context("the path of a function's binary")?;
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let address = listener.local_addr()?;
        let (events, waiting) = mpsc::channel(1);
        let api = Arc::new(RuntimeApi {
            is_asked: Notify::new(),
            events: tokio::sync::Mutex::new(waiting),
            running: Mutex::new(None),
        });
        let mut server = JoinSet::new();
        server.spawn(serve(listener, Arc::clone(&api)));
        let mut process = Command::new(binary)
            .env_clear()
            .envs(variables)
            .env("AWS_LAMBDA_RUNTIME_API", address.to_string())
            .env("AWS_LAMBDA_FUNCTION_NAME", name)
            .env("AWS_LAMBDA_FUNCTION_VERSION", "$LATEST")
            .env("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", MEMORY_SIZE)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .with_context(|| format!("{} can't be started", binary.display()))?;
        let logs = Arc::<Mutex<String>>::default();
        if let Some(output) = process.stdout.take() {
            server.spawn(keep_logs(output, Arc::clone(&logs)));
        }
        tokio::select! {
            () = api.is_asked.notified() => {}
            status = process.wait() => bail!("{} ended at its start: {}", binary.display(), status?),
            () = tokio::time::sleep(COLD_START_LIMIT) => {
                bail!("{} did not ask for an event within {COLD_START_LIMIT:?}", binary.display())
            }
        }
        Ok(Self { process, logs, events, _server: server })
    }

    /// Gives the function an event and waits for its answer.
    ///
    /// # Errors
    /// The error that the function reported; when its process ended; when it did not answer within `timeout`, after which
    /// the process is ended, as the service does it.
    pub async fn invoke(&mut self, event: impl Into<Bytes>, timeout: Duration) -> anyhow::Result<Bytes> {
        let (outcome, answered) = oneshot::channel();
        let invocation = Invocation {
            request_id: uuid::Uuid::new_v4().to_string(),
            event: event.into(),
            deadline: SystemTime::now() + timeout,
            outcome,
        };
        self.events.send(invocation).await.map_err(|_| anyhow!("the Runtime API has ended"))?;
        tokio::select! {
            outcome = answered => outcome?.map_err(|error| anyhow!("{}", String::from_utf8_lossy(&error))),
            status = self.process.wait() => bail!("the function's process ended: {}", status?),
            () = tokio::time::sleep(timeout) => {
                self.process.kill().await?;
                bail!("the function did not answer within {timeout:?}");
            }
        }
    }

    /// What it has logged so far, a line each. What it logged last may still be on its way.
    #[must_use]
    pub fn logs(&self) -> String {
        self.logs.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The most memory that the process has had resident so far, in bytes; its code counts too.
    ///
    /// # Errors
    /// When the process has ended, or the system is not Linux.
    pub fn peak_memory_bytes(&self) -> anyhow::Result<u64> {
        let id = self.process.id().context("the function's process has ended")?;
        let status = std::fs::read_to_string(format!("/proc/{id}/status")).context("Linux's /proc is needed")?;
        let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")?.trim().strip_suffix(" kB"));
        Ok(1024 * peak.context("no VmHWM in /proc")?.parse::<u64>()?)
    }

    /// Ends the process, without a warning, as the service does it.
    ///
    /// # Errors
    /// When the system refuses.
    pub async fn stop(mut self) -> anyhow::Result<()> {
        Ok(self.process.kill().await?)
    }
}

async fn keep_logs(output: ChildStdout, logs: Arc<Mutex<String>>) {
    let mut lines = BufReader::new(output).lines();
    while let Ok(Some(line)) = lines.next_line().await {
        eprintln!("{line}");
        logs.lock().unwrap_or_else(PoisonError::into_inner).extend([&line, "\n"]);
    }
}

/// <https://docs.aws.amazon.com/lambda/latest/dg/runtimes-api.html>
struct RuntimeApi {
    is_asked: Notify,
    events: tokio::sync::Mutex<mpsc::Receiver<Invocation>>,
    /// The invocation that the function has, and has not answered.
    running: Mutex<Option<(String, oneshot::Sender<Outcome>)>>,
}

/// Serves until it is aborted, and its connections with it.
async fn serve(listener: TcpListener, api: Arc<RuntimeApi>) {
    let mut connections = JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        let api = Arc::clone(&api);
        let answer = service_fn(move |request| {
            let api = Arc::clone(&api);
            async move { Ok::<_, Infallible>(api.answer(request).await.unwrap_or_else(refusal)) }
        });
        // How a connection ends says nothing that the process's end does not.
        connections.spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), answer));
    }
}

impl RuntimeApi {
    async fn answer(&self, request: Request<Incoming>) -> anyhow::Result<Response<Full<Bytes>>> {
        let (parts, body) = request.into_parts();
        let path = parts.uri.path().strip_prefix("/2018-06-01/runtime/").context("another version of the API")?;
        if parts.method == Method::GET && path == "invocation/next" {
            return self.next().await;
        }
        let reported = path.strip_prefix("invocation/").and_then(|path| path.split_once('/'));
        let (Method::POST, Some((request_id, what))) = (parts.method, reported) else { bail!("no such route") };
        let body = body.collect().await?.to_bytes();
        match what {
            "response" => self.finish(request_id, Ok(body))?,
            "error" => self.finish(request_id, Err(body))?,
            _ => bail!("no such route"),
        }
        Ok(Response::builder().status(StatusCode::ACCEPTED).body(Full::default())?)
    }

    /// Holds the request until there is an event.
    async fn next(&self) -> anyhow::Result<Response<Full<Bytes>>> {
        self.is_asked.notify_one();
        let invocation = self.events.lock().await.recv().await.context("there will be no more events")?;
        let Invocation { request_id, event, deadline, outcome } = invocation;
        let response = Response::builder()
            .header("content-type", "application/json")
            .header("lambda-runtime-aws-request-id", &request_id)
            .header(
                "lambda-runtime-deadline-ms",
                deadline.duration_since(SystemTime::UNIX_EPOCH)?.as_millis().to_string(),
            )
            .header("lambda-runtime-invoked-function-arn", "arn:aws:lambda:us-east-1:000000000000:function:sandbox")
            .body(Full::new(event))?;
        *self.running.lock().unwrap_or_else(PoisonError::into_inner) = Some((request_id, outcome));
        Ok(response)
    }

    fn finish(&self, request_id: &str, outcome: Outcome) -> anyhow::Result<()> {
        let running = self.running.lock().unwrap_or_else(PoisonError::into_inner).take();
        let (_, waiting) = running.filter(|(running, _)| running == request_id).context("no such invocation")?;
        waiting.send(outcome).map_err(|_| anyhow!("nobody waits for it"))
    }
}

fn refusal(error: anyhow::Error) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::from(format!("{error:#}")));
    *response.status_mut() = StatusCode::BAD_REQUEST;
    response
}
