//! The function between an SFTP server, a lake and Kafka.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking, its helpers too")]

mod changes;
mod crashes;
mod deliveries;
mod failures;
mod files;
mod growth;
mod peers;
mod people;
mod published;
mod ready;
mod reprocess;
mod servers;
mod sshd;
mod upgrade;

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::time::{Duration, SystemTime};

use embedded::SftpServer;
use futures::TryStreamExt;
use lake::names::{PieceKey, VersionKey};
use lake::{Announcement, Lake};
use lambda_boot::{Deadline, Vars};
use sftp::{Credentials, HostKey};
use sftp_poll::{After, Config, Deps, Event, Habits, Ready, Report, ServerConfig, handle};
use stream::Topic;
use telecom::FileName;
use test_support::{Line, Proxy, SftpPeer, Sshd};

const PATIENCE: Duration = Duration::from_secs(30);

/// A folder, a bucket and a topic of a test's own.
struct Fixture {
    server: Server,
    config: Config,
    lake: Lake,
    /// Announcements that `publish` has handled.
    handled: AtomicUsize,
}

/// What an invocation reports that did nothing.
const NOTHING: Report = Report {
    landed: 0,
    recovered: 0,
    announced: 0,
    grown: 0,
    changed: 0,
    conflicts: 0,
    waiting_lines: 0,
    settling: 0,
    deferred: 0,
    unmatched: 0,
    cleared: 0,
};

/// The header of the voice files of these tests.
const HEADER: &str = "msisdn,tower_id,call_type,dest_nr,call_duration_sec,start_time\n";

/// So many calls of 100 seconds, each another one; beginning with this number.
fn calls(numbers: std::ops::Range<u32>) -> String {
    let call = |number: u32| {
        let (hour, minute, second) = (number / 3600, number / 60 % 60, number % 60);
        format!("27820000003,7,voice,27820090000,100,2024-03-01 {hour:02}:{minute:02}:{second:02}\n")
    };
    numbers.map(call).collect()
}

/// A file of these calls.
fn file_of(numbers: std::ops::Range<u32>) -> String {
    format!("{HEADER}{}", calls(numbers))
}

fn folders(path: &str) -> sftp::Folders {
    sftp::Folders::parse(path).unwrap()
}

/// The first piece of a file.
fn piece(name: &str) -> PieceKey {
    VersionKey::first(FileName::parse(name).unwrap()).piece()
}

/// The in-process server, which starts in no time, OpenSSH's, or one of another make.
enum Server {
    Ours(Arc<SftpServer>),
    OpenSsh(Arc<Sshd>),
    Peer(Arc<SftpPeer>),
}

impl Fixture {
    async fn start() -> Self {
        Self::on(Server::Ours(Arc::new(test_support::sftp_server().await))).await
    }

    /// One on each of the servers: what must be the same on both.
    async fn on_each() -> [Self; 2] {
        [Self::start().await, Self::on(Server::OpenSsh(Arc::new(test_support::sshd().await))).await]
    }

