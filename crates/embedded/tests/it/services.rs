use std::time::Duration;

use embedded::{Data, Services};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn start_together_hold_their_folder_and_stop() {
    let folder = tempfile::tempdir().unwrap();
    crate::make_passable(folder.path());
    let data = || Data::Kept(folder.path().join("demo"));
    let mut services = Services::start(data()).await.unwrap();
    let url = services.postgres.database("usage").await.unwrap();
    std::fs::write(services.sftp.upload().join("cdr.csv"), "x").unwrap();

    let refused = Services::start(data()).await.unwrap_err().to_string();
    assert!(refused.contains("another process works on the data folder"), "{refused}");
    let secrets = [url.as_str(), services.sftp.password.expose(), services.object_store.secret_access_key.expose()];
    let shown = format!("{services:?}");
    assert!(secrets.iter().all(|secret| !shown.contains(secret)), "{shown}");
    tokio::time::timeout(Duration::from_millis(1), services.ended()).await.expect_err("nothing has ended");

    services.stop().await.unwrap();
    let again = Services::start(data()).await.unwrap();
    assert_eq!(std::fs::read_to_string(again.sftp.upload().join("cdr.csv")).unwrap(), "x");
    again.stop().await.unwrap();
}
