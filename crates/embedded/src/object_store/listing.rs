//! Listings in the order of the keys. They read only the folders that they need, so the cost of a page does not grow
//! with the bucket. (`s3s-fs` reads and sorts the whole bucket for every page.)

use std::fs;
use std::io::{Error, ErrorKind, Result};
use std::ops::ControlFlow;
use std::path::Path;

use s3s::dto::{CommonPrefix, ListObjectsV2Input, ListObjectsV2Output, Object, Timestamp};
use s3s::{S3Result, s3_error};

/// S3's own limit.
const MAX_KEYS: i32 = 1_000;

/// The page that is asked for, of the bucket in this folder.
pub(super) fn list(bucket: &Path, input: ListObjectsV2Input) -> S3Result<ListObjectsV2Output> {
    let is_grouped = match input.delimiter.as_deref() {
        None | Some("") => false,
        Some("/") => true,
        Some(_) => return Err(s3_error!(NotImplemented, "the only delimiter of a listing is /")),
    };
    let most = input.max_keys.unwrap_or(MAX_KEYS).min(MAX_KEYS);
    let Ok(most) = usize::try_from(most) else { return Err(s3_error!(InvalidArgument, "max-keys is negative")) };
    let prefix = input.prefix.as_deref().unwrap_or_default();
    let after = input.continuation_token.as_deref().max(input.start_after.as_deref()).unwrap_or_default();
    let mut page = Page { prefix, after, is_grouped, most, ..Page::default() };
    let walked = if most == 0 { Ok(ControlFlow::Continue(())) } else { page.walk(bucket, "") };
    let is_truncated = walked.map_err(super::layout::internal)?.is_break();
    let Page { objects, groups, last, .. } = page;
    let groups: Vec<_> = groups.into_iter().map(|prefix| CommonPrefix { prefix: Some(prefix) }).collect();
    Ok(ListObjectsV2Output {
        key_count: i32::try_from(objects.len() + groups.len()).ok(),
        max_keys: i32::try_from(most).ok(),
        is_truncated: Some(is_truncated),
        contents: Some(objects).filter(|objects| !objects.is_empty()),
        common_prefixes: Some(groups).filter(|groups| !groups.is_empty()),
        next_continuation_token: Some(last).filter(|_| is_truncated),
        continuation_token: input.continuation_token,
        delimiter: input.delimiter,
        name: Some(input.bucket),
        prefix: input.prefix,
        start_after: input.start_after,
        ..Default::default()
    })
}

#[derive(Default)]
struct Page<'a> {
    prefix: &'a str,
    /// Keys up to this one are left out.
    after: &'a str,
    /// Keys in a folder below the prefix are listed as one group, by the folder's name.
    is_grouped: bool,
    most: usize,
    objects: Vec<Object>,
    groups: Vec<String>,
    last: String,
}

impl Page<'_> {
    /// Adds the keys of a folder, all of which begin with `base`. Breaks off when the page is full.
    fn walk(&mut self, folder: &Path, base: &str) -> Result<ControlFlow<()>> {
        for key in self.entries(folder, base)? {
            let path = folder.join(&key[base.len()..]);
            let flow = if !key.ends_with('/') {
                self.object(&path, key)?
            } else if self.is_group(&key) {
                self.group(&path, key)?
            } else {
                self.walk(&path, &key)?
            };
            if flow.is_break() {
                return Ok(flow);
            }
        }
        Ok(ControlFlow::Continue(()))
    }

    /// The keys of a folder's files, and of its folders with a `/` at the end, if they may be on the page. Their order
    /// is that of all keys below them, as a file and a folder never have the same name.
    fn entries(&self, folder: &Path, base: &str) -> Result<Vec<String>> {
        let mut keys = Vec::new();
        let Some(entries) = if_there(fs::read_dir(folder))? else { return Ok(keys) };
        for entry in entries {
            let entry = entry?;
            // A name that is not UTF-8 was not put through the API.
            let Ok(name) = entry.file_name().into_string() else { continue };
            let is_folder = entry.file_type()?.is_dir();
            let key = format!("{base}{name}{}", if is_folder { "/" } else { "" });
            let is_wanted = key.starts_with(self.prefix) || is_folder && self.prefix.starts_with(&key);
            let is_new = key.as_str() > self.after || is_folder && !self.is_group(&key) && self.after.starts_with(&key);
            if is_wanted && is_new {
                keys.push(key);
            }
        }
        keys.sort_unstable();
        Ok(keys)
    }

    fn is_group(&self, folder: &str) -> bool {
        self.is_grouped && folder.len() > self.prefix.len() && folder.starts_with(self.prefix)
    }

    fn object(&mut self, path: &Path, key: String) -> Result<ControlFlow<()>> {
        // It may have been deleted meanwhile.
        let Some(metadata) = if_there(fs::metadata(path))? else { return Ok(ControlFlow::Continue(())) };
        if self.is_full() {
            return Ok(ControlFlow::Break(()));
        }
        self.last.clone_from(&key);
        self.objects.push(Object {
            key: Some(key),
            size: Some(i64::try_from(metadata.len()).map_err(Error::other)?),
            last_modified: Some(Timestamp::from(metadata.modified()?)),
            ..Default::default()
        });
        Ok(ControlFlow::Continue(()))
    }

    fn group(&mut self, path: &Path, key: String) -> Result<ControlFlow<()>> {
        if !has_file(path)? {
            return Ok(ControlFlow::Continue(()));
        }
        if self.is_full() {
            return Ok(ControlFlow::Break(()));
        }
        self.last.clone_from(&key);
        self.groups.push(key);
        Ok(ControlFlow::Continue(()))
    }

    fn is_full(&self) -> bool {
        self.objects.len() + self.groups.len() == self.most
    }
}

