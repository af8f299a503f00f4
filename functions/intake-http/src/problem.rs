//! The problems of this function; `http-api` has those of every function.

use http_api::{ProblemKind, RETRY_AFTER_SECONDS};
use lambda_http::http::StatusCode;
use lambda_http::http::header::HeaderName;

use crate::outcome::Outcome;

/// Why no message of a request is accepted. Where each item has its own fault, the outcome says which.
pub type Problem = http_api::Problem<Outcome>;

const MALFORMED: ProblemKind = ProblemKind::new(StatusCode::BAD_REQUEST, "malformed-body", "The body can't be read");

/// 400: the body has not one of the forms.
pub(crate) fn malformed(error: &serde_json::Error) -> Problem {
    let (line, column) = (error.line(), error.column());
    let detail = format!(
        "the body is neither a JSON object, nor an array of them, nor one a line: see line {line} column {column}"
    );
    Problem::new(MALFORMED, detail)
}

/// 400: the body holds nothing.
pub(crate) fn no_items() -> Problem {
    Problem::new(MALFORMED, "there is no message in the body: send at least one")
}

/// 400: each item has its own fault.
pub(crate) fn nothing_accepted(outcome: Outcome) -> Problem {
    let kind = ProblemKind::new(StatusCode::BAD_REQUEST, "no-usable-message", "No message can be used");
    let detail = format!("none of the {} items can be used: items says why", outcome.items.len());
    Problem::new(kind, detail).with_members(outcome)
}

/// 403: the user may not post.
pub(crate) fn may_not_post() -> Problem {
    Problem::new(ProblemKind::OUT_OF_SCOPE, "this user may only read: send as a user with \"may_post\"")
}

/// 405: the path is for posting.
pub(crate) fn only_for_posting() -> Problem {
    Problem::method_not_allowed("POST", "messages can only be sent: use POST")
}

/// 413: too many bytes or items.
pub(crate) fn too_large(detail: String) -> Problem {
    Problem::new(ProblemKind::new(StatusCode::PAYLOAD_TOO_LARGE, "too-large", "The request is too large"), detail)
}

/// 415: the body is said to be something else.
pub(crate) fn unsupported_media_type() -> Problem {
    let kind = ProblemKind::new(
        StatusCode::UNSUPPORTED_MEDIA_TYPE,
        "unsupported-media-type",
        "The body has an unknown media type",
    );
    let detail = "send JSON as application/json, or an object a line as application/x-ndjson";
    Problem::new(kind, detail)
        .with_header(HeaderName::from_static("accept-post"), "application/json, application/x-ndjson")
}

/// 503: Kafka or the users can't be used now. Messages may have arrived all the same.
pub(crate) fn unavailable(cause: anyhow::Error) -> Problem {
    let detail = format!(
        "messages can't be taken just now: send all of them again in {RETRY_AFTER_SECONDS} seconds; those that did \
         arrive are known by their message_id"
    );
    Problem::unavailable("Messages can't be taken just now", detail, cause)
}
