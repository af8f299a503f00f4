//! The meaning of status codes. Version 3 has nine of them, but servers also send those of later versions, and their
//! own.

use crate::wire::{Mode, Request, Status};

const OK: u32 = 0;
const END: u32 = 1;
const NO_SUCH_FILE: u32 = 2;
const FAILURE: u32 = 4;
const NO_CONNECTION: u32 = 6;
const CONNECTION_LOST: u32 = 7;
const NO_SUCH_PATH: u32 = 10;
const NO_SPACE: u32 = 14;

/// The name of each number in later versions of the protocol (draft-ietf-secsh-filexfer-13).
const NAMES: [&str; 32] = [
    "done",
    "end of file",
    "no such file",
    "permission denied",
    "failure",
    "bad message",
    "no connection",
    "connection lost",
    "operation unsupported",
    "invalid handle",
    "no such path",
    "file already exists",
    "write protected",
    "no media",
    "no space on the file system",
    "quota exceeded",
    "unknown principal",
    "lock conflict",
    "folder not empty",
    "not a folder",
    "invalid file name",
    "link loop",
    "cannot delete",
    "invalid parameter",
    "file is a folder",
    "byte range lock conflict",
    "byte range lock refused",
    "delete pending",
    "file corrupt",
    "owner invalid",
    "group invalid",
    "no matching byte range lock",
];

impl Status {
    pub(crate) fn is_ok(&self) -> bool {
        self.code == OK
    }

    pub(crate) fn is_end(&self) -> bool {
        self.code == END
    }

    pub(crate) fn is_not_found(&self) -> bool {
        matches!(self.code, NO_SUCH_FILE | NO_SUCH_PATH)
    }

    pub(crate) fn is_lost(&self) -> bool {
        matches!(self.code, NO_CONNECTION | CONNECTION_LOST)
    }

    /// The refusal that says nothing else: also of a full disk.
    pub(crate) fn is_failure(&self) -> bool {
        self.code == FAILURE
    }

    /// Whether the server opens nothing because too much is open. There is no number for it: some say it in words, and
    /// Apache MINA says that there is no space, which nothing needs that is only read.
    pub(crate) fn says_too_many_are_open(&self, opens: Request<'_>) -> bool {
        let text = self.text.to_ascii_lowercase();
        let is_written = matches!(opens, Request::Open { mode: Mode::Replace, .. });
        self.code == NO_SPACE && !is_written
            || text.contains("too many") && ["open", "handle", "file"].iter().any(|word| text.contains(word))
    }

    /// The server's words, or at least the number's meaning.
    pub(crate) fn why(&self) -> String {
        if !self.text.is_empty() {
            return self.text.clone();
        }
        let name = usize::try_from(self.code).ok().and_then(|code| NAMES.get(code));
        name.map_or_else(|| format!("status {}", self.code), |name| (*name).to_owned())
    }
}
