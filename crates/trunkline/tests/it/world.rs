//! The services of an operator, and the program on them.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::SystemTime;

use serde::Deserialize;
use serde_json::Value;
use test_support::{Kafka, Sshd, eventually};
use usage_store::Store;

use crate::program::{PATIENCE, Program, without_log};

pub(crate) const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../..");
const USER: &str = "verifier";

/// A file's books, as `trunkline files --json` tells them.
#[derive(Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Books {
    pub(crate) state: String,
    pub(crate) rows: u64,
    pub(crate) continued: u64,
    pub(crate) accepted: u64,
    pub(crate) rejected: BTreeMap<String, u64>,
    pub(crate) waiting: u64,
    pub(crate) counted: u64,
    pub(crate) duplicates: u64,
    pub(crate) withdrawn: u64,
}

/// What an operator has: Kafka, OpenSSH's server, an S3 server and PostgreSQL.
pub(crate) struct World {
    scratch: tempfile::TempDir,
    pub(crate) sshd: Sshd,
    pub(crate) kafka: Kafka,
    pub(crate) store: Store,
    /// The database of the store and of the warehouse.
    pub(crate) database: String,
    password: String,
}

impl World {
    /// With more parameters than the places.
    pub(crate) async fn start(more: &[(&str, &str)]) -> Self {
        let (kafka, sshd, bucket, database) = tokio::join!(
            test_support::kafka_of_its_own(),
            test_support::sshd(),
            test_support::object_store(),
            test_support::postgres_database(),
        );
        let password = test_support::topic("password");
        let hash = http_api::auth::hash_password(&password).expect("a hash");
        let parameters = [
            ("KafkaBrokers", kafka.bootstrap_servers.clone()),
            ("SftpHost", sshd.host.clone()),
            ("SftpPort", sshd.port.to_string()),
            ("SftpUser", sshd.user.clone()),
            ("SftpPassword", sshd.password.expose().to_owned()),
            ("SftpHostKey", sshd.host_keys[0].clone()),
            // Polls are called by hand.
            ("SftpLookSeconds", "0".to_owned()),
            ("SftpRemotePath", sshd.remote_path.clone()),
            ("LakeBucket", bucket.bucket),
            ("LakeEndpoint", bucket.endpoint),
            ("LakeWindowSeconds", "1".to_owned()),
            ("UsageStore", database.clone()),
            ("DatabaseUrl", database.clone()),
            ("ApiUsers", format!(r#"[{{"user":"{USER}","password_hash":"{hash}","msisdns":"*"}}]"#)),
            ("AWS_REGION", bucket.region),
            ("AWS_ACCESS_KEY_ID", bucket.access_key_id),
            ("AWS_SECRET_ACCESS_KEY", bucket.secret_access_key.expose().to_owned()),
        ];
        let scratch = tempfile::tempdir().expect("a folder");
        let more = more.iter().map(|(name, value)| (*name, (*value).to_owned()));
        let lines = parameters.into_iter().chain(more).map(|(name, value)| format!("{name}={value}\n"));
        let text: String = lines.collect();
        std::fs::write(scratch.path().join("parameters"), text).expect("the parameters");
        let store = Store::connect(&database).expect("an address");
        let world = Self { scratch, sshd, kafka, store, database, password };
        world.succeeds(&["init"]);
        world
    }

    pub(crate) fn trunkline(&self, args: &[&str]) -> Program {
        let mut command = Command::new(env!("CARGO_BIN_EXE_trunkline"));
        command.args(args).arg("--template").arg(format!("{ROOT}/template.yaml"));
        command.arg("--parameters").arg(self.scratch.path().join("parameters"));
        Program::run(self.scratch.path(), command.env("TRUNKLINE_API_PASSWORD", &self.password))
    }

    /// What it prints, without its log.
    pub(crate) fn succeeds(&self, args: &[&str]) -> String {
        without_log(&self.trunkline(args).succeeds())
    }

    /// Renames files into place, last changed at this time.
    pub(crate) fn deliver(&self, files: &[PathBuf], changed: SystemTime) {
        for file in files {
            let name = name_of(file);
            let beside = self.sshd.upload().join(format!("{name}.part"));
            std::fs::copy(file, &beside).expect("a copy");
            let opened = std::fs::OpenOptions::new().write(true).open(&beside).expect("the copy");
            opened.set_modified(changed).expect("its time");
            std::fs::rename(&beside, self.sshd.upload().join(&name)).expect("in its place");
        }
    }

    /// Every file, as `trunkline files --json` tells it.
    pub(crate) fn files(&self) -> BTreeMap<String, Books> {
        let files: Vec<Value> = serde_json::from_str(&self.succeeds(&["files", "--json"])).expect("JSON");
        let number = |file: &Value, field: &str| file[field].as_u64().unwrap_or_else(|| panic!("{field} in {file}"));
        let read = |file: &Value| Books {
            state: file["state"].as_str().expect("a state").to_owned(),
            rows: number(file, "rows"),
            continued: number(file, "continued"),
            accepted: number(file, "accepted"),
            rejected: serde_json::from_value(file["reasons"].clone()).expect("reasons"),
            waiting: number(file, "waiting"),
            counted: number(file, "counted"),
            duplicates: number(file, "duplicates"),
            withdrawn: number(file, "withdrawn"),
        };
        files.iter().map(|file| (file["name"].as_str().expect("a name").to_owned(), read(file))).collect()
    }

    /// `trunkline up`, serving, and where. Dropping it is kill -9.
    pub(crate) fn up(&self) -> (Program, String) {
        let mut up = self.trunkline(&["up", "--listen", "127.0.0.1:0"]);
        let url = up.serves();
        (up, url)
    }

    /// What the schedule does once a minute.
    pub(crate) fn poll(&self) -> Program {
        self.trunkline(&["invoke", "sftp-poll", &format!("{ROOT}/events/sftp-poll/schedule.json")])
    }

    /// The API's answers equal a second count of all files that lie on the server.
    pub(crate) fn verified(&self, url: &str) {
        let upload = self.sshd.upload().display().to_string();
        let printed = self.succeeds(&["verify", "--files", "--user", USER, "--url", url, &upload]);
        assert!(printed.contains("Verified"), "{printed}");
    }

    /// Polls until these files have landed as they are now, and nothing is on its way.
    pub(crate) async fn settled(&self, delivered: &[PathBuf]) {
        self.poll().succeeds();
        eventually(PATIENCE, async || {
            let files = self.files();
            let is_still = |file: &Books| !["reading", "counting", "replacing"].contains(&file.state.as_str());
            delivered.iter().all(|file| files.contains_key(&name_of(file))) && files.values().all(is_still)
        })
        .await;
    }
}

pub(crate) fn name_of(path: &Path) -> String {
    path.file_name().expect("a name").to_str().expect("text").to_owned()
}
