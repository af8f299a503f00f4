use std::future::poll_fn;
use std::pin::pin;
use std::task::Poll;

use aws_sdk_s3::Client;
use aws_sdk_s3::config::{BehaviorVersion, Credentials, Region};
use aws_sdk_s3::error::ProvideErrorMetadata;
use aws_sdk_s3::operation::complete_multipart_upload::builders::CompleteMultipartUploadFluentBuilder;
use aws_sdk_s3::primitives::ByteStream;
use aws_sdk_s3::types::{CompletedMultipartUpload, CompletedPart};
use embedded::{Data, ObjectStore};
use futures::future::join_all;

const BUCKET: &str = "lake";

fn client(store: &ObjectStore, secret: &str) -> Client {
    let config = aws_sdk_s3::config::Builder::new()
        .behavior_version(BehaviorVersion::latest())
        .endpoint_url(&store.endpoint)
        .region(Region::new(store.region))
        .credentials_provider(Credentials::new(&store.access_key_id, secret, None, None, "test"))
        .force_path_style(true)
        .build();
    Client::from_conf(config)
}

async fn start(data: Data) -> (ObjectStore, Client) {
    let store = ObjectStore::start(data).await.unwrap();
    store.create_bucket(BUCKET).unwrap();
    let client = client(&store, store.secret_access_key.expose());
    (store, client)
}

async fn get(client: &Client, key: &str) -> Option<Vec<u8>> {
    match client.get_object().bucket(BUCKET).key(key).send().await {
        Ok(object) => Some(object.body.collect().await.unwrap().to_vec()),
        Err(error) => {
            assert_eq!(error.code(), Some("NoSuchKey"), "{error:?}");
            None
        }
    }
}

async fn put_new(client: &Client, key: &str, body: &str) -> Result<(), Option<String>> {
    let body = ByteStream::from(body.as_bytes().to_vec());
    let put = client.put_object().bucket(BUCKET).key(key).if_none_match("*").metadata("k", "v").body(body);
    put.send().await.map(drop).map_err(|e| e.code().map(str::to_owned))
}

#[tokio::test]
async fn of_many_conditional_puts_one_wins_and_its_bytes_stay() {
    let (_store, client) = start(Data::Temporary).await;
    for round in 0..8 {
        let key = format!("race/{round}");
        let bodies: Vec<String> = (0..16).map(|i| format!("body {i}")).collect();
        let outcomes = join_all(bodies.iter().map(|body| put_new(&client, &key, body))).await;
        let winners: Vec<&String> = bodies.iter().zip(&outcomes).filter(|(_, o)| o.is_ok()).map(|(b, _)| b).collect();
        assert_eq!(winners.len(), 1, "{outcomes:?}");
        assert!(outcomes.iter().flat_map(|o| o.as_ref().err()).all(|e| e.as_deref() == Some("PreconditionFailed")));
        assert_eq!(get(&client, &key).await.unwrap(), winners[0].as_bytes());
    }
}

#[tokio::test]
async fn of_many_swaps_one_wins_each_time() {
    let (_store, client) = start(Data::Temporary).await;
    let swap = async |key: &str, tag: &str, body: &str| {
        let body = ByteStream::from(body.as_bytes().to_vec());
        let put = client.put_object().bucket(BUCKET).key(key).if_match(tag).body(body).send().await;
        put.map(|put| put.e_tag.unwrap()).map_err(|error| error.code().unwrap_or_default().to_owned())
    };
    assert_eq!(swap("swap", "\"none\"", "x").await.unwrap_err(), "NoSuchKey");
    put_new(&client, "swap", "0").await.unwrap();
    for round in 1..=8 {
        let read = client.get_object().bucket(BUCKET).key("swap").send().await.unwrap().e_tag.unwrap();
        let bodies: Vec<String> = (0..8).map(|swapper| format!("{round} of {swapper}")).collect();
        let outcomes = join_all(bodies.iter().map(|body| swap("swap", &read, body))).await;
        let winners: Vec<_> = bodies.iter().zip(&outcomes).filter(|(_, outcome)| outcome.is_ok()).collect();
        assert_eq!(winners.len(), 1, "{outcomes:?}");
        assert!(outcomes.iter().flat_map(|o| o.as_ref().err()).all(|error| error == "PreconditionFailed"));
        assert_eq!(get(&client, "swap").await.unwrap(), winners[0].0.as_bytes());
        // The tag that a put answers with is the one that a reader gets.
        let now = client.head_object().bucket(BUCKET).key("swap").send().await.unwrap().e_tag.unwrap();
        assert_eq!(winners[0].1.as_ref().unwrap(), &now);
    }
}

