//! The folders of deliveries, as `SFTP_REMOTE_PATH` names them.

use std::fmt;
use std::sync::Arc;

use futures::{FutureExt as _, StreamExt as _, TryStreamExt as _, stream};
use glob::{MatchOptions, Pattern};

use crate::Error;
use crate::listing::{LeftOut, Listing, Reason, list, subfolders};
use crate::session::Session;

/// Folders on their way at once.
const FOLDERS_IN_FLIGHT: usize = 8;
/// More folders than this are rather a pattern that is too wide: they are all listed at each look.
const MAX_FOLDERS: usize = 1_000;

/// A folder, or a pattern of folders: `/upload`, `/upload/*`, `/cdr/msc-?/2026-*`.
#[derive(Clone, PartialEq, Eq)]
pub struct Folders {
    text: String,
    /// The part in front of the first pattern, without a slash at its end.
    root: String,
    /// The names behind it, level by level.
    levels: Vec<Level>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Level {
    Name(String),
    Pattern(Pattern),
}

impl Folders {
    /// Reads a path. `*` stands for any characters of a name, `?` for one, `[0-9]` for one of those.
    ///
    /// # Errors
    /// Saying what a pattern can't be.
    pub fn parse(path: &str) -> Result<Self, String> {
        let names: Vec<&str> = path.trim_end_matches('/').split('/').collect();
        let first = names.iter().position(|name| is_pattern(name)).unwrap_or(names.len());
        let level = |name: &&str| match is_pattern(name) {
            false => Ok(Level::Name((*name).to_owned())),
            true if name.contains("**") => {
                Err(format!("{path}: `**` is not known; write `*` once for each level of folders"))
            }
            true => Pattern::new(name).map(Level::Pattern).map_err(|error| format!("{path} is no pattern: {error}")),
        };
        let root = match first {
            // The folder in which the login ends.
            0 => ".".to_owned(),
            _ => names[..first].join("/"),
        };
        let levels = names[first..].iter().map(level).collect::<Result<_, _>>()?;
        Ok(Self { text: path.to_owned(), root, levels })
    }

    /// The folder that all lies in.
    #[must_use]
    pub fn root(&self) -> &str {
        &self.root
    }

    /// Whether it is a pattern, of any number of folders.
    #[must_use]
    pub fn is_pattern(&self) -> bool {
        !self.levels.is_empty()
    }

    /// Whether a path is that of one of these folders.
    #[must_use]
    pub fn fits(&self, path: &str) -> bool {
        let rest = path.trim_end_matches('/').strip_prefix(self.root.as_str());
        let Some(rest) = rest.filter(|rest| rest.is_empty() || rest.starts_with('/')) else { return false };
        let names: Vec<&str> = rest.split('/').skip(1).collect();
        names.len() == self.levels.len() && names.iter().zip(&self.levels).all(|(name, level)| level.fits(name))
    }

    /// The path of what has this name in [`Folders::root`].
    #[must_use]
    pub fn path(&self, name: &str) -> String {
        format!("{}/{name}", self.root)
    }

    /// The path of a folder in the root, or of the root itself.
    fn folder(&self, name: &str) -> String {
        match (self.root.as_str(), name) {
            ("", "") => "/".to_owned(),
            (root, "") => root.to_owned(),
            (_, name) => self.path(name),
        }
    }
}

/// As it was written.
impl fmt::Display for Folders {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.text.fmt(f)
    }
}

impl fmt::Debug for Folders {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.text, f)
    }
}

impl Level {
    fn fits(&self, name: &str) -> bool {
        match self {
            Self::Name(own) => own == name,
            Self::Pattern(pattern) => pattern.matches_with(name, VISIBLE),
        }
    }
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name) => f.write_str(name),
            Self::Pattern(pattern) => f.write_str(pattern.as_str()),
        }
    }
}

fn is_pattern(name: &str) -> bool {
    name.contains(['*', '?', '['])
}

/// Lists all these folders.
pub(crate) async fn list_all(session: &Arc<Session>, folders: &Folders, follow_links: bool) -> Result<Listing, Error> {
    if !folders.is_pattern() {
        return list(session, &folders.folder(""), follow_links).await;
    }
    let (found, left_out) = find(session, folders, follow_links).await?;
    let mut all = Listing { files: Vec::new(), left_out };
    if found.is_empty() && all.left_out.is_empty() {
        let levels: Vec<String> = folders.levels.iter().map(ToString::to_string).collect();
        all.left_out.push(LeftOut { name: levels.join("/"), why: Reason::NoFolder });
    }
    let lists = found.into_iter().map(|folder| {
        async move {
            match list(session, &folders.folder(&folder), follow_links).await {
                Ok(listing) => Ok(listing.within(&folder)),
                Err(error) => Ok(match readable(&folder, error)? {
                    Ok(nothing) => nothing,
                    Err(unreadable) => Listing { files: Vec::new(), left_out: vec![unreadable] },
                }),
            }
        }
        .boxed()
    });
    let mut listed = stream::iter(lists).buffer_unordered(FOLDERS_IN_FLIGHT);
    while let Some(Listing { files, left_out }) = listed.try_next().await? {
        all.files.extend(files);
        all.left_out.extend(left_out);
    }
    Ok(all)
}

