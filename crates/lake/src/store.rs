use std::collections::HashMap;
use std::time::{Duration, SystemTime};

use aws_sdk_s3::Client;
use aws_sdk_s3::config::http::HttpResponse;
use aws_sdk_s3::config::retry::RetryConfig;
use aws_sdk_s3::config::timeout::TimeoutConfig;
use aws_sdk_s3::config::{BehaviorVersion, Credentials, Region, StalledStreamProtectionConfig};
use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_s3::operation::get_object::GetObjectOutput;
use aws_sdk_s3::operation::list_objects_v2::ListObjectsV2Output;
use aws_sdk_s3::operation::list_objects_v2::builders::ListObjectsV2FluentBuilder;
use aws_sdk_s3::primitives::{ByteStream, DateTime};
use aws_sdk_s3::types::{BucketLocationConstraint, CreateBucketConfiguration};
use bytes::Bytes;
use futures::stream::{self, BoxStream};
use futures::{Stream, StreamExt, TryStreamExt};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::{Config, Error};

/// An unreachable store is noticed within this time.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// From the request's end to the answer's beginning. Completing a large upload takes seconds.
const READ_TIMEOUT: Duration = Duration::from_secs(30);
/// A transfer that does not move for this long has failed; an emulator on a busy laptop pauses for seconds.
const STALL_TIMEOUT: Duration = Duration::from_secs(20);
/// The first attempt and three more, with the SDK's backoff (under 10 s together): within a function's timeout.
const ATTEMPTS: u32 = 4;
/// Conditional puts that collide with one another are settled in one or two rounds.
const CONFLICT_ATTEMPTS: u32 = 5;
/// Long enough for the colliding request to end.
const CONFLICT_PAUSE: Duration = Duration::from_millis(50);
/// The lake's own JSON objects are under 1 KiB; more than this is not one of them.
const JSON_LIMIT_BYTES: u64 = 1 << 20;
/// A register has a kilobyte or two for each version: this is thousands of them.
const REGISTER_LIMIT_BYTES: u64 = 16 << 20;

/// A handle to the bucket; clones share its connections.
#[derive(Clone, Debug)]
pub struct Lake {
    pub(crate) client: Client,
    pub(crate) bucket: String,
    region: String,
}

/// Names and values kept with an object (lower-case ASCII names).
pub type Metadata<'a> = &'a [(&'a str, &'a str)];

/// The outcome of a conditional put.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Put {
    /// The object is new.
    Created,
    /// The name was taken; what lies there was left as it is.
    Exists,
}

/// What an object's content was when it was read; [`Lake::replace`] compares it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tag(String);

impl Tag {
    /// A tag of a store that stands in for the lake.
    #[must_use]
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }
}

/// The outcome of a compare-and-swap.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Swap {
    /// The object is the new one.
    Swapped,
    /// It has changed since it was read: read it again.
    Lost,
}

/// What is known about an object without reading it.
#[derive(Clone, Debug)]
pub struct Head {
    /// The object's length.
    pub bytes: u64,
    /// When it was put, by the store's clock.
    pub last_modified: SystemTime,
    /// Its metadata.
    pub metadata: HashMap<String, String>,
}

/// An entry of a listing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// The object's name.
    pub key: String,
    /// Its length.
    pub bytes: u64,
}

/// An object that is being read; memory is bounded whatever its length.
#[derive(Debug)]
pub struct Object {
    /// The length of what is being read.
    pub bytes: u64,
    /// The object's metadata.
    pub metadata: HashMap<String, String>,
    key: String,
    tag: String,
    body: ByteStream,
}

impl Object {
    /// The bytes as they arrive.
    pub fn into_stream(self) -> BoxStream<'static, Result<Bytes, Error>> {
        let Self { key, body, .. } = self;
        stream::try_unfold((body, key), |(mut body, key)| async move {
            match body.try_next().await {
                Ok(Some(bytes)) => Ok(Some((bytes, (body, key)))),
                Ok(None) => Ok(None),
                Err(error) => Err(Error::interrupted(format!("reading {key}"), error)),
            }
        })
        .boxed()
    }

    /// All bytes, where the object is known to be small.
    ///
    /// # Errors
    /// When the connection breaks.
    pub async fn into_bytes(self) -> Result<Bytes, Error> {
        let Self { key, body, .. } = self;
        let body = body.collect().await.map_err(|error| Error::interrupted(format!("reading {key}"), error))?;
        Ok(body.into_bytes())
    }
}

