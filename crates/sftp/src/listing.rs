//! The contents of a folder.

use std::fmt;
use std::sync::Arc;

use futures::{StreamExt as _, TryStreamExt as _, stream};

use crate::session::{Session, Trouble};
use crate::wire::{Attributes, Name, Request};
use crate::{Error, Stat};

/// Concurrent requests for names whose attributes the folder's listing lacks.
const STATS_IN_FLIGHT: usize = 64;

/// The bits of the permissions that hold the file type, and their values.
const TYPE: u32 = 0o170_000;
const FILE: u32 = 0o100_000;
const LINK: u32 = 0o120_000;
const FOLDER: u32 = 0o040_000;

/// A folder's contents, in no order. Folders in it, and everything else that holds no bytes, are silently left out.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Listing {
    /// Regular files, and links to them where these are followed.
    pub files: Vec<Entry>,
    /// Names that may be files, and can't be taken as such.
    pub left_out: Vec<LeftOut>,
}

impl Listing {
    /// The same, by its names in the folder that this one lies in.
    #[must_use]
    pub fn within(mut self, folder: &str) -> Self {
        let names = self.files.iter_mut().map(|file| &mut file.name);
        for name in names.chain(self.left_out.iter_mut().map(|left_out| &mut left_out.name)) {
            *name = format!("{folder}/{name}");
        }
        self
    }
}

/// A regular file of a folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Its name in the folder.
    pub name: String,
    /// Its length in bytes.
    pub size: u64,
    /// Its last change, in seconds since 1970 by the server's clock; 0 if the server does not send it.
    pub mtime: u64,
}

/// A name that can't be taken as a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeftOut {
    /// Its name in the folder; `�` stands for bytes that are not UTF-8.
    pub name: String,
    /// Why it can't be taken.
    pub why: Reason,
}

/// Why a name can't be taken as a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reason {
    /// A symbolic link, and `SFTP_FOLLOW_LINKS` is false.
    Link,
    /// A symbolic link to nothing.
    DeadLink,
    /// The name is no UTF-8.
    Name,
    /// The server does not send its length.
    NoLength,
    /// The server does not send anything about it.
    Refused(String),
    /// It is a pattern, and no folder matches it.
    NoFolder,
}

impl fmt::Display for LeftOut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.name, self.why)
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Link => "a symbolic link, and SFTP_FOLLOW_LINKS is false",
            Self::DeadLink => "a symbolic link to nothing",
            Self::Name => "its name is not UTF-8",
            Self::NoLength => "the server does not tell its length",
            Self::Refused(why) => return write!(f, "the server refuses to look at it: {why}"),
            Self::NoFolder => "the pattern fits no folder",
        })
    }
}

/// What a name is, as far as the server says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    File,
    Link,
    Folder,
    /// Something that holds no bytes.
    Other,
    Untold,
}

impl Attributes {
    /// None without a length.
    pub(crate) fn stat(self) -> Option<Stat> {
        Some(Stat { size: self.size?, mtime: self.mtime.unwrap_or_default().into() })
    }

    fn kind(self) -> Kind {
        match self.permissions.unwrap_or_default() & TYPE {
            FILE => Kind::File,
            LINK => Kind::Link,
            FOLDER => Kind::Folder,
            0 => Kind::Untold,
            _ => Kind::Other,
        }
    }
}

impl Name {
    /// By its attributes, or by the line that `ls -l` would print.
    fn kind(&self) -> Kind {
        match (self.attributes.kind(), self.long.first()) {
            (Kind::Untold, Some(b'-')) => Kind::File,
            (Kind::Untold, Some(b'l')) => Kind::Link,
            (Kind::Untold, Some(b'd')) => Kind::Folder,
            (Kind::Untold, Some(b'b' | b'c' | b'p' | b's')) => Kind::Other,
            (kind, _) => kind,
        }
    }
}

