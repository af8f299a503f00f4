//! The lake against a real S3 protocol.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking, its helpers too")]

mod bronze;

use std::time::{Duration, SystemTime};

use bytes::Bytes;
use expect_test::{Expect, expect};
use futures::{StreamExt, TryStreamExt, future, stream};
use lake::{Config, Digest, Lake, Put, PutError, Stored};

const MIB: usize = 1 << 20;

async fn config() -> Config {
    let store = test_support::object_store().await;
    Config {
        bucket: store.bucket,
        endpoint: Some(store.endpoint),
        region: store.region,
        access_key_id: store.access_key_id,
        secret_access_key: store.secret_access_key.expose().to_owned(),
        session_token: None,
    }
}

async fn lake() -> Lake {
    Lake::connect(&config().await)
}

async fn content(lake: &Lake, key: &str) -> Vec<u8> {
    lake.get_stream(key).await.unwrap().into_bytes().await.unwrap().to_vec()
}

/// Bytes that differ from place to place.
fn bytes(len: usize) -> Bytes {
    (0..len).map(|i| (i.wrapping_mul(2_654_435_761) >> 13) as u8).collect()
}

fn chunks(bytes: &Bytes) -> impl futures::Stream<Item = Result<Bytes, std::io::Error>> + use<> {
    let bytes = bytes.clone();
    stream::iter((0..bytes.len()).step_by(100_000)).map(move |at| Ok(bytes.slice(at..bytes.len().min(at + 100_000))))
}

#[tokio::test]
async fn what_is_there_is_never_overwritten() {
    let lake = lake().await;
    let first = lake.put_if_absent("landing/a", Bytes::from_static(b"first"), &[("mtime", "17")]).await.unwrap();
    let second = lake.put_if_absent("landing/a", Bytes::from_static(b"second"), &[]).await.unwrap();
    let streamed = lake.put_stream_if_absent("landing/a", chunks(&bytes(100)), &[]).await.unwrap();
    let large = lake.put_stream_if_absent("landing/a", chunks(&bytes(9 * MIB)), &[]).await.unwrap();
    assert_eq!((first, second, streamed.put, large.put), (Put::Created, Put::Exists, Put::Exists, Put::Exists));
    assert_eq!(content(&lake, "landing/a").await, b"first");

    let head = lake.head("landing/a").await.unwrap().unwrap();
    assert_eq!((head.bytes, head.metadata["mtime"].as_str()), (5, "17"));
    assert!(head.last_modified.elapsed().unwrap_or_default() < Duration::from_secs(60));
    assert!(head.last_modified > SystemTime::UNIX_EPOCH);
    assert!(lake.head("landing/b").await.unwrap().is_none());
}

#[tokio::test]
async fn of_concurrent_puts_one_wins() {
    let lake = lake().await;
    let small = (0..16).map(|i| lake.put_if_absent("small", Bytes::from(vec![i]), &[]));
    let won = future::join_all(small).await.into_iter().filter(|put| matches!(put, Ok(Put::Created))).count();
    assert_eq!(won, 1);
    let large = bytes(9 * MIB);
    let puts = (0..3).map(|_| lake.put_stream_if_absent("large", chunks(&large), &[]));
    let won = future::join_all(puts).await.into_iter().map(|put| put.unwrap().put);
    assert_eq!(won.filter(|put| *put == Put::Created).count(), 1);
    assert_eq!(content(&lake, "large").await, large);
}

#[tokio::test]
async fn a_stream_of_any_length_arrives_with_its_digest() {
    let lake = lake().await;
    for len in [0, 1, 8 * MIB - 1, 8 * MIB, 8 * MIB + 1, 20 * MIB] {
        let bytes = bytes(len);
        let key = format!("stream/{len}");
        let stored = lake.put_stream_if_absent(&key, chunks(&bytes), &[("mtime", "1")]).await.unwrap();
        let expected = Stored { put: Put::Created, sha256: Digest::of(&bytes), bytes: len as u64 };
        assert_eq!(stored, expected);
        assert!(content(&lake, &key).await == bytes, "{len} bytes came back as others");
        assert_eq!(lake.head(&key).await.unwrap().unwrap().metadata["mtime"], "1");
    }
}

#[tokio::test]
async fn a_stream_that_breaks_leaves_nothing() {
    let lake = lake().await;
    for len in [0, 10, 20 * MIB] {
        let broken = chunks(&bytes(len)).chain(stream::iter([Err(std::io::Error::other("cable cut"))]));
        match lake.put_stream_if_absent("broken", broken, &[]).await {
            Err(PutError::Source(error)) => assert_eq!(error.to_string(), "cable cut"),
            other => panic!("{other:?}"),
        }
        assert!(lake.head("broken").await.unwrap().is_none());
    }
    assert_eq!(lake.list("").count().await, 0);
}

