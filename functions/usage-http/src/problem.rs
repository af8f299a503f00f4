//! The problems of this function; `http-api` has those of every function.

use http_api::{Problem, ProblemKind, RETRY_AFTER_SECONDS};

/// 403: the user may not see this subscriber, who may exist or not.
pub(crate) fn out_of_scope() -> Problem {
    let detail = "this MSISDN is outside your scope: ask for another, or have your scope widened";
    Problem::new(ProblemKind::OUT_OF_SCOPE, detail)
}

/// 403: a tower's traffic is everybody's, and the user may not see everybody's.
pub(crate) fn towers_out_of_scope() -> Problem {
    let detail = "a tower's traffic is everybody's: ask as a user whose scope is everybody (\"*\")";
    Problem::new(ProblemKind::OUT_OF_SCOPE, detail)
}

/// 503: the store or the users can't be read now.
pub(crate) fn unavailable(cause: anyhow::Error) -> Problem {
    let detail = format!("usage can't be read just now: try again in {RETRY_AFTER_SECONDS} seconds");
    Problem::unavailable("Usage can't be read just now", detail, cause)
}
