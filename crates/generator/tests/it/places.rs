use std::collections::BTreeMap;
use std::path::Path;

use bytes::Bytes;
use expect_test::expect;
use generator::{Destination, Folder, Options, SftpFolder, run};
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

#[tokio::test]
async fn an_sftp_server_gets_the_same_files() {
    let (folder, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let root = tempfile::tempdir().unwrap();
    std::fs::create_dir(root.path().join("upload")).unwrap();
    let server = sftp::server::Server::start(root.path(), "network", "secret").await.unwrap();
    let config: sftp::Config = serde_json::from_value(serde_json::json!({
        "SFTP_HOST": "127.0.0.1",
        "SFTP_PORT": server.address.port(),
        "SFTP_USER": "network",
        "SFTP_PASSWORD": "secret",
        "SFTP_HOST_KEY": server.host_key,
    }))
    .unwrap();
    let destination = Destination::files(SftpFolder::connect(&config).await.unwrap());
    run(&small(&folder), &destination, &ProgressBar::hidden()).await.unwrap();
    assert_eq!(files_in(&root.path().join("upload")), complete(&small(&other)).await);
    server.shutdown().await;
}

#[tokio::test]
async fn a_run_needs_a_place() {
    let folder = tempfile::tempdir().unwrap();
    let nowhere = Destination { files: None, topics: None };
    let error = run(&small(&folder), &nowhere, &ProgressBar::hidden()).await.unwrap_err();
    expect!["there is nowhere to write to: name a sink"].assert_eq(&error.to_string());
}

#[tokio::test]
async fn topics_get_no_faults() {
    let folder = tempfile::tempdir().unwrap();
    let sink = kafka_sink::Sink::new(&kafka_sink::Config::plaintext("127.0.0.1:1")).unwrap();
    let options = Options { faults: 0.1, ..small(&folder) };
    let error = run(&options, &Destination::topics(sink), &ProgressBar::hidden()).await.unwrap_err();
    expect!["--faults needs a folder or SFTP: the topics get the records without faults"].assert_eq(&error.to_string());
}
