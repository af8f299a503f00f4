use std::error::Error as StdError;

use aws_sdk_s3::config::http::HttpResponse;
use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};

/// Why the lake could not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is no object of this name.
    #[error("the lake has no object {key}")]
    NotFound {
        /// The object's name.
        key: String,
    },
    /// The store did not answer, or asked to come back later: the same call may succeed.
    #[error("{doing}: {why}; it may pass, try again")]
    Transient {
        /// What was asked.
        doing: String,
        /// The store's answer, or what stood in its way.
        why: String,
    },
    /// The store refused, and will refuse again until a person acts.
    #[error("{doing}: {why}; {advice}")]
    Permanent {
        /// What was asked.
        doing: String,
        /// The store's answer.
        why: String,
        /// What to do about it.
        advice: &'static str,
    },
}

impl Error {
    /// Whether the same call may succeed later.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        matches!(self, Self::Transient { .. })
    }

    pub(crate) fn malformed(doing: String, why: impl ToString) -> Self {
        Self::Permanent { doing, why: why.to_string(), advice: "look at the object, and at who wrote it" }
    }

    pub(crate) fn interrupted(doing: String, why: impl StdError) -> Self {
        Self::Transient { doing, why: chain(&why) }
    }

    /// What a failed request means.
    pub(crate) fn from_sdk<E>(doing: impl Into<String>, error: SdkError<E, HttpResponse>) -> Self
    where
        E: StdError + ProvideErrorMetadata + 'static,
    {
        let doing = doing.into();
        let Some(status) = error.raw_response().map(|response| response.status().as_u16()) else {
            return match error {
                SdkError::ConstructionFailure(_) => Self::Permanent {
                    doing,
                    why: chain(&error),
                    advice: "check LAKE_BUCKET, AWS_REGION and AWS_ENDPOINT_URL_S3",
                },
                _ => Self::Transient {
                    doing,
                    why: format!("{} (is AWS_ENDPOINT_URL_S3 or AWS_REGION right?)", chain(&error)),
                },
            };
        };
        let code = error.code().unwrap_or_default().to_owned();
        let why = match error.message() {
            Some(message) => format!("{code}: {message}"),
            None if code.is_empty() => format!("HTTP {status}"),
            None => code.clone(),
        };
        let advice = match (code.as_str(), status) {
            ("NoSuchBucket", _) => "run `trunkline init`, or check LAKE_BUCKET",
            ("RequestTimeTooSkewed", _) => "set this machine's clock",
            (_, 401 | 403) => "check the AWS_* credentials and what they may do with the bucket",
            (_, 301 | 307) => "check AWS_REGION: the bucket is in another region",
            // 408: the request's timeout; 409: a conflict with a concurrent request; 429: too many requests
            (_, 408 | 409 | 429 | 500..) => return Self::Transient { doing, why },
            _ => "the store refuses the request: see its answer",
        };
        Self::Permanent { doing, why, advice }
    }
}

/// An error with its causes, on one line.
fn chain(error: &dyn StdError) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let message = error.to_string();
        if !text.ends_with(&message) {
            text.push_str(": ");
            text.push_str(&message);
        }
        cause = error.source();
    }
    text
}
