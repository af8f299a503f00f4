use russh_sftp::client::error::Error as SftpError;
use russh_sftp::protocol::StatusCode;

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
    /// Another key than the expected one: another server, or somebody in between. Nothing has been sent to it.
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
    /// The file became shorter while it was read: somebody is writing it.
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
        matches!(self, Self::Unreachable { .. } | Self::Lost { .. } | Self::Changed { .. })
    }

    /// What an error of the file protocol means.
    pub(crate) fn from_sftp(doing: impl Into<String>, path: &str, error: SftpError) -> Self {
        let doing = doing.into();
        match error {
            SftpError::Status(status) => match status.status_code {
                StatusCode::NoSuchFile => Self::NotFound { path: path.to_owned() },
                StatusCode::NoConnection | StatusCode::ConnectionLost => {
                    Self::Lost { doing, why: status.error_message }
                }
                code if status.error_message.is_empty() => Self::Refused { doing, why: code.to_string() },
                _ => Self::Refused { doing, why: status.error_message },
            },
            SftpError::Timeout => Self::Lost { doing, why: "no answer in time".to_owned() },
            SftpError::Limited(why) => Self::Refused { doing, why },
            SftpError::IO(why) | SftpError::UnexpectedBehavior(why) => Self::Lost { doing, why },
            SftpError::UnexpectedPacket => Self::Lost { doing, why: "an answer to another question".to_owned() },
        }
    }
}

fn hint(accepts: &[String]) -> String {
    if accepts.is_empty() { String::new() } else { format!(" (it would take: {})", accepts.join(", ")) }
}