    async fn on(server: Server) -> Self {
        let store = test_support::object_store().await;
        let lake = lake::Config {
            bucket: store.bucket,
            endpoint: Some(store.endpoint),
            region: store.region,
            access_key_id: store.access_key_id,
            secret_access_key: store.secret_access_key.expose().to_owned(),
            session_token: None,
        };
        let habits = Habits { ready: Ready::Settle, after: After::Keep, settle_s: 60, last_line_s: 900 };
        let servers = vec![ServerConfig { name: None, sftp: server.config(), habits }];
        let [landed_files, rejected] = ["landed-files", "rejected"].map(test_support::topic);
        let vars: Vars = [
            ("KAFKA_BROKERS", test_support::broker().await),
            ("LANDED_FILES_TOPIC", &landed_files),
            ("REJECTED_TOPIC", &rejected),
        ]
        .into_iter()
        .collect();
        let (kafka, settings) = (vars.read().unwrap(), vars.read().unwrap());
        let topics = [(landed_files.as_str(), 1), (&rejected, 1)];
        kafka_sink::admin::create_topics(&kafka, &topics).await.unwrap();
        Self {
            server,
            lake: Lake::connect(&lake),
            config: Config { servers, lake, kafka, settings },
            handled: AtomicUsize::new(0),
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        match &self.server {
            Server::Ours(server) => server.root().join("upload").join(name),
            Server::OpenSsh(sshd) => sshd.upload().join(name),
            Server::Peer(peer) => peer.folder.join(name),
        }
    }

    /// The same over a bad line.
    fn over(&self, line: &Proxy) -> Config {
        let mut config = self.config.clone();
        config.servers[0].sftp.port = line.port;
        config
    }

    /// A line to the server.
    async fn line(&self, line: Line) -> Proxy {
        let sftp = &self.config.servers[0].sftp;
        test_support::proxy(format!("{}:{}", sftp.host, sftp.port), line).await
    }

    /// Delivers a file that has not changed for `age`.
    fn deliver(&self, name: &str, content: &[u8], age: Duration) {
        fs::write(self.path(name), content).unwrap();
        self.touch(name, age);
    }

    fn touch(&self, name: &str, age: Duration) {
        let file = fs::File::options().write(true).open(self.path(name)).unwrap();
        file.set_modified(SystemTime::now() - age).unwrap();
    }

    /// A new process.
    async fn deps(&self) -> Deps {
        Deps::connect(&self.config).await.unwrap()
    }

    async fn poll(&self) -> Report {
        handle(&self.deps().await, Event::Poll, Deadline::NONE).await.unwrap()
    }

    /// All objects with their content; a digest stands for long ones.
    async fn objects(&self) -> BTreeMap<String, String> {
        let mut objects = BTreeMap::new();
        for object in self.lake.list("").try_collect::<Vec<_>>().await.unwrap() {
            let chunks: Vec<_> =
                self.lake.get_stream(&object.key).await.unwrap().into_stream().try_collect().await.unwrap();
            let bytes = chunks.concat();
            let shown = match String::from_utf8(bytes) {
                Ok(text) if text.len() < 1_000 => text,
                Ok(text) => lake::Digest::of(text.as_bytes()).to_string(),
                Err(error) => lake::Digest::of(error.as_bytes()).to_string(),
            };
            objects.insert(object.key, shown);
        }
        objects
    }

    /// All announcements, in order.
    async fn announcements(&self) -> Vec<Announcement> {
        let announcement = |record: &test_support::Record| {
            let announcement: Announcement = serde_json::from_slice(record.value()).unwrap();
            assert_eq!(record.key(), announcement.name.as_str());
            announcement
        };
        let topic = &self.config.settings.topics[Topic::LandedFiles];
        test_support::records(self.config.kafka.client(), topic).await.iter().map(announcement).collect()
    }

    /// The names of all announcements, in order.
    async fn announced(&self) -> Vec<String> {
        self.announcements().await.iter().map(|announcement| announcement.name.to_string()).collect()
    }
}

impl Server {
    fn config(&self) -> sftp::Config {
        let (host, port, user, password, host_key, remote_path) = match self {
            Self::Ours(s) => (&s.host, s.port, &s.user, &s.password, &s.host_key, s.remote_path),
            Self::OpenSsh(s) => (&s.host, s.port, &s.user, &s.password, &s.host_keys[0], s.remote_path.as_str()),
            Self::Peer(s) => (&s.host, s.port, &s.user, &s.password, &s.host_key, s.remote_path.as_str()),
        };
        sftp::Config {
            host: host.clone(),
            port,
            user: user.clone(),
            credentials: Credentials::Password(password.expose().to_owned()),
            host_key: HostKey::try_from(host_key.clone()).unwrap(),
            remote_path: folders(remote_path),
            follow_links: true,
        }
    }
}

const HOUR: Duration = Duration::from_hours(1);
