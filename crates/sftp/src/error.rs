use crate::session::Trouble;
use crate::wire::{LONGEST_ANSWER_BYTES, TooLong};

/// Why the server could not be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Nobody answers at the address, or not in time.
    #[error("the SFTP server can't be reached at {address}: {why}; check SFTP_HOST and SFTP_PORT, or wait for it")]
    Unreachable {
        /// Host and port.
        address: String,
        /// What stood in the way.
        why: String,
    },
    /// A key that was not expected: another server, or an attacker in between. Nothing has been sent to it.
    #[error(
        "the SFTP server's host key is {found}, but SFTP_HOST_KEY says {expected}: ask its operator which one is right, \
         and set SFTP_HOST_KEY only then"
    )]
    HostKey {
        /// The pinned key's fingerprint.
        expected: String,
        /// The fingerprint of the key that the server showed.
        found: String,
    },
    /// The server does not let this user in.
    #[error(
        "the SFTP server refuses the user {user}: check SFTP_USER and SFTP_PASSWORD or SFTP_PRIVATE_KEY{}",
        hint(.accepts)
    )]
    Credentials {
        /// `SFTP_USER`.
        user: String,
        /// Other methods that the server would take.
        accepts: Vec<String>,
    },
    /// The server hung up before it said whether this user may come in, or before there was a session.
    #[error(
        "the SFTP server ended the login of the user {user} ({why}): it may have too many sessions, or be about to \
         restart; nothing is wrong with the credentials as far as it said, and a later try may succeed"
    )]
    LoginEnded {
        /// `SFTP_USER`.
        user: String,
        /// What it said, or what was seen of it.
        why: String,
    },
    /// The connection broke, or an answer did not come in time.
    #[error("the connection to the SFTP server was lost while {doing}: {why}")]
    Lost {
        /// What was asked.
        doing: String,
        /// What stood in the way.
        why: String,
    },
    /// There is no such file or folder.
    #[error("the SFTP server has no {path}")]
    NotFound {
        /// The path that was asked for.
        path: String,
    },
    /// The server's refusal.
    #[error("the SFTP server refuses {doing}: {why}")]
    Refused {
        /// What was asked.
        doing: String,
        /// The server's answer.
        why: String,
    },
    /// The server allows no more open files, although this client has none open: others have. (Where this client has
    /// some open, it waits for one of them to be closed.)
    #[error(
        "the SFTP server refuses {doing}: {why}; other clients have too many files open there: a later try may \
         succeed, or raise the server's limit"
    )]
    TooManyHandles {
        /// What was asked.
        doing: String,
        /// The server's answer.
        why: String,
    },
    /// The server lists a whole folder in one answer, and this one is longer than is taken.
    #[error(
        "the SFTP server lists {path} in one answer of {} MiB ({names} names); {} MiB is taken, which is about {} names: \
         move files that were collected to another folder",
        .bytes >> 20, LONGEST_ANSWER_BYTES >> 20, fitting(*.bytes, *.names)
    )]
    FolderTooLarge {
        /// The folder.
        path: String,
        /// The answer's length.
        bytes: usize,
        /// How many names it has.
        names: u32,
    },
    /// The file became shorter while it was read: another program is writing it.
    #[error("{path} became shorter while it was read")]
    Changed {
        /// The file.
        path: String,
    },
    /// What was to be written can't be read.
    #[error("reading what is to be written: {0}")]
    Source(std::io::Error),
}

impl Error {
    /// Whether the same call may succeed later without anybody's help.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        matches!(
            self,
            Self::Unreachable { .. }
                | Self::LoginEnded { .. }
                | Self::Lost { .. }
                | Self::TooManyHandles { .. }
                | Self::Changed { .. }
        )
    }

    /// What came of a request for something at `path`.
    pub(crate) fn from_trouble(doing: impl Into<String>, path: &str, trouble: Trouble) -> Self {
        let (doing, path) = (doing.into(), path.to_owned());
        match trouble {
            Trouble::Refused(status) if status.is_not_found() => Self::NotFound { path },
            Trouble::Refused(status) if status.is_lost() => Self::Lost { doing, why: status.why() },
            Trouble::Refused(status) => Self::Refused { doing, why: status.why() },
            Trouble::TooManyOpen(status) => Self::TooManyHandles { doing, why: status.why() },
            Trouble::Lost(why) => Self::Lost { doing, why },
            Trouble::TooLong(TooLong { bytes, names }) => Self::FolderTooLarge { path, bytes, names },
        }
    }
}

fn hint(accepts: &[String]) -> String {
    if accepts.is_empty() { String::new() } else { format!(" (it would take: {})", accepts.join(", ")) }
}

/// About how many names of this length are taken.
fn fitting(bytes: usize, names: u32) -> usize {
    LONGEST_ANSWER_BYTES / (bytes / (names.max(1) as usize)).max(1)
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::*;

    #[test]
    fn a_folder_that_is_too_large_says_how_many_names_fit() {
        let answer = TooLong { bytes: 24 << 20, names: 150_000 };
        let error = Error::from_trouble("listing /upload", "/upload", Trouble::TooLong(answer));
        assert!(!error.is_transient());
        expect!["the SFTP server lists /upload in one answer of 24 MiB (150000 names); 16 MiB is taken, which is about 100462 names: move files that were collected to another folder"].assert_eq(&error.to_string());
    }
}