/// Lists a folder. Attributes that the listing lacks are requested, so that a file is the same in every listing.
pub(crate) async fn list(session: &Arc<Session>, folder: &str, follow_links: bool) -> Result<Listing, Error> {
    let mut listing = Listing::default();
    let mut untold = Vec::new();
    for name in names(session, folder).await? {
        let kind = name.kind();
        if matches!(kind, Kind::Folder | Kind::Other) || matches!(&*name.name, b"." | b"..") {
            continue;
        }
        let Ok(text) = String::from_utf8(name.name.to_vec()) else {
            let name = String::from_utf8_lossy(&name.name).into_owned();
            listing.left_out.push(LeftOut { name, why: Reason::Name });
            continue;
        };
        match (kind, name.attributes.size, name.attributes.mtime) {
            (Kind::File, Some(size), Some(mtime)) => {
                listing.files.push(Entry { name: text, size, mtime: mtime.into() });
            }
            (Kind::Link, ..) if !follow_links => listing.left_out.push(LeftOut { name: text, why: Reason::Link }),
            _ => untold.push((text, kind)),
        }
    }
    let looks = untold.into_iter().map(|(name, kind)| look(session, folder, name, kind));
    let looked: Vec<_> = stream::iter(looks).buffer_unordered(STATS_IN_FLIGHT).try_collect().await?;
    for found in looked.into_iter().flatten() {
        match found {
            Ok(entry) => listing.files.push(entry),
            Err(left_out) => listing.left_out.push(left_out),
        }
    }
    Ok(listing)
}

/// The names of the folders in a folder that fit.
pub(crate) async fn subfolders(
    session: &Arc<Session>,
    folder: &str,
    follow_links: bool,
    fits: impl Fn(&str) -> bool,
) -> Result<Vec<String>, Error> {
    let mut found = Vec::new();
    for name in names(session, folder).await? {
        let Some(text) = str::from_utf8(&name.name).ok().filter(|text| !matches!(*text, "." | "..") && fits(text))
        else {
            continue;
        };
        let is_folder = match name.kind() {
            Kind::Folder => true,
            Kind::Link if !follow_links => false,
            Kind::Link | Kind::Untold => {
                session.stat(&path_of(folder, text)).await.is_ok_and(|attributes| attributes.kind() == Kind::Folder)
            }
            Kind::File | Kind::Other => false,
        };
        if is_folder {
            found.push(text.to_owned());
        }
    }
    Ok(found)
}

async fn names(session: &Arc<Session>, folder: &str) -> Result<Vec<Name>, Error> {
    match try_names(session, folder).await {
        Ok(names) => Ok(names),
        Err(Trouble::Refused(_)) if is_no_folder(session, folder).await => {
            Err(Error::Refused { doing: format!("listing {folder}"), why: "it is not a folder".to_owned() })
        }
        Err(trouble) => Err(Error::from_trouble(format!("listing {folder}"), folder, trouble)),
    }
}

async fn try_names(session: &Arc<Session>, folder: &str) -> Result<Vec<Name>, Trouble> {
    let handle = session.open(Request::OpenFolder { path: folder }).await?;
    let mut names = Vec::new();
    while let Some(more) = handle.names().await? {
        names.extend(more);
    }
    Ok(names)
}

/// Whether something else has the name. Servers have no one word for it.
async fn is_no_folder(session: &Session, path: &str) -> bool {
    let Ok(attributes) = session.stat(path).await else { return false };
    !matches!(attributes.kind(), Kind::Untold | Kind::Folder)
}

fn path_of(folder: &str, name: &str) -> String {
    format!("{}/{name}", folder.trim_end_matches('/'))
}

/// Looks at one name, links followed: a file, a name to leave out with a reason, or nothing that matters.
async fn look(
    session: &Session,
    folder: &str,
    name: String,
    kind: Kind,
) -> Result<Option<Result<Entry, LeftOut>>, Error> {
    let path = path_of(folder, &name);
    let why = match session.stat(&path).await {
        Ok(attributes) => match (attributes.kind(), attributes.stat()) {
            (Kind::Folder | Kind::Other | Kind::Link, _) => return Ok(None),
            (Kind::File | Kind::Untold, Some(Stat { size, mtime })) => {
                return Ok(Some(Ok(Entry { name, size, mtime })));
            }
            (Kind::File | Kind::Untold, None) => Reason::NoLength,
        },
        Err(Trouble::Refused(status)) if status.is_not_found() => match kind {
            Kind::Link => Reason::DeadLink,
            // Removed in the meantime.
            _ => return Ok(None),
        },
        Err(Trouble::Refused(status)) if !status.is_lost() => Reason::Refused(status.why()),
        Err(trouble) => return Err(Error::from_trouble(format!("looking at {path}"), &path, trouble)),
    };
    Ok(Some(Err(LeftOut { name, why })))
}
