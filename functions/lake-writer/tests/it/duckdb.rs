//! DuckDB reads bronze as it lies there, without us.

use std::path::{Path, PathBuf};

use expect_test::expect;

use crate::world::{World, event};

#[tokio::test]
async fn duckdb_reads_the_objects() {
    let world = World::new().await;
    for name in ["call-records", "voice-records", "messages", "crm-changes", "binary"] {
        world.handle(kafka_batch::parse(&event(name)).unwrap()).await;
    }
    let folder = tempfile::tempdir().unwrap();
    world.download(folder.path()).await;
    let tests = Path::new(env!("CARGO_MANIFEST_DIR"));
    let tools: PathBuf = tests.join("../../crates/test-support/services/tools.sh");
    let read = tokio::process::Command::new(tools)
        .args(["duckdb-python".as_ref(), tests.join("tests/it/read_bronze.py").as_os_str(), folder.path().as_os_str()])
        .output()
        .await
        .unwrap();
    assert!(read.status.success(), "{}", String::from_utf8_lossy(&read.stderr));
    expect![[r#"
        epoch | topic | partition | offset | timestamp_ms | key | key_base64 | value_base64 | characters | headers
        1 | cdr-data | 0 | 100 | 1709290799000 | 27821234501 | None | None | 355 | []
        1 | cdr-data | 0 | 101 | 1709290800000 | 27821234501 | None | None | 355 | []
        1 | cdr-data | 1 | 0 | 1709287200000 | None | None | AP/+ | None | ['none', 'bytes', 'empty', 'empty']
        1 | cdr-data | 1 | 1 | 1709287200000 | None | wyg= | None | None | []
        1 | cdr-data | 1 | 3 | 1709287200000 |  | None | None | 0 | []
        1 | cdr-data | 1 | 4 | -1 | null | None | None | 10 | []
        1 | cdr-data | 2 | 40 | 1709290800500 | 27821234503 | None | None | 355 | []
        1 | cdr-voice | 1 | 7 | 1709287200000 | 27821234502 | None | None | 309 | []
        1 | chat-messages | 1 | 12 | 1709287200000 | room-1 | None | None | 276 | ['traceparent']
        1 | crm.crm_system.accounts | 0 | 3 | 1709287260000 | {"account_id":2} | None | None | 472 | ['__debezium.context.connectorLogicalName', '__debezium.context.taskId']
        1 | crm.crm_system.accounts | 0 | 4 | 1709287260000 | {"account_id":2} | None | None | None | ['__debezium.context.connectorLogicalName', '__debezium.context.taskId']
    "#]].assert_eq(&String::from_utf8(read.stdout).unwrap());
}
