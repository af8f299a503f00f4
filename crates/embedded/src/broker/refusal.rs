//! Why a request, or a part of it, is refused: an error code of Kafka's, and words for people.

use kafka_protocol::ResponseError;
use kafka_protocol::protocol::StrBytes;

#[derive(Debug)]
pub(super) struct Refusal {
    pub(super) error: ResponseError,
    message: Option<String>,
}

pub(super) type Answer<T> = Result<T, Refusal>;

impl Refusal {
    pub(super) fn new(error: ResponseError, message: impl Into<String>) -> Self {
        Self { error, message: Some(message.into()) }
    }

    /// Its message, or else the error's name.
    pub(super) fn words(&self) -> StrBytes {
        self.message().unwrap_or_else(|| self.error.to_string().into())
    }

    pub(super) fn message(&self) -> Option<StrBytes> {
        self.message.clone().map(StrBytes::from_string)
    }
}

impl From<ResponseError> for Refusal {
    fn from(error: ResponseError) -> Self {
        Self { error, message: None }
    }
}

/// The disk is full or broken: the client may try again.
impl From<std::io::Error> for Refusal {
    fn from(error: std::io::Error) -> Self {
        tracing::error!(%error, "the Kafka broker can't use its files");
        Self::new(ResponseError::KafkaStorageError, error.to_string())
    }
}

/// The code of an outcome; 0 is success.
pub(super) fn code<T>(outcome: &Answer<T>) -> i16 {
    outcome.as_ref().err().map_or(0, |refusal| refusal.error.code())
}
