use http_api::auth::Denied;
use http_api::{ProblemKind, Response};

use crate::{MAX_BODY_BYTES, MAX_ITEMS, Outcome};

/// Why no message of a request is accepted; each becomes an `application/problem+json` (RFC 9457).
#[derive(Debug, thiserror::Error)]
pub enum Problem {
    /// 400: the body has not one of the forms.
    #[error("the body is neither a JSON object, nor an array of them, nor one a line: see line {line} column {column}")]
    Malformed {
        /// From 1.
        line: usize,
        /// From 1.
        column: usize,
    },
    /// 400: the body holds nothing.
    #[error("there is no message in the body: send at least one")]
    NoItems,
    /// 400: each item has its own fault.
    #[error("none of the {} items can be used: items says why", .0.items.len())]
    NothingAccepted(Outcome),
    /// 401: no credentials, or wrong ones; which of them is not said.
    #[error("send the name and password of an API user by HTTP basic authentication")]
    Unauthorized,
    /// 403: the user may not post.
    #[error("this user may only read: send as a user with \"may_post\"")]
    MayNotPost,
    /// 404: no such path.
    #[error("there is nothing here: see docs/api.md for the paths")]
    NotFound,
    /// 405: the path is for posting.
    #[error("messages can only be sent: use POST")]
    MethodNotAllowed,
    /// 413: too many bytes.
    #[error("the body has {bytes} bytes and at most {MAX_BODY_BYTES} are taken: send it in parts")]
    BodyTooLarge {
        /// How many.
        bytes: usize,
    },
    /// 413: too many items.
    #[error("the body has {count} messages and at most {MAX_ITEMS} are taken: send them in parts")]
    TooManyItems {
        /// How many.
        count: usize,
    },
    /// 415: the body is said to be something else.
    #[error("send JSON as application/json, or an object a line as application/x-ndjson")]
    UnsupportedMediaType,
    /// 429: too many wrong credentials of this name, or from this address.
    #[error("there were too many wrong names or passwords: try again in {retry_after_seconds} seconds")]
    TooManyAttempts {
        /// Until the next one is looked at.
        retry_after_seconds: u64,
    },
    /// 503: Kafka or the users can't be used now; the source is for the log. Messages may have arrived all the same.
    #[error(
        "messages can't be taken just now: send all of them again in {RETRY_AFTER_SECONDS} seconds; those that did arrive \
         are known by their message_id"
    )]
    Unavailable(#[source] anyhow::Error),
}

/// When a client may try again after a 503: a lost broker has a successor by then.
const RETRY_AFTER_SECONDS: u32 = 5;

impl Problem {
    pub(crate) fn malformed(error: &serde_json::Error) -> Self {
        Self::Malformed { line: error.line(), column: error.column() }
    }

    /// The HTTP status.
    #[must_use]
    pub fn status(&self) -> u16 {
        self.kind().status
    }

    /// The last part of the type's URN, which never changes.
    #[must_use]
    pub fn name(&self) -> &'static str {
        self.kind().name
    }

    fn kind(&self) -> ProblemKind {
        match self {
            Self::Malformed { .. } | Self::NoItems => ProblemKind::new(400, "malformed-body", "The body can't be read"),
            Self::NothingAccepted(_) => ProblemKind::new(400, "no-usable-message", "No message can be used"),
            Self::Unauthorized => ProblemKind::UNAUTHORIZED,
            Self::MayNotPost => ProblemKind::OUT_OF_SCOPE,
            Self::NotFound => ProblemKind::NOT_FOUND,
            Self::MethodNotAllowed => ProblemKind::METHOD_NOT_ALLOWED,
            Self::BodyTooLarge { .. } | Self::TooManyItems { .. } => {
                ProblemKind::new(413, "too-large", "The request is too large")
            }
            Self::UnsupportedMediaType => {
                ProblemKind::new(415, "unsupported-media-type", "The body has an unknown media type")
            }
            Self::TooManyAttempts { .. } => ProblemKind::TOO_MANY_ATTEMPTS,
            Self::Unavailable(_) => ProblemKind::new(503, "unavailable", "Messages can't be taken just now"),
        }
    }

    /// The problem as an answer.
    ///
    /// # Errors
    /// Never in practice: strings and numbers always have a JSON form.
    pub fn response(&self) -> serde_json::Result<Response> {
        let detail = self.to_string();
        let mut response = match self {
            Self::NothingAccepted(outcome) => self.kind().response(&detail, outcome)?,
            _ => self.kind().response(&detail, &())?,
        };
        let header = match self {
            Self::MethodNotAllowed => Some(("allow", "POST".into())),
            Self::UnsupportedMediaType => Some(("accept-post", "application/json, application/x-ndjson".into())),
            Self::TooManyAttempts { retry_after_seconds } => {
                Some(("retry-after", retry_after_seconds.to_string().into()))
            }
            Self::Unavailable(_) => Some(("retry-after", RETRY_AFTER_SECONDS.to_string().into())),
            _ => None,
        };
        response.headers.extend(header);
        Ok(response)
    }
}

impl From<Denied> for Problem {
    fn from(denied: Denied) -> Self {
        match denied {
            Denied::Wrong => Self::Unauthorized,
            Denied::TooMany { retry_after_seconds } => Self::TooManyAttempts { retry_after_seconds },
        }
    }
}