impl Lake {
    /// A handle; nothing is asked of the store yet.
    #[must_use]
    pub fn connect(config: &Config) -> Self {
        let credentials = Credentials::new(
            &config.access_key_id,
            &config.secret_access_key,
            config.session_token.clone(),
            None,
            "environment",
        );
        let mut sdk = aws_sdk_s3::Config::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(Region::new(config.region.clone()))
            .credentials_provider(credentials)
            .timeout_config(
                TimeoutConfig::builder().connect_timeout(CONNECT_TIMEOUT).read_timeout(READ_TIMEOUT).build(),
            )
            .retry_config(RetryConfig::standard().with_max_attempts(ATTEMPTS))
            .stalled_stream_protection(StalledStreamProtectionConfig::enabled().grace_period(STALL_TIMEOUT).build());
        if let Some(endpoint) = &config.endpoint {
            // Names as hosts need DNS that only AWS has.
            sdk = sdk.endpoint_url(endpoint).force_path_style(true);
        }
        Self { client: Client::from_conf(sdk.build()), bucket: config.bucket.clone(), region: config.region.clone() }
    }

    /// Creates the bucket where it is missing.
    ///
    /// # Errors
    /// When the store can't be reached or refuses, also because the name is somebody else's.
    pub async fn ensure_bucket(&self) -> Result<(), Error> {
        let doing = || format!("creating the bucket {}", self.bucket);
        match self.client.head_bucket().bucket(&self.bucket).send().await {
            Ok(_) => return Ok(()),
            Err(error) if error.raw_response().is_some_and(|answer| answer.status().as_u16() == 404) => {}
            Err(error) => return Err(Error::from_sdk(doing(), error)),
        }
        // us-east-1 is the one region that may not be named.
        let place = (self.region != "us-east-1").then(|| {
            CreateBucketConfiguration::builder()
                .location_constraint(BucketLocationConstraint::from(self.region.as_str()))
                .build()
        });
        let create = self.client.create_bucket().bucket(&self.bucket).set_create_bucket_configuration(place);
        match create.send().await {
            Ok(_) => Ok(()),
            Err(error) if error.code() == Some("BucketAlreadyOwnedByYou") => Ok(()),
            Err(error) => Err(Error::from_sdk(doing(), error)),
        }
    }

    /// Puts an object unless the name is taken. Concurrent puts of one name have one winner.
    ///
    /// An attempt whose answer was lost is repeated, and then finds its own object: [`Put::Exists`] says only that the
    /// object is there.
    ///
    /// # Errors
    /// When the store can't be reached or refuses.
    pub async fn put_if_absent(&self, key: &str, bytes: Bytes, metadata: Metadata<'_>) -> Result<Put, Error> {
        settle(|| {
            self.client
                .put_object()
                .bucket(&self.bucket)
                .key(key)
                .if_none_match("*")
                .set_metadata(Some(owned(metadata)))
                .body(ByteStream::from(bytes.clone()))
                .send()
        })
        .await
        .map_err(|error| Error::from_sdk(format!("putting {key}"), error))
    }

    /// Puts an object if it is unchanged since it was read, or if it still does not exist. Of concurrent calls, one
    /// wins.
    ///
    /// An attempt whose answer was lost is repeated, and then finds its own object: [`Swap::Lost`] says only that the
    /// object is not what was read.
    ///
    /// # Errors
    /// When the store can't be reached or refuses.
    pub async fn replace(&self, key: &str, read: Option<&Tag>, bytes: Bytes) -> Result<Swap, Error> {
        let Some(Tag(tag)) = read else {
            return Ok(match self.put_if_absent(key, bytes, &[]).await? {
                Put::Created => Swap::Swapped,
                Put::Exists => Swap::Lost,
            });
        };
        let put = || {
            let put = self.client.put_object().bucket(&self.bucket).key(key).if_match(tag);
            put.body(ByteStream::from(bytes.clone())).send()
        };
        match settle(put).await {
            Ok(Put::Created) => Ok(Swap::Swapped),
            Ok(Put::Exists) => Ok(Swap::Lost),
            // It has been removed since.
            Err(error) if error.code() == Some("NoSuchKey") => Ok(Swap::Lost),
            Err(error) => Err(Error::from_sdk(format!("replacing {key}"), error)),
        }
    }

