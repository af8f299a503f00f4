//! Why a file is not brought to its end now.

/// Why a file is not in the lake, not wholly known, or not decided.
#[derive(Debug)]
pub(crate) enum Miss {
    /// It changed, or went away, while it was copied; or something that it waits for is not there yet.
    Unsettled,
    /// Nothing of it is whole: its last line is unfinished, and was written to not long ago.
    UnfinishedLine,
    /// It has not only grown: the bytes that were taken are others by now.
    Rewritten,
    /// The time is up.
    Deferred,
    /// This file can't be had.
    File(anyhow::Error),
    /// No file can be had.
    Service(anyhow::Error),
}

impl From<lake::Error> for Miss {
    fn from(error: lake::Error) -> Self {
        Self::Service(error.into())
    }
}

impl From<sftp::Error> for Miss {
    fn from(error: sftp::Error) -> Self {
        match error {
            sftp::Error::Changed { .. } | sftp::Error::NotFound { .. } => Self::Unsettled,
            sftp::Error::Refused { .. } => Self::File(error.into()),
            error => Self::Service(error.into()),
        }
    }
}
