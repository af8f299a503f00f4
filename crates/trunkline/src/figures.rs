//! What the demo finds out, its report tells and `verify` judges.

use serde::Serialize;

/// Where the API answers, and to whom.
#[derive(Clone, Serialize)]
pub(crate) struct Api {
    pub(crate) url: String,
    pub(crate) user: String,
    pub(crate) password: String,
}

/// One delivered file. `rows = accepted + rejected` by `file-to-topic`; `accepted = counted + duplicates` by the store.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct FileFigures {
    pub(crate) name: String,
    pub(crate) rows: u64,
    pub(crate) accepted: u64,
    pub(crate) rejected: u64,
    pub(crate) duplicates: u64,
    #[serde(skip)]
    pub(crate) counted: u64,
}