    /// Reads a small object with the tag of its content; `None` where there is no such object.
    ///
    /// # Errors
    /// When the store can't be reached or refuses, and when the object is too large to be read at once.
    pub async fn get_tagged(&self, key: &str) -> Result<Option<(Bytes, Tag)>, Error> {
        let object = match self.get_stream(key).await {
            Ok(object) => object,
            Err(Error::NotFound { .. }) => return Ok(None),
            Err(error) => return Err(error),
        };
        if object.bytes > REGISTER_LIMIT_BYTES {
            let why = format!("{} bytes are too many for this object", object.bytes);
            return Err(Error::malformed(format!("reading {key}"), why));
        }
        let tag = Tag(object.tag.clone());
        Ok(Some((object.into_bytes().await?, tag)))
    }

    /// Puts an object, and overwrites an existing one: for content that is always the same.
    ///
    /// # Errors
    /// When the store can't be reached or refuses.
    pub async fn put(&self, key: &str, bytes: Bytes) -> Result<(), Error> {
        let put = self.client.put_object().bucket(&self.bucket).key(key).body(ByteStream::from(bytes));
        put.send().await.map(drop).map_err(|error| Error::from_sdk(format!("putting {key}"), error))
    }

    /// Puts an object, over what the name holds already.
    ///
    /// # Errors
    /// When the store can't be reached or refuses.
    pub async fn put_json<T: Serialize>(&self, key: &str, value: &T) -> Result<(), Error> {
        let put = self.client.put_object().bucket(&self.bucket).key(key).content_type("application/json");
        put.body(ByteStream::from(json(key, value)?))
            .send()
            .await
            .map(drop)
            .map_err(|error| Error::from_sdk(format!("putting {key}"), error))
    }

    /// [`Lake::put_if_absent`] with a value's JSON.
    ///
    /// # Errors
    /// When the store can't be reached or refuses.
    pub async fn put_json_if_absent<T: Serialize>(&self, key: &str, value: &T) -> Result<Put, Error> {
        self.put_if_absent(key, json(key, value)?.into(), &[]).await
    }

    /// Reads an object's JSON; `None` where there is no such object.
    ///
    /// # Errors
    /// When the store can't be reached or refuses, and when the object is not a `T`.
    pub async fn get_json<T: DeserializeOwned>(&self, key: &str) -> Result<Option<T>, Error> {
        let object = match self.get_stream(key).await {
            Ok(object) => object,
            Err(Error::NotFound { .. }) => return Ok(None),
            Err(error) => return Err(error),
        };
        let doing = || format!("reading {key}");
        if object.bytes > JSON_LIMIT_BYTES {
            return Err(Error::malformed(doing(), format!("{} bytes are too many for this object", object.bytes)));
        }
        serde_json::from_slice(&object.into_bytes().await?).map(Some).map_err(|error| Error::malformed(doing(), error))
    }

    /// Begins to read an object.
    ///
    /// # Errors
    /// [`Error::NotFound`], and when the store can't be reached or refuses.
    pub async fn get_stream(&self, key: &str) -> Result<Object, Error> {
        match self.client.get_object().bucket(&self.bucket).key(key).send().await {
            Ok(GetObjectOutput { content_length, metadata, e_tag, body, .. }) => Ok(Object {
                bytes: length(content_length),
                metadata: metadata.unwrap_or_default(),
                key: key.to_owned(),
                tag: e_tag.unwrap_or_default(),
                body,
            }),
            Err(error) if error.code() == Some("NoSuchKey") => Err(Error::NotFound { key: key.to_owned() }),
            Err(error) => Err(Error::from_sdk(format!("reading {key}"), error)),
        }
    }

    /// An object's attributes; `None` if it does not exist.
    ///
    /// # Errors
    /// When the store can't be reached or refuses.
    pub async fn head(&self, key: &str) -> Result<Option<Head>, Error> {
        match self.client.head_object().bucket(&self.bucket).key(key).send().await {
            Ok(head) => Ok(Some(Head {
                bytes: length(head.content_length),
                last_modified: moment(head.last_modified),
                metadata: head.metadata.unwrap_or_default(),
            })),
            // A HEAD's answer has no body, so a missing bucket looks the same.
            Err(error) if error.raw_response().is_some_and(|answer| answer.status().as_u16() == 404) => Ok(None),
            Err(error) => Err(Error::from_sdk(format!("looking at {key}"), error)),
        }
    }

