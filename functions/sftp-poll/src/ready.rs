//! How it is told that a file on the server is whole, and what becomes of it there once it is announced.

use serde::Deserialize;
use telecom::FileName;

/// When a file is whole (`SFTP_READY`).
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub enum Ready {
    /// `settle`: when nobody has written to it for a while.
    #[default]
    Settle,
    /// `rename`: as soon as it has its name. The sender writes it under another one.
    Rename,
    /// `marker:.done`: when the sender has written a file of the same name with this ending.
    Marker(String),
}

/// What becomes of a file on the server when all of it has landed and is announced (`SFTP_AFTER`).
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub enum After {
    /// `keep`: it stays.
    #[default]
    Keep,
    /// `delete`: it is removed.
    Delete,
    /// `move:FOLDER`: it is moved there.
    Move(String),
}

impl Ready {
    /// The file that something of this name marks as whole.
    pub(crate) fn marked(&self, name: &str) -> Option<FileName> {
        let Self::Marker(ending) = self else { return None };
        FileName::parse(name.strip_suffix(ending.as_str())?).ok()
    }
}

impl TryFrom<String> for Ready {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        match text.split_once(':') {
            None if text == "settle" => Ok(Self::Settle),
            None if text == "rename" => Ok(Self::Rename),
            Some(("marker", ending)) if is_ending(ending) => Ok(Self::Marker(ending.to_owned())),
            _ => {
                Err(format!("{text:?} is none of settle, rename and marker:.done (any ending that begins with a dot)"))
            }
        }
    }
}

/// One that makes a name of its own out of a file's, and is not what senders call unfinished files.
fn is_ending(text: &str) -> bool {
    text.len() > 1 && text.starts_with('.') && !text.contains('/') && ![".gz", ".zst", ".tmp", ".part"].contains(&text)
}

impl TryFrom<String> for After {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        match text.split_once(':') {
            None if text == "keep" => Ok(Self::Keep),
            None if text == "delete" => Ok(Self::Delete),
            Some(("move", folder)) if !folder.is_empty() => Ok(Self::Move(folder.to_owned())),
            _ => Err(format!("{text:?} is none of keep, delete and move:FOLDER")),
        }
    }
}

#[cfg(test)]
mod tests {
    use expect_test::{Expect, expect};

    use super::*;

    #[test]
    fn words() {
        fn check<T: std::fmt::Debug + TryFrom<String, Error = String>>(text: &str, expect: Expect) {
            expect.assert_eq(&T::try_from(text.to_owned()).map_or_else(|why| why, |read| format!("{read:?}")));
        }
        check::<Ready>("settle", expect!["Settle"]);
        check::<Ready>("rename", expect!["Rename"]);
        check::<Ready>("marker:.done", expect![[r#"Marker(".done")"#]]);
        for text in ["", "marker", "marker:done", "marker:.", "marker:.gz", "marker:.a/b", "now"] {
            assert!(Ready::try_from(text.to_owned()).is_err(), "{text}");
        }
        check::<Ready>(
            "Settle",
            expect![[r#""Settle" is none of settle, rename and marker:.done (any ending that begins with a dot)"#]],
        );
        check::<After>("keep", expect!["Keep"]);
        check::<After>("delete", expect!["Delete"]);
        check::<After>("move:../done", expect![[r#"Move("../done")"#]]);
        check::<After>("move:", expect![[r#""move:" is none of keep, delete and move:FOLDER"#]]);
    }
}
