//! SFTP servers of other makes, with one user and one folder.

use std::ffi::OsString;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt, chown};
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use embedded::{Secret, TemporaryFolder};
use tokio::process::Command;
use tokio::sync::Mutex;

use crate::on_services_runtime;
use crate::service::{Service, free_ports, java, jvm, on_free_ports, provision, run};
use crate::sshd::{NOBODY, PATIENCE, USER, keygen, make_accounts, public_key};

/// A make of SFTP server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SftpMake {
    /// Apache MINA SSHD; settings are its properties.
    Mina,
    /// AsyncSSH; settings are habits (`services/sftp/asyncssh_server.py`).
    AsyncSsh,
    /// ProFTPD with mod_sftp; settings are lines of its configuration.
    ProFtpd,
    /// Dropbear with OpenSSH's sftp-server; settings are its options.
    Dropbear,
    /// Go's github.com/pkg/sftp.
    Go,
    /// Erlang/OTP's ssh_sftpd; settings are options of ssh_sftpd.
    Erlang,
}

/// A running SFTP server on 127.0.0.1. Dropping it ends it.
#[derive(Debug)]
pub struct SftpPeer {
    /// `127.0.0.1`.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// The only user.
    pub user: String,
    /// The user's password.
    pub password: Secret,
    /// Its public host key as a line of OpenSSH.
    pub host_key: String,
    /// The folder for the files, as clients name it.
    pub remote_path: String,
    /// The same folder on this machine.
    pub folder: PathBuf,
    _server: Service,
    // Dropped last.
    _home: TemporaryFolder,
}

/// What every one of them is told.
struct Plan<'a> {
    home: &'a Path,
    folder: &'a Path,
    port: u16,
    password: &'a Secret,
    settings: &'a [String],
}

impl SftpPeer {
    pub(crate) async fn start(make: SftpMake, settings: Vec<String>) -> anyhow::Result<Self> {
        on_free_ports(|| Self::try_start(make, &settings)).await
    }

    async fn try_start(make: SftpMake, settings: &[String]) -> anyhow::Result<Self> {
        let home = TemporaryFolder::create()?;
        let folder = home.path().join("upload");
        std::fs::create_dir(&folder)?;
        if home.path().metadata()?.uid() == 0 {
            std::fs::set_permissions(home.path(), PermissionsExt::from_mode(0o711))?;
            chown(&folder, Some(NOBODY), Some(NOBODY))?;
        }
        keygen(home.path(), "ecdsa", "host".to_owned()).await?;
        let mut host_key = public_key(&home.path().join("host.pub"))?;
        let (password, [port]) = (Secret::random(), free_ports().await?);
        let plan = Plan { home: home.path(), folder: &folder, port, password: &password, settings };
        let (program, arguments) = plan.launch(make, &mut host_key).await?;
        let server = Service {
            name: format!("{make:?}"),
            program,
            arguments,
            log: home.path().join("log"),
            ready: make.ready(),
            port,
            process: Mutex::default(),
        };
        server.start().await?;
        let in_a_root_of_its_own = matches!(make, SftpMake::Mina | SftpMake::AsyncSsh | SftpMake::Erlang);
        let shown = folder.to_str().context("the folder's name is no UTF-8")?;
        Ok(Self {
            host: "127.0.0.1".to_owned(),
            port,
            user: USER.to_owned(),
            password,
            host_key,
            remote_path: if in_a_root_of_its_own { "/".to_owned() } else { shown.to_owned() },
            folder,
            _server: server,
            _home: home,
        })
    }
}

impl SftpMake {
    /// What its log says when it is about to serve.
    fn ready(self) -> &'static str {
        match self {
            Self::Dropbear => "Not backgrounding",
            Self::ProFtpd => "STARTUP",
            Self::Mina | Self::AsyncSsh | Self::Go | Self::Erlang => "serving",
        }
    }
}

/// A program and its arguments.
type Launch = (PathBuf, Vec<OsString>);

