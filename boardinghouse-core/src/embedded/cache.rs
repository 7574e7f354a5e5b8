//! The directory that keeps fetched binaries.

use std::{
    env, fs,
    os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt},
    path::{Path, PathBuf, absolute},
};

use super::{account::Account, failed, on_path};
use crate::error::Result;

/// The variable that names the directory to use.
const VARIABLE: &str = "BOARDINGHOUSE_CACHE";

/// The cache directory, made if need be, and safe to run programs from.
pub(super) fn cache(account: &Account) -> Result<PathBuf> {
    let set = |name| {
        env::var_os(name)
            .filter(|value| !value.is_empty())
            .map(PathBuf::from)
    };
    if let Some(dir) = set(VARIABLE) {
        return checked(&dir, account);
    }
    // A home of root is closed to the user that runs the server.
    let usual = match account.switch() {
        Some(_) => Some("/var/cache/boardinghouse".into()),
        None => set("XDG_CACHE_HOME")
            .or_else(|| Some(set("HOME")?.join(".cache")))
            .map(|dir| dir.join("boardinghouse")),
    };
    match usual.map(|dir: PathBuf| checked(&dir, account)) {
        Some(Ok(dir)) => Ok(dir),
        // A service may have no home, or one that it cannot write to.
        _ => {
            let uid = rustix::process::geteuid().as_raw();
            checked(
                &env::temp_dir().join(format!("boardinghouse-cache-{uid}")),
                account,
            )
        }
    }
}

/// Makes `dir`, and refuses one in which somebody else could have put programs.
fn checked(dir: &Path, account: &Account) -> Result<PathBuf> {
    let dir = absolute(dir).map_err(on_path("use", dir))?;
    if !dir.exists() {
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o755)
            .create(&dir)
            .and_then(|()| fs::set_permissions(&dir, fs::Permissions::from_mode(0o755)))
            .map_err(on_path("create", &dir))?;
    }
    // Of the directory itself: a link could be somebody else's.
    let meta = fs::symlink_metadata(&dir).map_err(on_path("look at", &dir))?;
    let own = [0, rustix::process::geteuid().as_raw()].contains(&meta.uid());
    let refuse = |why| {
        failed(format!(
            "{} cannot hold programs: {why}. Set {VARIABLE} to another directory",
            dir.display()
        ))
    };
    if !meta.is_dir() || !own || meta.mode() & 0o022 != 0 {
        return Err(refuse("others own it or can write to it"));
    }
    if !account.enters(&dir) {
        return Err(refuse("the user that runs PostgreSQL cannot enter it"));
    }
    Ok(dir)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checked_with_mode(mode: u32) -> Result<PathBuf> {
        let account = Account::of_server().unwrap();
        let dir = tempfile::tempdir_in("/tmp").unwrap();
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(mode)).unwrap();
        checked(dir.path(), &account)
    }

    #[test]
    fn a_directory_that_others_can_write_to_is_refused() {
        checked_with_mode(0o755).unwrap();
        for mode in [0o775, 0o757, 0o1777] {
            let error = checked_with_mode(mode).unwrap_err().to_string();
            assert!(error.contains("BOARDINGHOUSE_CACHE"), "{error}");
        }
    }

    #[test]
    fn a_link_is_refused() {
        let account = Account::of_server().unwrap();
        let dir = tempfile::tempdir_in("/tmp").unwrap();
        let link = dir.path().join("link");
        std::os::unix::fs::symlink("/usr", &link).unwrap();
        checked(&link, &account).unwrap_err();
    }
}