/// Uploads two parts; the request is what makes an object of them.
async fn upload(client: &Client, key: &str, fill: u8) -> CompleteMultipartUploadFluentBuilder {
    let created = client.create_multipart_upload().bucket(BUCKET).key(key).metadata("k", "v").send().await.unwrap();
    let upload = created.upload_id().unwrap();
    let mut parts = Vec::new();
    for (number, bytes) in [(1, 5 << 20), (2, 1000)] {
        let part = client.upload_part().bucket(BUCKET).key(key).upload_id(upload).part_number(number);
        let part = part.body(ByteStream::from(vec![fill; bytes])).send().await.unwrap();
        parts.push(CompletedPart::builder().part_number(number).set_e_tag(part.e_tag).build());
    }
    let parts = CompletedMultipartUpload::builder().set_parts(Some(parts)).build();
    client.complete_multipart_upload().bucket(BUCKET).key(key).upload_id(upload).multipart_upload(parts)
}

async fn multipart(client: &Client, key: &str, fill: u8) -> Result<(), Option<String>> {
    let complete = upload(client, key, fill).await.if_none_match("*");
    complete.send().await.map(drop).map_err(|e| e.code().map(str::to_owned))
}

#[tokio::test]
async fn of_many_conditional_multipart_uploads_one_wins() {
    let (_store, client) = start(Data::Temporary).await;
    let outcomes = join_all((0..4).map(|i| multipart(&client, "big", i))).await;
    assert_eq!(outcomes.iter().filter(|o| o.is_ok()).count(), 1, "{outcomes:?}");
    let winner = u8::try_from(outcomes.iter().position(Result::is_ok).unwrap()).unwrap();
    let bytes = get(&client, "big").await.unwrap();
    assert!(bytes.len() == (5 << 20) + 1000 && bytes.iter().all(|b| *b == winner));
    let head = client.head_object().bucket(BUCKET).key("big").send().await.unwrap();
    assert_eq!(head.metadata().unwrap()["k"], "v");
}

#[tokio::test]
async fn kept_objects_with_metadata_are_there_again() {
    let folder = tempfile::tempdir().unwrap();
    let (store, client) = start(Data::Kept(folder.path().join("s3"))).await;
    put_new(&client, "landing/a.csv", "1,2,3").await.unwrap();
    store.stop().await;
    let (_store, client) = start(Data::Kept(folder.path().join("s3"))).await;
    assert_eq!(get(&client, "landing/a.csv").await.unwrap(), b"1,2,3");
    let head = client.head_object().bucket(BUCKET).key("landing/a.csv").send().await.unwrap();
    assert_eq!(head.metadata().unwrap()["k"], "v");
    assert_eq!(put_new(&client, "landing/a.csv", "other").await, Err(Some("PreconditionFailed".to_owned())));
}

/// Runs a future until it has had to wait `waits` times, and drops it there; whether it came to its end.
async fn cut_off<T>(future: impl Future<Output = T>, mut waits: usize) -> bool {
    let mut future = pin!(future);
    poll_fn(|context| match future.as_mut().poll(context) {
        Poll::Ready(_) => Poll::Ready(true),
        Poll::Pending if waits == 0 => Poll::Ready(false),
        Poll::Pending => {
            waits -= 1;
            Poll::Pending
        }
    })
    .await
}

/// What other clients see.
async fn list(client: &Client) -> Vec<String> {
    let listed = client.list_objects_v2().bucket(BUCKET).send().await.unwrap();
    listed.contents().iter().map(|object| object.key().unwrap().to_owned()).collect()
}