/// The names of the folders that the pattern fits, in the root; and those on the way to them that can't be read.
async fn find(
    session: &Arc<Session>,
    folders: &Folders,
    follow_links: bool,
) -> Result<(Vec<String>, Vec<LeftOut>), Error> {
    let (mut found, mut left_out) = (vec![String::new()], Vec::new());
    for level in &folders.levels {
        let below = found.into_iter().map(|above| below(session, folders, above, level, follow_links).boxed());
        let mut below = stream::iter(below).buffer_unordered(FOLDERS_IN_FLIGHT);
        found = Vec::new();
        while let Some(names) = below.try_next().await? {
            match names {
                Ok(names) => found.extend(names),
                Err(unreadable) => left_out.push(unreadable),
            }
        }
        if found.len() > MAX_FOLDERS {
            return Err(Error::Refused {
                doing: format!("looking into the folders of {}", folders.root),
                why: format!("the pattern fits more than {MAX_FOLDERS} of them: narrow it"),
            });
        }
    }
    Ok((found, left_out))
}

/// The same, one level below one of them. Only the root must be there, and readable.
async fn below(
    session: &Arc<Session>,
    folders: &Folders,
    above: String,
    level: &Level,
    follow_links: bool,
) -> Result<Result<Vec<String>, LeftOut>, Error> {
    let join = |name: &str| if above.is_empty() { name.to_owned() } else { format!("{above}/{name}") };
    if let Level::Name(name) = level {
        return Ok(Ok(vec![join(name)]));
    }
    let names = subfolders(session, &folders.folder(&above), follow_links, |name| level.fits(name)).await;
    let names = match names {
        Err(error) if !above.is_empty() => readable(&above, error)?,
        names => Ok(names?),
    };
    Ok(names.map(|names| names.iter().map(|name| join(name)).collect()))
}

/// What one folder of several is that can't be listed: one without anything, or left out with the reason. Or it is not
/// of this folder that nothing can be listed.
fn readable<T: Default>(folder: &str, error: Error) -> Result<Result<T, LeftOut>, Error> {
    let why = match error {
        // Removed in the meantime, or a name behind a pattern that not every folder has.
        Error::NotFound { .. } => return Ok(Ok(T::default())),
        Error::Refused { why, .. } => why,
        error @ Error::FolderTooLarge { .. } => error.to_string(),
        error => return Err(error),
    };
    Ok(Err(LeftOut { name: folder.to_owned(), why: Reason::Refused(why) }))
}

/// A name that begins with a dot is hidden.
const VISIBLE: MatchOptions =
    MatchOptions { case_sensitive: true, require_literal_separator: true, require_literal_leading_dot: true };

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_a_folder_or_a_pattern() {
        let show = |path: &str| {
            let folders = Folders::parse(path).unwrap();
            let levels = folders.levels.iter().map(|level| match level {
                Level::Name(name) => name.clone(),
                Level::Pattern(pattern) => format!("<{pattern}>"),
            });
            format!("{} {}", folders.root(), levels.collect::<Vec<_>>().join(" "))
        };
        for (path, shown) in [
            ("/upload", "/upload "),
            ("/upload/", "/upload "),
            ("/", " "),
            ("upload", "upload "),
            ("/upload/*", "/upload <*>"),
            ("msc-*/voice", ". <msc-*> voice"),
            ("/*", " <*>"),
            ("/cdr/msc-?/voice/2026-[01]*/", "/cdr <msc-?> voice <2026-[01]*>"),
        ] {
            assert_eq!(show(path), shown, "{path}");
        }
        let fits = |pattern: &str, path: &str| Folders::parse(pattern).unwrap().fits(path);
        assert!(fits("/upload/*", "/upload/done/") && fits("/upload", "/upload") && fits("/*/a", "/x/a"));
        assert!(
            !fits("/upload/*", "/upload") && !fits("/upload/*", "/upload/a/done") && !fits("/upload/*", "/uploads/a")
        );
        assert!(!fits("/upload/m*", "/upload/done") && !fits("/upload/*", "/upload/.done"));
        for path in ["/upload/**", "/upload/a[", "/upload/**/b"] {
            assert!(Folders::parse(path).is_err(), "{path}");
        }
    }
}
