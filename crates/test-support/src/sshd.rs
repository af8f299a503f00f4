//! OpenSSH's server.

use std::os::unix::fs::{MetadataExt as _, PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, bail};
use embedded::{Secret, TemporaryFolder};
use futures::future::try_join_all;
use tokio::process::Command;
use tokio::sync::Mutex;

use crate::on_services_runtime;
use crate::service::{Service, free_ports, on_free_ports, run};

pub(crate) const USER: &str = "trunkline";

/// Whom a server of root's lets in: files that are not for everybody can then be refused.
pub(crate) const NOBODY: u32 = 65534;

/// Making a key, or one client's session.
pub(crate) const PATIENCE: Duration = Duration::from_secs(120);

/// Where a server of root's wants an empty folder; a machine without an init system has none.
const PRIVILEGE_SEPARATION: &str = "/run/sshd";

/// What an [`Sshd`] may have of its own.
#[derive(Clone, Debug, Default)]
pub struct SshdOptions {
    /// Lines of `sshd_config`, which come before ours and so win.
    pub config: String,
    /// Host key algorithms to offer, by the names that `ssh-keygen -t` takes; empty is all three of `ed25519`, `ecdsa`, `rsa`.
    pub host_keys: &'static [&'static str],
    /// The folder that is served, which the user gets, instead of a temporary one.
    pub folder: Option<PathBuf>,
}

/// A running OpenSSH server for SFTP on 127.0.0.1. Dropping it ends it; sessions end with their clients.
#[derive(Debug)]
pub struct Sshd {
    /// `127.0.0.1`.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// The only user.
    pub user: String,
    /// The user's password.
    pub password: Secret,
    /// The user's private key (ed25519, not encrypted) as a file, which `ssh` takes.
    pub private_key: PathBuf,
    /// Its public host keys as lines of OpenSSH, the first one first.
    pub host_keys: Vec<String>,
    /// The folder for the files, as clients name it: there is no chroot, so it is also its path on this machine.
    pub remote_path: String,
    server: Arc<Service>,
    // Dropped last.
    folder: TemporaryFolder,
}

impl Sshd {
    pub(crate) async fn launch(options: SshdOptions) -> anyhow::Result<Self> {
        on_free_ports(|| Self::launch_once(&options)).await
    }

    async fn launch_once(options: &SshdOptions) -> anyhow::Result<Self> {
        let folder = TemporaryFolder::create()?;
        let home = folder.path();
        let we = home.metadata()?;
        let is_root = we.uid() == 0;
        let user = if is_root { NOBODY } else { we.uid() };
        let password = Secret::random();
        let upload = options.folder.clone().unwrap_or_else(|| home.join("upload"));
        std::fs::create_dir_all(&upload)?;
        if is_root {
            std::fs::create_dir_all(PRIVILEGE_SEPARATION)?;
            // The user must come in; nothing here is secret from it but the server's keys, which stay root's.
            std::fs::set_permissions(home, PermissionsExt::from_mode(0o711))?;
            chown(&upload, Some(NOBODY), Some(NOBODY))?;
        }
        let algorithms = if options.host_keys.is_empty() { &["ed25519", "ecdsa", "rsa"] } else { options.host_keys };
        let keys = algorithms.iter().map(|algorithm| (*algorithm, format!("host_{algorithm}")));
        try_join_all(
            keys.chain([("ed25519", "user".to_owned())]).map(|(algorithm, name)| keygen(home, algorithm, name)),
        )
        .await?;
        make_accounts(home, user, &password).await?;
        let [port] = free_ports().await?;
        std::fs::write(home.join("sshd_config"), config(home, port, algorithms, options))?;

        let server = Arc::new(server(home, port));
        server.start().await?;
        if std::fs::read_to_string(&server.log)?.contains("cannot be preloaded") {
            bail!("sshd needs the package libnss-wrapper for its users; services/prerequisites.sh installs it");
        }
        let host_keys = algorithms.iter().map(|algorithm| public_key(&home.join(format!("host_{algorithm}.pub"))));
        Ok(Self {
            host: "127.0.0.1".to_owned(),
            port,
            user: USER.to_owned(),
            password,
            private_key: home.join("user"),
            host_keys: host_keys.collect::<anyhow::Result<_>>()?,
            remote_path: upload.to_str().context("the folder's name is no UTF-8")?.to_owned(),
            server,
            folder,
        })
    }

    /// The served folder on this machine.
    pub fn upload(&self) -> &Path {
        Path::new(&self.remote_path)
    }

