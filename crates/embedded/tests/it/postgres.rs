use std::path::Path;
use std::time::Duration;

use embedded::{Data, Postgres};
use tokio_postgres::{Client, NoTls};

async fn connect(url: &str) -> Client {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await.unwrap();
    tokio::spawn(connection);
    client
}

#[tokio::test]
async fn serves_databases_with_a_password_and_stops_though_a_client_is_there() {
    let postgres = Postgres::start(Data::Temporary).await.unwrap();
    let url = postgres.database("first").await.unwrap();
    assert_eq!(url, postgres.database("first").await.unwrap(), "asking again changes nothing");
    let client = connect(&url).await;
    client.batch_execute("CREATE TABLE t (x int); INSERT INTO t SELECT generate_series(1, 1000)").await.unwrap();
    let sum: i64 = client.query_one("SELECT sum(x) FROM t", &[]).await.unwrap().get(0);
    assert_eq!(sum, 500_500);

    let wrong = url.replace(postgres.password.expose(), "wrong");
    let refused = tokio_postgres::connect(&wrong, NoTls).await.err().expect("a wrong password is refused");
    assert!(format!("{refused:?}").contains("password authentication failed"), "{refused:?}");
    assert!(!format!("{postgres:?}").contains(postgres.password.expose()), "Debug shows the password");
    for name in ["", "Upper", "a; DROP", &"x".repeat(64)] {
        postgres.database(name).await.expect_err(name);
    }

    postgres.stop().await.unwrap();
    assert!(client.simple_query("SELECT 1").await.is_err());
}

/// In a folder that the database's own user may enter.
fn kept(folder: &tempfile::TempDir) -> Data {
    crate::make_passable(folder.path());
    Data::Kept(folder.path().join("postgres"))
}

#[tokio::test]
async fn kept_data_is_there_again_after_a_stop() {
    let folder = tempfile::tempdir().unwrap();
    let first = Postgres::start(kept(&folder)).await.unwrap();
    let client = connect(&first.database("kept").await.unwrap()).await;
    client.batch_execute("CREATE TABLE t (x int); INSERT INTO t VALUES (42)").await.unwrap();
    first.stop().await.unwrap();

    let second = Postgres::start(kept(&folder)).await.unwrap();
    let client = connect(&second.database("kept").await.unwrap()).await;
    let x: i32 = client.query_one("SELECT x FROM t", &[]).await.unwrap().get(0);
    assert_eq!(x, 42);
    second.stop().await.unwrap();
}

fn kill(signal: &str, pid: &str) {
    assert!(std::process::Command::new("kill").args(["-s", signal, pid]).status().unwrap().success());
}

fn postmaster(data: &Path) -> String {
    let text = std::fs::read_to_string(data.join("postmaster.pid")).unwrap();
    text.lines().next().unwrap().to_owned()
}

#[tokio::test]
async fn a_killed_server_is_reported_and_its_data_recovered() {
    let folder = tempfile::tempdir().unwrap();
    let mut first = Postgres::start(kept(&folder)).await.unwrap();
    let client = connect(&first.database("kept").await.unwrap()).await;
    client.batch_execute("CREATE TABLE t (x int); INSERT INTO t VALUES (42)").await.unwrap();
    kill("KILL", &postmaster(&folder.path().join("postgres/data")));
    let reason = tokio::time::timeout(Duration::from_secs(10), first.ended()).await.unwrap();
    assert!(reason.to_string().contains("PostgreSQL has ended"), "{reason}");

    // Its postmaster.pid is still there.
    let second = Postgres::start(kept(&folder)).await.unwrap();
    let client = connect(&second.database("kept").await.unwrap()).await;
    let x: i32 = client.query_one("SELECT x FROM t", &[]).await.unwrap().get(0);
    assert_eq!(x, 42);
}

#[tokio::test]
async fn a_predecessor_that_is_still_ending_is_waited_for() {
    let folder = tempfile::tempdir().unwrap();
    let first = Postgres::start(kept(&folder)).await.unwrap();
    let url = first.database("kept").await.unwrap();
    connect(&url).await.batch_execute("CREATE TABLE t AS SELECT generate_series(1, 200000) AS x").await.unwrap();
    // Not stopped but lost, as when the process is killed: it is now writing its checkpoint.
    drop(first);
    let second = Postgres::start(kept(&folder)).await.unwrap();
    let client = connect(&second.database("kept").await.unwrap()).await;
    let rows: i64 = client.query_one("SELECT count(*) FROM t", &[]).await.unwrap().get(0);
    assert_eq!(rows, 200_000);
}

#[tokio::test]
async fn a_folder_that_is_no_database_is_an_error_that_quotes_the_server() {
    let folder = tempfile::tempdir().unwrap();
    let first = Postgres::start(kept(&folder)).await.unwrap();
    first.stop().await.unwrap();
    std::fs::remove_file(folder.path().join("postgres/data/PG_VERSION")).unwrap();
    let error = Postgres::start(kept(&folder)).await.unwrap_err();
    let text = format!("{error:#}");
    assert!(text.contains("did not start") && text.contains("not a valid data directory"), "{text}");
}