#[tokio::test]
async fn reads_the_whole() {
    let lake = lake().await;
    let all = bytes(3 * MIB);
    lake.put_if_absent("r", all.clone(), &[]).await.unwrap();
    let object = lake.get_stream("r").await.unwrap();
    assert_eq!(object.bytes, all.len() as u64);
    let read: Vec<Bytes> = object.into_stream().try_collect().await.unwrap();
    assert_eq!(read.concat(), all);
}

#[tokio::test]
async fn lists_in_order_over_pages() {
    let lake = lake().await;
    // A page has 1,000 names.
    let puts = (0..1_050).map(|i| {
        let lake = lake.clone();
        async move { lake.put_if_absent(&format!("many/{i:04}"), Bytes::from_static(b"x"), &[]).await }
    });
    assert_eq!(stream::iter(puts).buffer_unordered(16).filter(|put| future::ready(put.is_ok())).count().await, 1_050);
    lake.put_if_absent("other", Bytes::new(), &[]).await.unwrap();

    let names: Vec<_> = lake.list("many/").map_ok(|listed| listed.key).try_collect().await.unwrap();
    assert_eq!(names, (0..1_050).map(|i| format!("many/{i:04}")).collect::<Vec<_>>());
    let rest: Vec<_> = lake.list_after("many/", Some("many/1047")).try_collect().await.unwrap();
    expect![[r#"[Listed { key: "many/1048", bytes: 1 }, Listed { key: "many/1049", bytes: 1 }]"#]]
        .assert_eq(&format!("{rest:?}"));
}

#[tokio::test]
async fn json_objects() {
    let lake = lake().await;
    assert_eq!(lake.get_json::<Vec<u8>>("results/a.json").await.unwrap(), None);
    assert_eq!(lake.put_json_if_absent("results/a.json", &[1]).await.unwrap(), Put::Created);
    assert_eq!(lake.put_json_if_absent("results/a.json", &[2]).await.unwrap(), Put::Exists);
    assert_eq!(lake.get_json::<Vec<u8>>("results/a.json").await.unwrap(), Some(vec![1]));
    lake.put_json("results/a.json", &[3]).await.unwrap();
    assert_eq!(lake.get_json::<Vec<u8>>("results/a.json").await.unwrap(), Some(vec![3]));
    expect!["reading results/a.json: invalid type: sequence, expected a string at line 1 column 0; look at the object, and at who wrote it"]
        .assert_eq(&lake.get_json::<String>("results/a.json").await.unwrap_err().to_string());
}

#[tokio::test]
async fn a_note_is_removed_once_or_twice() {
    let lake = lake().await;
    lake.put_if_absent("unannounced/a", Bytes::new(), &[]).await.unwrap();
    lake.delete("unannounced/a").await.unwrap();
    lake.delete("unannounced/a").await.unwrap();
    assert!(lake.head("unannounced/a").await.unwrap().is_none());
}

#[tokio::test]
async fn the_bucket_is_made_once() {
    let lake = Lake::connect(&Config { bucket: format!("made-{}", test_support::topic("b")), ..config().await });
    lake.ensure_bucket().await.unwrap();
    lake.put_if_absent("a", Bytes::new(), &[]).await.unwrap();
    lake.ensure_bucket().await.unwrap();
    assert!(lake.head("a").await.unwrap().is_some());
}

#[tokio::test]
async fn errors_say_what_to_do() {
    async fn check(config: Config, transient: bool, expect: Expect) {
        let error = Lake::connect(&config).put_json("landing/a", &1).await.unwrap_err();
        assert_eq!(error.is_transient(), transient);
        expect.assert_eq(&error.to_string());
    }
    let config = config().await;
    expect!["the lake has no object landing/a"]
        .assert_eq(&Lake::connect(&config).get_stream("landing/a").await.unwrap_err().to_string());
    check(
        Config { secret_access_key: "wrong".to_owned(), ..config.clone() },
        false,
        expect![
            "putting landing/a: SignatureDoesNotMatch; check the AWS_* credentials and what they may do with the bucket"
        ],
    )
    .await;
    check(
        Config { bucket: "Not a bucket!".to_owned(), ..config.clone() },
        false,
        expect!["putting landing/a: InvalidBucketName; the store refuses the request: see its answer"],
    )
    .await;
    let nobody = Config { endpoint: Some("http://127.0.0.1:1".to_owned()), ..config };
    check(nobody.clone(), true, expect!["putting landing/a: dispatch failure: io error: client error (Connect): tcp connect error: Connection refused (os error 111) (is AWS_ENDPOINT_URL_S3 or AWS_REGION right?); it may pass, try again"]).await;
    assert!(!format!("{nobody:?}").contains(&nobody.secret_access_key));
}