    /// Removes an object, where there is one. Only for notes: what has landed stays.
    ///
    /// # Errors
    /// When the store can't be reached or refuses.
    pub async fn delete(&self, key: &str) -> Result<(), Error> {
        match self.client.delete_object().bucket(&self.bucket).key(key).send().await {
            Ok(_) => Ok(()),
            Err(error) => Err(Error::from_sdk(format!("removing {key}"), error)),
        }
    }

    /// The objects whose names begin with `prefix`, in the names' byte order, a page at a time.
    pub fn list(&self, prefix: &str) -> BoxStream<'static, Result<Listed, Error>> {
        self.list_after(prefix, None)
    }

    /// The folders directly below `prefix`, each as the beginning of its objects' names, with the `/` behind it.
    pub fn folders(&self, prefix: &str) -> BoxStream<'static, Result<String, Error>> {
        let request = self.client.list_objects_v2().bucket(&self.bucket).prefix(prefix).delimiter("/");
        let folders = |page: ListObjectsV2Output| {
            let folders = page.common_prefixes.unwrap_or_default().into_iter();
            stream::iter(folders.filter_map(|folder| folder.prefix.map(Ok)))
        };
        pages(request, prefix).map_ok(folders).try_flatten().boxed()
    }

    /// [`Lake::list`], beginning behind the name `after`.
    pub fn list_after(&self, prefix: &str, after: Option<&str>) -> BoxStream<'static, Result<Listed, Error>> {
        let request = self.client.list_objects_v2().bucket(&self.bucket).prefix(prefix);
        let objects = |page: ListObjectsV2Output| {
            let objects = page.contents.unwrap_or_default().into_iter();
            stream::iter(objects.filter_map(|object| Some(Ok(Listed { key: object.key?, bytes: length(object.size) }))))
        };
        pages(request.set_start_after(after.map(str::to_owned)), prefix).map_ok(objects).try_flatten().boxed()
    }
}

/// A listing, a page after the other.
fn pages(
    request: ListObjectsV2FluentBuilder,
    prefix: &str,
) -> impl Stream<Item = Result<ListObjectsV2Output, Error>> + Send + use<> {
    let doing = format!("listing {prefix}");
    stream::try_unfold((request.into_paginator().send(), doing), |(mut pages, doing)| async move {
        match pages.next().await {
            Some(Ok(page)) => Ok(Some((page, (pages, doing)))),
            Some(Err(error)) => Err(Error::from_sdk(doing, error)),
            None => Ok(None),
        }
    })
}

/// Sends a conditional request until its condition is decided.
pub(crate) async fn settle<T, E, F>(request: impl Fn() -> F) -> Result<Put, SdkError<E, HttpResponse>>
where
    F: Future<Output = Result<T, SdkError<E, HttpResponse>>>,
{
    let mut attempt = 1;
    loop {
        let error = match request().await {
            Ok(_) => return Ok(Put::Created),
            Err(error) => error,
        };
        match error.raw_response().map(|answer| answer.status().as_u16()) {
            Some(412) => return Ok(Put::Exists),
            Some(409) if attempt < CONFLICT_ATTEMPTS => tokio::time::sleep(CONFLICT_PAUSE * attempt).await,
            _ => return Err(error),
        }
        attempt += 1;
    }
}

pub(crate) fn owned(metadata: Metadata<'_>) -> HashMap<String, String> {
    metadata.iter().map(|&(name, value)| (name.to_owned(), value.to_owned())).collect()
}

fn json<T: Serialize>(key: &str, value: &T) -> Result<Vec<u8>, Error> {
    serde_json::to_vec(value).map_err(|error| Error::malformed(format!("putting {key}"), error))
}

/// The SDK's lengths are signed; the store's are not.
fn length(bytes: Option<i64>) -> u64 {
    bytes.and_then(|bytes| u64::try_from(bytes).ok()).unwrap_or_default()
}

fn moment(time: Option<DateTime>) -> SystemTime {
    time.and_then(|time| time.try_into().ok()).unwrap_or(SystemTime::UNIX_EPOCH)
}
