//! An SFTP server in this process: what the demo and the tests deliver files to. Real clients can use it as well.
//!
//! One user, one folder. Nothing outside the folder can be reached: `..` ends at it, and a symbolic link that leads out
//! of it is refused (new links can't be made).

mod files;

use std::collections::HashMap;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use russh::keys::key::safe_rng;
use russh::keys::{Algorithm, PrivateKey};
use russh::server::{Auth, ChannelOpenHandle, Msg, Session};
use russh::{Channel, ChannelId, Disconnect, MethodKind, MethodSet};
use subtle::ConstantTimeEq;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinHandle, JoinSet};
use tokio_util::sync::CancellationToken;

use files::Files;

/// As for the client: what is on its way before it is acknowledged.
const WINDOW_BYTES: u32 = 16 << 20;
/// The largest packet that the library takes.
const PACKET_BYTES: u32 = 65_535;
/// Every refused login takes this long, whatever was wrong with it.
const REJECTION_TIME: Duration = Duration::from_millis(300);
/// Guesses on one connection.
const LOGIN_ATTEMPTS: usize = 3;
/// How long clients are waited for when the server ends.
const GRACE: Duration = Duration::from_secs(1);
/// The process may be out of file descriptors: they come back when connections end.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// A running server; it ends when dropped.
#[derive(Debug)]
pub struct Server {
    /// Where it listens.
    pub address: SocketAddr,
    /// Its public key as an OpenSSH line: the value of `SFTP_HOST_KEY`.
    pub host_key: String,
    stop: CancellationToken,
    task: JoinHandle<()>,
}

impl Server {
    /// Starts a server of the folder `root` on a free port of 127.0.0.1, with a new host key.
    ///
    /// # Errors
    /// When the folder can't be found or the port can't be opened.
    pub async fn start(root: &Path, user: &str, password: &str) -> io::Result<Self> {
        let root: Arc<Path> = tokio::fs::canonicalize(root).await?.into();
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        let key = PrivateKey::random(&mut safe_rng(), Algorithm::Ed25519).map_err(io::Error::other)?;
        let host_key = key.public_key().to_openssh().map_err(io::Error::other)?;
        let account = Arc::new(Account { user: user.to_owned(), password: password.to_owned(), root });
        let config = Arc::new(russh::server::Config {
            methods: MethodSet::from([MethodKind::Password].as_slice()),
            auth_rejection_time: REJECTION_TIME,
            // Clients begin with `none` to learn the methods: that is no guess.
            auth_rejection_time_initial: Some(Duration::ZERO),
            max_auth_attempts: LOGIN_ATTEMPTS,
            keys: vec![key],
            window_size: WINDOW_BYTES,
            maximum_packet_size: PACKET_BYTES,
            nodelay: true,
            ..russh::server::Config::default()
        });
        let stop = CancellationToken::new();
        let task = tokio::spawn(accept(listener, config, account, stop.clone()));
        Ok(Self { address, host_key, stop, task })
    }

    /// Stops listening, says goodbye to the clients, and waits for them for a moment.
    pub async fn shutdown(mut self) {
        self.stop.cancel();
        if let Err(error) = (&mut self.task).await {
            tracing::warn!(%error, "the SFTP server's task failed");
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

/// Who may come in, and to where.
struct Account {
    user: String,
    password: String,
    root: Arc<Path>,
}

async fn accept(
    listener: TcpListener,
    config: Arc<russh::server::Config>,
    account: Arc<Account>,
    stop: CancellationToken,
) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            () = stop.cancelled() => break,
            Some(_) = connections.join_next() => {}
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => {
                    connections.spawn(serve(stream, Arc::clone(&config), Arc::clone(&account), stop.clone()));
                }
                Err(error) => {
                    tracing::warn!(%error, "the SFTP server can't accept a connection");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            },
        }
    }
    drop(listener);
    let ended = async { while connections.join_next().await.is_some() {} };
    if tokio::time::timeout(GRACE, ended).await.is_err() {
        tracing::debug!("SFTP clients were cut off");
    }
}

async fn serve(
    stream: TcpStream,
    config: Arc<russh::server::Config>,
    account: Arc<Account>,
    stop: CancellationToken,
) -> Result<(), russh::Error> {
    stream.set_nodelay(true)?;
    let connection = Connection { account, channels: HashMap::new() };
    let mut session = tokio::select! {
        () = stop.cancelled() => return Ok(()),
        session = russh::server::run_stream(config, stream, connection) => session?,
    };
    tokio::select! {
        () = stop.cancelled() => {
            // It may have ended by itself just now.
            drop(session.handle().disconnect(Disconnect::ByApplication, String::new(), String::new()).await);
            session.await
        }
        ended = &mut session => ended,
    }
}

/// One client.
struct Connection {
    account: Arc<Account>,
    channels: HashMap<ChannelId, Channel<Msg>>,
}

impl russh::server::Handler for Connection {
    type Error = russh::Error;

    async fn auth_password(&mut self, user: &str, password: &str) -> Result<Auth, russh::Error> {
        let user = user.as_bytes().ct_eq(self.account.user.as_bytes());
        let password = password.as_bytes().ct_eq(self.account.password.as_bytes());
        Ok(if (user & password).into() { Auth::Accept } else { Auth::reject() })
    }

    async fn channel_open_session(
        &mut self,
        channel: Channel<Msg>,
        reply: ChannelOpenHandle,
        _: &mut Session,
    ) -> Result<(), russh::Error> {
        self.channels.insert(channel.id(), channel);
        reply.accept().await;
        Ok(())
    }

    async fn channel_eof(&mut self, channel: ChannelId, session: &mut Session) -> Result<(), russh::Error> {
        session.close(channel)
    }

    async fn channel_close(&mut self, channel: ChannelId, _: &mut Session) -> Result<(), russh::Error> {
        self.channels.remove(&channel);
        Ok(())
    }

    async fn subsystem_request(
        &mut self,
        channel: ChannelId,
        name: &str,
        session: &mut Session,
    ) -> Result<(), russh::Error> {
        match self.channels.remove(&channel).filter(|_| name == "sftp") {
            Some(opened) => {
                session.channel_success(channel)?;
                russh_sftp::server::run(opened.into_stream(), Files::new(Arc::clone(&self.account.root))).await;
                Ok(())
            }
            None => session.channel_failure(channel),
        }
    }
}