    /// Runs OpenSSH's client with these commands, which begin in the served folder; any that fails fails the test.
    /// Returns what it printed.
    pub async fn sftp(&self, commands: &str) -> String {
        let known_hosts = self.folder.path().join("known_hosts");
        let batch = self.folder.path().join(format!("batch-{}", crate::unique()));
        let lines: Vec<String> =
            self.host_keys.iter().map(|key| format!("[{}]:{} {key}\n", self.host, self.port)).collect();
        let commands = format!("cd {}\n{commands}\n", self.remote_path);
        let mut client = Command::new("sftp");
        client
            .args(["-q", "-F", "none", "-o", "StrictHostKeyChecking=yes", "-P", &self.port.to_string(), "-o"])
            .arg(format!("UserKnownHostsFile={}", known_hosts.display()))
            .arg("-i")
            .arg(&self.private_key)
            .arg("-b")
            .arg(&batch)
            .arg(format!("{}@{}", self.user, self.host));
        on_services_runtime(async move {
            std::fs::write(known_hosts, lines.concat())?;
            std::fs::write(batch, commands)?;
            run(&mut client, PATIENCE).await
        })
        .await
    }

    /// Ends the server: nobody gets in any more. Sessions go on, as they do where sshd is restarted.
    pub async fn kill(&self) {
        let server = Arc::clone(&self.server);
        on_services_runtime(async move { server.kill().await }).await;
    }

    /// Starts it again, with the same keys on the same port.
    pub async fn start(&self) {
        let server = Arc::clone(&self.server);
        on_services_runtime(async move { server.start().await }).await;
    }
}

/// Its users are those of two files of ours: `nss_wrapper` puts them in the place of the system's, so no account is made, and an
/// ordinary user's server can check a password too.
fn server(home: &Path, port: u16) -> Service {
    let home = home.display();
    let arguments = [
        "LD_PRELOAD=libnss_wrapper.so".to_owned(),
        format!("NSS_WRAPPER_PASSWD={home}/passwd"),
        format!("NSS_WRAPPER_GROUP={home}/group"),
        format!("NSS_WRAPPER_SHADOW={home}/shadow"),
        "/usr/sbin/sshd".to_owned(),
        "-D".to_owned(),
        "-e".to_owned(),
        "-f".to_owned(),
        format!("{home}/sshd_config"),
    ];
    Service {
        name: "sshd".to_owned(),
        program: "env".into(),
        arguments: arguments.map(Into::into).into(),
        log: format!("{home}/log").into(),
        ready: "Server listening on",
        port,
        process: Mutex::default(),
    }
}

fn config(home: &Path, port: u16, algorithms: &[&str], options: &SshdOptions) -> String {
    let (home, extra) = (home.display(), &options.config);
    let host_keys: String = algorithms.iter().map(|name| format!("HostKey {home}/host_{name}\n")).collect();
    format!(
        "\
{extra}
ListenAddress 127.0.0.1
Port {port}
{host_keys}AuthorizedKeysFile {home}/user.pub
PasswordAuthentication yes
KbdInteractiveAuthentication no
UsePAM no
UseDNS no
# As root, the owner of the folder is not the user.
StrictModes no
PermitRootLogin yes
PidFile none
Subsystem sftp internal-sftp
ForceCommand internal-sftp
"
    )
}

/// Makes `home/name` and `home/name.pub`.
pub(crate) async fn keygen(home: &Path, algorithm: &str, name: String) -> anyhow::Result<()> {
    let mut command = Command::new("ssh-keygen");
    command.args(["-q", "-N", "", "-C", "trunkline-tests", "-t", algorithm, "-f"]).arg(home.join(name));
    if algorithm == "rsa" {
        // The least that is still taken: larger ones take seconds to make.
        command.args(["-b", "2048"]);
    }
    run(&mut command, PATIENCE).await?;
    Ok(())
}

/// The key without its comment.
pub(crate) fn public_key(path: &Path) -> anyhow::Result<String> {
    let line = std::fs::read_to_string(path)?;
    Ok(line.split_whitespace().take(2).collect::<Vec<_>>().join(" "))
}

/// The user, and the one that a server of root's needs for itself.
pub(crate) async fn make_accounts(home: &Path, user: u32, password: &Secret) -> anyhow::Result<()> {
    let mut openssl = Command::new("openssl");
    let hash = run(openssl.args(["passwd", "-6", password.expose()]), PATIENCE).await?;
    let shown = home.display();
    let accounts = format!("sshd:x:{NOBODY}:{NOBODY}::/:/bin/false\n{USER}:x:{user}:{user}::{shown}:/bin/sh\n");
    std::fs::write(home.join("passwd"), accounts)?;
    std::fs::write(home.join("group"), format!("nogroup:x:{NOBODY}:\n{USER}:x:{user}:\n"))?;
    std::fs::write(home.join("shadow"), format!("{USER}:{}:19000:0:99999:7:::\n", hash.trim_end()))?;
    Ok(())
}