/// The client goes away at each of its waits in turn, for a new object and for one that is put anew.
#[tokio::test]
async fn a_client_that_goes_away_in_the_middle_of_a_put_leaves_it_whole_or_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let data = || Data::Kept(folder.path().join("s3"));
    for waits in 0.. {
        let (store, client) = start(data()).await;
        // A connection of its own; and the request may still be under way when the client lists.
        let other = self::client(&store, store.secret_access_key.expose());
        let put = |key: &str, fill: &str| {
            let put = client.put_object().bucket(BUCKET).key(key).metadata("k", fill);
            put.body(ByteStream::from(fill.repeat(1 << 20).into_bytes())).send()
        };
        put("old", "a").await.unwrap();
        let key = format!("new/{waits:03}");
        let ended = cut_off(join_all([put("old", "b"), put(&key, "b")]), waits).await;
        let seen = list(&other).await;
        drop(store);

        let (_store, client) = start(data()).await;
        let now = list(&client).await;
        assert!(seen.iter().all(|key| now.contains(key)), "{seen:?} before and {now:?} after a start, {waits} waits");
        for key in &now {
            let object = client.get_object().bucket(BUCKET).key(key).send().await.unwrap();
            let fill = object.metadata().unwrap()["k"].clone();
            let bytes = object.body.collect().await.unwrap().to_vec();
            assert!(bytes.len() == 1 << 20 && bytes.iter().all(|b| [*b] == fill.as_bytes()), "{key}, {waits} waits");
            assert!(fill == "b" || key == "old");
        }
        if ended {
            break;
        }
    }
}

#[tokio::test]
async fn a_client_that_goes_away_in_the_middle_of_a_completion_leaves_it_whole_or_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let data = || Data::Kept(folder.path().join("s3"));
    for waits in 0.. {
        let (store, client) = start(data()).await;
        let other = self::client(&store, store.secret_access_key.expose());
        let key = format!("{waits:03}");
        let ended = cut_off(upload(&client, &key, 7).await.send(), waits).await;
        let seen = list(&other).await;
        drop(store);

        let (_store, client) = start(data()).await;
        let now = list(&client).await;
        assert!(seen.iter().all(|key| now.contains(key)), "{seen:?} before and {now:?} after a start, {waits} waits");
        for key in &now {
            let head = client.head_object().bucket(BUCKET).key(key).send().await.unwrap();
            assert_eq!((head.content_length(), &*head.metadata().unwrap()["k"]), (Some((5 << 20) + 1000), "v"));
        }
        if ended {
            break;
        }
    }
}

#[tokio::test]
async fn what_cannot_be_put_is_said_so() {
    let (_store, client) = start(Data::Temporary).await;
    let refusal = async |bucket: &str, key: &str| {
        let put = client.put_object().bucket(bucket).key(key).body(ByteStream::from_static(b"x")).send().await;
        put.map(drop).map_err(|error| error.code().unwrap().to_owned())
    };
    assert_eq!(refusal(BUCKET, "a/b").await, Ok(()));
    assert_eq!(refusal(BUCKET, "a").await.unwrap_err(), "InvalidArgument");
    assert_eq!(refusal("missing", "a").await.unwrap_err(), "NoSuchBucket");
    let put = client.put_object().bucket(BUCKET).key("a/b").if_match("*").body(ByteStream::from_static(b"x"));
    assert_eq!(put.send().await.unwrap_err().code(), Some("NotImplemented"));

    let complete = upload(&client, "big", 7).await;
    complete.clone().send().await.unwrap();
    assert_eq!(complete.send().await.unwrap_err().code(), Some("NoSuchUpload"));
    let head = client.head_object().bucket(BUCKET).key("big").send().await.unwrap();
    assert_eq!(head.content_length(), Some((5 << 20) + 1000));
}

#[tokio::test]
async fn what_a_put_with_a_wrong_checksum_leaves_is_nothing() {
    let (_store, client) = start(Data::Temporary).await;
    let put = client.put_object().bucket(BUCKET).key("bad").content_md5("1B2M2Y8AsgTpgAmY7PhCfg==");
    let refused = put.body(ByteStream::from_static(b"not empty")).send().await.unwrap_err();
    assert_eq!(refused.code(), Some("BadDigest"), "{refused:?}");
    assert_eq!(get(&client, "bad").await, None);
}

#[tokio::test]
async fn wrong_credentials_and_keys_that_are_no_paths_are_refused() {
    let (store, good) = start(Data::Temporary).await;
    let refused = client(&store, "wrong").list_objects_v2().bucket(BUCKET).send().await.unwrap_err();
    assert_eq!(refused.code(), Some("SignatureDoesNotMatch"), "{refused:?}");
    for key in ["a//b", "a/../b"] {
        assert_eq!(put_new(&good, key, "").await, Err(Some("InvalidArgument".to_owned())), "{key}");
    }
    assert!(!format!("{store:?}").contains(store.secret_access_key.expose()), "Debug shows the secret");
    for name in ["", "ab", "a/b", "../x", "Upper"] {
        store.create_bucket(name).expect_err(name);
    }
}