/// Deleting objects leaves their folders.
fn has_file(folder: &Path) -> Result<bool> {
    let Some(entries) = if_there(fs::read_dir(folder))? else { return Ok(false) };
    for entry in entries {
        let entry = entry?;
        if !entry.file_type()?.is_dir() || has_file(&entry.path())? {
            return Ok(true);
        }
    }
    Ok(false)
}

fn if_there<T>(result: Result<T>) -> Result<Option<T>> {
    match result {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        result => result.map(Some),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    const KEYS: [&str; 11] =
        ["a", "b-c", "b/a", "b/c-d", "b/c/d", "b/c/e/f", "b/c0", "b0", "hour=1/x", "hour=10/x", "\u{e9}/\u{e9}"];

    /// All pages of a listing: keys and groups in the order of the pages, and how many there were.
    fn pages(bucket: &Path, prefix: &str, after: &str, is_grouped: bool, most: i32) -> (Vec<String>, usize) {
        let mut found = Vec::new();
        let mut token = None;
        for page in 1.. {
            let input = ListObjectsV2Input {
                prefix: Some(prefix.to_owned()),
                start_after: Some(after.to_owned()),
                continuation_token: token,
                delimiter: is_grouped.then(|| "/".to_owned()),
                max_keys: Some(most),
                ..Default::default()
            };
            let output = list(bucket, input).unwrap();
            let keys = output.contents.into_iter().flatten().map(|object| object.key.unwrap());
            let groups = output.common_prefixes.into_iter().flatten().map(|group| group.prefix.unwrap());
            let mut on_page: Vec<_> = keys.chain(groups).collect();
            assert_eq!(output.key_count, Some(on_page.len().try_into().unwrap()));
            on_page.sort_unstable();
            found.extend(on_page);
            token = output.next_continuation_token;
            if token.is_none() {
                return (found, page);
            }
        }
        unreachable!()
    }

    #[test]
    fn pages_are_what_a_sorted_list_of_the_keys_would_give() {
        let bucket = tempfile::tempdir().unwrap();
        for key in KEYS {
            let path = bucket.path().join(key);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, key).unwrap();
        }
        // What deleting objects leaves.
        fs::create_dir_all(bucket.path().join("b/gone/too")).unwrap();
        for prefix in ["", "a", "b", "b/", "b/c", "b/c/", "b/c/e/f", "b/g", "hour=1", "hour=1/", "x", "\u{e9}"] {
            for after in KEYS.into_iter().chain(["", "b/", "b/c/", "b/c/z", "zz"]) {
                for is_grouped in [false, true] {
                    let told = |key: &str| match key[prefix.len()..].find('/') {
                        Some(at) if is_grouped => key[..=prefix.len() + at].to_owned(),
                        _ => key.to_owned(),
                    };
                    let keys = KEYS.into_iter().filter(|key| key.starts_with(prefix)).map(told);
                    let expected: BTreeSet<String> = keys.filter(|key| key.as_str() > after).collect();
                    let expected: Vec<String> = expected.into_iter().collect();
                    for most in [1, 2, 3, 1_000] {
                        let (found, pages) = pages(bucket.path(), prefix, after, is_grouped, most);
                        assert_eq!(found, expected, "{prefix:?} after {after:?}, {is_grouped}, {most}");
                        assert_eq!(pages, expected.len().div_ceil(most.try_into().unwrap()).max(1));
                    }
                }
            }
        }
    }

    #[test]
    fn an_object_has_its_size_and_time() {
        let bucket = tempfile::tempdir().unwrap();
        fs::write(bucket.path().join("a"), "four").unwrap();
        let listed = list(bucket.path(), ListObjectsV2Input::default()).unwrap().contents.unwrap();
        let written = fs::metadata(bucket.path().join("a")).unwrap().modified().unwrap();
        assert_eq!((listed[0].size, listed[0].last_modified.clone()), (Some(4), Some(Timestamp::from(written))));
    }

    #[test]
    fn what_it_does_not_do_is_said() {
        let check = |input: ListObjectsV2Input, code: &str| {
            assert_eq!(list(Path::new("."), input).unwrap_err().code().as_str(), code);
        };
        check(ListObjectsV2Input { delimiter: Some("=".to_owned()), ..Default::default() }, "NotImplemented");
        check(ListObjectsV2Input { max_keys: Some(-1), ..Default::default() }, "InvalidArgument");
    }
}
