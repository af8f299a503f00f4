//! Real dbt.

use std::path::Path;
use std::process::Command;
use std::str::FromStr;

use serde_json::Value;
use tokio_postgres::config::Host;

const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../..");

/// dbt on one database; what it writes beside it goes to `folder`.
pub(super) struct Dbt<'a> {
    pub(super) database_url: &'a str,
    pub(super) folder: &'a Path,
}

impl Dbt<'_> {
    /// Runs a command such as `build` on `warehouse/`.
    pub(super) async fn run(&self, arguments: &[&str]) {
        let database = tokio_postgres::Config::from_str(self.database_url).unwrap();
        let [Host::Tcp(host)] = database.get_hosts() else { panic!("the database is reached by TCP") };
        let mut dbt = Command::new(format!("{ROOT}/crates/test-support/services/tools.sh"));
        dbt.arg("dbt")
            .args(arguments)
            .args(["--no-use-colors", "--target-path"])
            .arg(self.folder.join("target"))
            .arg("--log-path")
            .arg(self.folder.join("logs"))
            .env("DBT_PROFILES_DIR", format!("{ROOT}/warehouse"))
            .env("PGHOST", host)
            .env("PGPORT", database.get_ports()[0].to_string())
            .env("PGUSER", database.get_user().unwrap())
            .env("PGPASSWORD", str::from_utf8(database.get_password().unwrap()).unwrap())
            .env("PGDATABASE", database.get_dbname().unwrap())
            .current_dir(format!("{ROOT}/warehouse"));
        let ended = tokio::task::spawn_blocking(move || dbt.output()).await.unwrap().expect("tools.sh runs");
        assert!(ended.status.success(), "dbt {arguments:?}: {}", String::from_utf8_lossy(&ended.stdout));
    }

    /// A file that a command has left, such as `manifest.json`.
    pub(super) fn artifact(&self, name: &str) -> Value {
        let path = self.folder.join("target").join(name);
        serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
    }
}
