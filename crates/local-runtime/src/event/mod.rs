//! The events that a function receives, as the service writes them.

pub mod http;
pub mod kafka;
pub mod schedule;

use std::path::Path;

/// The function that an event file belongs to: `events/<function>/<case>.json` names it by its folder.
#[must_use]
pub fn function_of(file: &Path) -> Option<&str> {
    file.parent()?.file_name()?.to_str()
}

/// Where everything here says that it is.
pub(crate) const REGION: &str = "us-east-1";
pub(crate) const ACCOUNT: &str = "000000000000";
