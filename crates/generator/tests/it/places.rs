use std::collections::BTreeMap;
use std::path::Path;

use bytes::Bytes;
use expect_test::expect;
use generator::{Destination, Folder, Options, SftpFolder, Topics, run};
use indicatif::ProgressBar;

use crate::memory::complete;
use crate::small;

fn files_in(folder: &Path) -> BTreeMap<String, Bytes> {
    std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| {
            let entry = entry.unwrap();
            (entry.file_name().into_string().unwrap(), Bytes::from(std::fs::read(entry.path()).unwrap()))
        })
        .collect()
}

#[tokio::test]
async fn a_folder_gets_the_files_and_nothing_else() {
    let (folder, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let options = Options { faults: 0.3, ..small(&folder) };
    let out = folder.path().join("made/for/this");
    let destination = Destination::files(Folder::create(&out).await.unwrap());
    // What a kill has left behind.
    std::fs::write(out.join(".cdr_data_20240101_000000.csv.tmp"), "half a fi").unwrap();
    let summary = run(&options, &destination, &ProgressBar::hidden()).await.unwrap();

    let files = files_in(&out);
    assert_eq!(files, complete(&Options { faults: 0.3, ..small(&other) }).await);
    assert_eq!(summary.files, files.len() as u64);
    assert_eq!(summary.bytes, files.values().map(|content| content.len() as u64).sum::<u64>());
}

#[tokio::test]
async fn a_folder_that_cannot_be_written_ends_the_run() {
    let folder = tempfile::tempdir().unwrap();
    let options = small(&folder);
    let out = folder.path().join("out");
    let destination = Destination::files(Folder::create(&out).await.unwrap());
    std::fs::remove_dir(&out).unwrap();
    let error = run(&options, &destination, &ProgressBar::hidden()).await.unwrap_err();
    let out = std::fs::canonicalize(folder.path()).unwrap();
    expect!["cannot write FOLDER/out/cdr_data_20240101_000000.csv: No such file or directory (os error 2)"]
        .assert_eq(&format!("{error:#}").replace(&out.display().to_string(), "FOLDER"));

    let file = folder.path().join("file");
    std::fs::write(&file, "").unwrap();
    assert!(Folder::create(&file).await.is_err());
}

/// A server, its folder's files, and how to log in to it.
struct Host {
    root: tempfile::TempDir,
    server: sftp::server::Server,
}

impl Host {
    async fn start() -> Self {
        let root = tempfile::tempdir().unwrap();
        std::fs::create_dir(root.path().join("upload")).unwrap();
        let server = sftp::server::Server::start(root.path(), "network", "secret").await.unwrap();
        Self { root, server }
    }

    async fn connect(&self) -> SftpFolder {
        let config: sftp::Config = serde_json::from_value(serde_json::json!({
            "SFTP_HOST": "127.0.0.1",
            "SFTP_PORT": self.server.address.port(),
            "SFTP_USER": "network",
            "SFTP_PASSWORD": "secret",
            "SFTP_HOST_KEY": self.server.host_key,
        }))
        .unwrap();
        SftpFolder::connect(&config).await.unwrap()
    }

    fn files(&self) -> BTreeMap<String, Bytes> {
        files_in(&self.root.path().join("upload"))
    }
}

/// A second server is another destination: what the first one has is not what it has.
#[tokio::test]
async fn a_second_server_has_progress_of_its_own() {
    let (folder, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (first, second) = (Host::start().await, Host::start().await);
    let options = small(&folder);
    run(&options, &Destination::files(first.connect().await), &ProgressBar::hidden()).await.unwrap();
    let whole = complete(&small(&other)).await;
    assert_eq!(first.files(), whole);

    let destination = Destination::files(second.connect().await);
    let error = run(&options, &destination, &ProgressBar::hidden()).await.unwrap_err().to_string();
    let error = [&first, &second]
        .iter()
        .zip(["FIRST", "SECOND"])
        .fold(error, |error, (host, name)| error.replace(&format!("127.0.0.1:{}", host.server.address.port()), name));
    expect![[r#"FOLDER/idx_data.dat tells how far a run to "sftp://network@FIRST/upload" has come, and this one goes to "sftp://network@SECOND/upload": name another file with --index, one for each destination"#]]
        .assert_eq(&error.replace(&folder.path().display().to_string(), "FOLDER"));
    let options = Options { index: folder.path().join("second.dat"), ..options };
    run(&options, &destination, &ProgressBar::hidden()).await.unwrap();
    assert_eq!(second.files(), whole);
    first.server.shutdown().await;
    second.server.shutdown().await;
}

/// A server that is known by a name may listen elsewhere the next time.
#[tokio::test]
async fn several_places_get_the_same_files_in_one_run() {
    let (folder, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let out = folder.path().join("out");
    for before in [0, 3] {
        let host = Host::start().await;
        let server = Box::new(host.connect().await.known_as("the server"));
        let files = Box::new(Folder::create(&out).await.unwrap());
        let destination = Destination { files: vec![files, server], topics: None };
        let summary = run(&small(&folder), &destination, &ProgressBar::hidden()).await.unwrap();
        assert_eq!(summary.sets_before, before);
        let whole = complete(&small(&other)).await;
        assert_eq!(files_in(&out), whole);
        assert_eq!(host.files(), if before == 0 { whole } else { BTreeMap::new() });
        std::fs::remove_file(other.path().join("idx_data.dat")).unwrap();
        host.server.shutdown().await;
    }
}

#[tokio::test]
async fn a_run_needs_a_place() {
    let folder = tempfile::tempdir().unwrap();
    let nowhere = Destination::default();
    let error = run(&small(&folder), &nowhere, &ProgressBar::hidden()).await.unwrap_err();
    expect!["there is nowhere to write to: name a sink"].assert_eq(&error.to_string());
}

#[tokio::test]
async fn topics_get_no_faults() {
    let folder = tempfile::tempdir().unwrap();
    let topics = Topics::new(&kafka_sink::Config::plaintext("127.0.0.1:1")).unwrap();
    let options = Options { faults: 0.1, ..small(&folder) };
    let error = run(&options, &Destination::topics(topics), &ProgressBar::hidden()).await.unwrap_err();
    expect!["--faults needs a folder or SFTP: the topics get the records without faults"].assert_eq(&error.to_string());
}
