//! Requests and answers as they are on the wire.

use anyhow::{Context, bail, ensure};
use bytes::{Buf, BufMut, Bytes, BytesMut};
use kafka_protocol::messages::{ApiKey, RequestHeader, ResponseHeader};
use kafka_protocol::protocol::{Decodable, Encodable};
use tokio::io::{AsyncRead, AsyncReadExt};

use super::groups::Client;

/// Kafka's own limit.
const REQUEST_BYTES_MAX: usize = 100 << 20;

/// A connection that once had a large request does not keep the memory.
const KEPT_BYTES_MAX: usize = 2 << 20;

/// What comes before the request itself.
#[derive(Debug)]
pub(super) struct Call {
    pub(super) key: ApiKey,
    pub(super) version: i16,
    correlation_id: i32,
    pub(super) client: Client,
}

/// Reads the next request; nothing where the client has ended.
pub(super) async fn read_frame(
    stream: &mut (impl AsyncRead + Unpin),
    buffer: &mut BytesMut,
) -> anyhow::Result<Option<Bytes>> {
    let length = match stream.read_u32().await {
        Ok(length) => length as usize,
        Err(_) => return Ok(None),
    };
    ensure!(length <= REQUEST_BYTES_MAX, "a request of {length} bytes");
    if buffer.capacity() > KEPT_BYTES_MAX {
        *buffer = BytesMut::new();
    }
    buffer.reserve(length);
    let mut rest = stream.take(length as u64);
    while buffer.len() < length {
        ensure!(rest.read_buf(buffer).await? > 0, "a client ended in the middle of a request");
    }
    Ok(Some(buffer.split().freeze()))
}

impl Call {
    /// Reads the header, which leaves the request itself.
    pub(super) fn read(frame: &mut Bytes, host: &str) -> anyhow::Result<Self> {
        ensure!(frame.len() >= 4, "a request of {} bytes", frame.len());
        let (key, version) = ((&frame[..2]).get_i16(), (&frame[2..4]).get_i16());
        let Ok(key) = ApiKey::try_from(key) else { bail!("a request with the unknown key {key}") };
        let header = RequestHeader::decode(frame, key.request_header_version(version)).context("a request's header")?;
        let client = Client { id: header.client_id.unwrap_or_default(), host: host.to_owned().into() };
        Ok(Self { key, version, correlation_id: header.correlation_id, client })
    }

    pub(super) fn decode<Q: Decodable>(&self, mut body: Bytes) -> anyhow::Result<Q> {
        let Self { key, version, .. } = self;
        Q::decode(&mut body, *version).with_context(|| format!("a request {key:?} of version {version}"))
    }

    pub(super) fn encode<R: Encodable>(&self, response: &R) -> anyhow::Result<BytesMut> {
        self.encode_as(response, self.version)
    }

    /// An answer of another version than the request's.
    pub(super) fn encode_as<R: Encodable>(&self, response: &R, version: i16) -> anyhow::Result<BytesMut> {
        let header = ResponseHeader::default().with_correlation_id(self.correlation_id);
        let header_version = self.key.response_header_version(version);
        let length = header.compute_size(header_version)? + response.compute_size(version)?;
        let mut bytes = BytesMut::with_capacity(size_of::<i32>() + length);
        bytes.put_i32(i32::try_from(length)?);
        header.encode(&mut bytes, header_version)?;
        let written = response.encode(&mut bytes, version);
        written.with_context(|| format!("an answer to {:?} of version {version}", self.key))?;
        Ok(bytes)
    }
}
