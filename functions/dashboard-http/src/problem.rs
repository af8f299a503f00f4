//! The problems of this function; `http-api` has those of every function.

use http_api::{Problem, ProblemKind, RETRY_AFTER_SECONDS};

/// 403: the dashboard shows everybody's usage.
pub(crate) fn out_of_scope() -> Problem {
    let detail = "the dashboard shows everybody's usage: ask as a user whose scope is everybody (\"*\")";
    Problem::new(ProblemKind::OUT_OF_SCOPE, detail)
}

/// 404: a file without anything to put into it.
pub(crate) fn empty_table() -> Problem {
    Problem::new(ProblemKind::NOT_FOUND, "this table has nothing to show: the dashboard says why")
}

/// 404: the place in the ranking is another subscriber's by now.
pub(crate) fn not_in_ranking() -> Problem {
    let detail = "the ranking has changed since: go back to the dashboard and follow the link again";
    Problem::new(ProblemKind::NOT_FOUND, detail)
}

/// 503: the warehouse or the users can't be read now.
pub(crate) fn unavailable(cause: anyhow::Error) -> Problem {
    let detail = format!("usage can't be read just now: try again in {RETRY_AFTER_SECONDS} seconds");
    Problem::unavailable("Usage can't be read just now", detail, cause)
}