impl Plan<'_> {
    /// Port, folder, host key, user and password: what our own small programs are told.
    fn told(&self) -> impl Iterator<Item = String> {
        let (folder, host_key) = (self.folder.display().to_string(), self.home.join("host").display().to_string());
        [self.port.to_string(), folder, host_key, USER.to_owned(), self.password.expose().to_owned()].into_iter()
    }

    /// How it is started. Most take the host key that is there.
    async fn launch(&self, make: SftpMake, host_key: &mut String) -> anyhow::Result<Launch> {
        Ok(match make {
            SftpMake::Mina => self.mina().await?,
            SftpMake::AsyncSsh => self.asyncssh().await?,
            SftpMake::ProFtpd => self.proftpd().await?,
            SftpMake::Dropbear => {
                let (dropbear, key) = self.dropbear().await?;
                *host_key = key;
                dropbear
            }
            SftpMake::Go => self.go().await?,
            SftpMake::Erlang => self.erlang()?,
        })
    }

    /// Whom a server that has a choice serves as.
    fn user(&self) -> anyhow::Result<u32> {
        let we = self.home.metadata()?.uid();
        Ok(if we == 0 { NOBODY } else { we })
    }

    async fn mina(&self) -> anyhow::Result<Launch> {
        let jars = format!("{}/*", provision("mina").await?.display());
        let program = services("sftp/Mina.java").display().to_string();
        // Reads of what it says to itself are not needed.
        let start = ["-Dorg.slf4j.simpleLogger.defaultLogLevel=warn".to_owned(), "-cp".to_owned(), jars, program];
        Ok((java(), jvm("128m", start.into_iter().chain(self.told()).chain(self.settings.iter().cloned()))))
    }

    async fn asyncssh(&self) -> anyhow::Result<Launch> {
        let script = services("sftp/asyncssh_server.py").display().to_string();
        let arguments =
            ["asyncssh".to_owned(), script].into_iter().chain(self.told()).chain(self.settings.iter().cloned());
        Ok((services("tools.sh"), arguments.map(OsString::from).collect()))
    }

    async fn go(&self) -> anyhow::Result<Launch> {
        let arguments = ["go-sftp".to_owned()].into_iter().chain(self.told());
        Ok((services("tools.sh"), arguments.map(OsString::from).collect()))
    }

    fn erlang(&self) -> anyhow::Result<Launch> {
        let home = self.home.display();
        // It takes keys by the names that OpenSSH gives them.
        std::fs::copy(self.home.join("host"), self.home.join("ssh_host_ecdsa_key"))?;
        let settings: String = self.settings.iter().map(|setting| format!(", {setting}")).collect();
        let start = format!(
            "{{ok, _}} = application:ensure_all_started(ssh), \
             {{ok, _}} = ssh:daemon({{127,0,0,1}}, {port}, [{{system_dir, \"{home}\"}}, \
             {{user_passwords, [{{\"{USER}\", \"{password}\"}}]}}, \
             {{subsystems, [ssh_sftpd:subsystem_spec([{{root, \"{folder}\"}}{settings}])]}}]), \
             io:format(\"serving~n\").",
            port = self.port,
            password = self.password.expose(),
            folder = self.folder.display(),
        );
        let arguments = ["-noshell", "-noinput", "-eval", &start].map(OsString::from);
        Ok(("erl".into(), arguments.into()))
    }

    async fn proftpd(&self) -> anyhow::Result<Launch> {
        let user = self.user()?;
        let mut openssl = Command::new("openssl");
        let hash = run(openssl.args(["passwd", "-6", self.password.expose()]), PATIENCE).await?;
        // Read by nobody else, or it is refused.
        let files = [
            ("users", format!("{USER}:{}:{user}:{user}::{}:/bin/sh\n", hash.trim_end(), self.folder.display())),
            ("groups", format!("{USER}:x:{user}:\n")),
        ];
        for (name, text) in files {
            std::fs::write(self.home.join(name), text)?;
            std::fs::set_permissions(self.home.join(name), PermissionsExt::from_mode(0o600))?;
        }
        let path = self.home.join("proftpd.conf");
        std::fs::write(&path, self.proftpd_config())?;
        // It insists on changing users, which an ordinary one can't: `uid_wrapper` only says that it was done.
        let arguments =
            ["LD_PRELOAD=libuid_wrapper.so", "UID_WRAPPER=1", "UID_WRAPPER_ROOT=1", "/usr/sbin/proftpd", "-n", "-c"];
        Ok(("env".into(), arguments.map(OsString::from).into_iter().chain([path.into()]).collect()))
    }

    fn proftpd_config(&self) -> String {
        let home = self.home.display();
        let (port, settings) = (self.port, self.settings.join("\n"));
        format!(
            "\
ServerType standalone
LoadModule mod_sftp.c
DefaultAddress 127.0.0.1
SocketBindTight on
Port {port}
User nobody
Group nogroup
PidFile {home}/pid
ScoreboardFile none
DelayEngine off
UseReverseDNS off
WtmpLog off
TransferLog none
SystemLog none
<IfModule mod_ctrls.c>
ControlsEngine off
</IfModule>
AuthOrder mod_auth_file.c
AuthUserFile {home}/users
AuthGroupFile {home}/groups
RequireValidShell off
SFTPEngine on
SFTPHostKey {home}/host
SFTPAuthMethods password
{settings}
"
        )
    }

    /// It has a form of its own for keys, so it makes one itself.
    async fn dropbear(&self) -> anyhow::Result<(Launch, String)> {
        let home = self.home.display();
        make_accounts(self.home, self.user()?, self.password).await?;
        let key = self.home.join("dropbear");
        let mut dropbearkey = Command::new("dropbearkey");
        let said = run(dropbearkey.args(["-t", "ecdsa", "-f"]).arg(&key), PATIENCE).await?;
        let line = said.lines().find(|line| line.starts_with("ecdsa-")).context("dropbearkey shows no key")?;
        let host_key = line.split_whitespace().take(2).collect::<Vec<_>>().join(" ");
        let arguments = [
            "LD_PRELOAD=libnss_wrapper.so".to_owned(),
            format!("NSS_WRAPPER_PASSWD={home}/passwd"),
            format!("NSS_WRAPPER_GROUP={home}/group"),
            format!("NSS_WRAPPER_SHADOW={home}/shadow"),
            "/usr/sbin/dropbear".to_owned(),
            "-FE".to_owned(),
            "-p".to_owned(),
            format!("127.0.0.1:{}", self.port),
            "-r".to_owned(),
            key.display().to_string(),
            "-P".to_owned(),
            format!("{home}/pid"),
        ];
        let arguments = arguments.into_iter().chain(self.settings.iter().cloned()).map(OsString::from).collect();
        Ok((("env".into(), arguments), host_key))
    }
}

fn services(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("services").join(name)
}

/// A server of another make, with settings of its kind.
pub(crate) async fn start(make: SftpMake, settings: &[&str]) -> SftpPeer {
    let settings = settings.iter().map(|setting| (*setting).to_owned()).collect();
    on_services_runtime(SftpPeer::start(make, settings)).await
}
