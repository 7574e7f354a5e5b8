//! The directory of one server: made, marked as in use, and cleared away even after a crash.
//!
//! A file in it, the marker, is locked by the owner and by its watchdog. The lock is gone when both
//! are, however they died: then, and only then, the directory is a leftover.

use std::{
    env, fs, io,
    os::{
        fd::OwnedFd,
        unix::{
            fs::{MetadataExt, chown},
            net::UnixStream,
        },
    },
    path::{Path, PathBuf, absolute},
};

use rustix::fs::{FlockOperation, Mode, OFlags, flock};

use super::{account::Account, on_path};
use crate::error::Result;

const PREFIX: &str = "boardinghouse-pg-";
const RANDOM: usize = 8;
const MARKER: &str = "owner.lock";

/// A Unix socket address holds 104 bytes on macOS and 108 on Linux.
const MAX_SOCKET_PATH: usize = 100;

/// The exit status of `pg_ctl status` when the process in `postmaster.pid` is gone.
const NOT_RUNNING: i32 = 3;

/// A directory of ours, locked.
#[derive(Debug)]
pub(super) struct Home {
    pub(super) dir: PathBuf,
    pub(super) marker: fs::File,
}

impl Home {
    /// Makes a directory that only `account` can enter, and locks it.
    pub(super) fn create(account: &Account) -> Result<Self> {
        let base = base(account);
        let dir = tempfile::Builder::new()
            .prefix(PREFIX)
            .rand_bytes(RANDOM)
            .tempdir_in(&base)
            .map_err(on_path("make a directory in", &base))?;
        if let Some(gid) = account.switch() {
            chown(dir.path(), Some(account.uid()), Some(gid))
                .map_err(on_path("give away", dir.path()))?;
        }
        // The marker gets its name when it is locked: nobody ever sees an unlocked one of a server
        // that is still to start.
        let new = dir.path().join("new.lock");
        let marker = fs::File::create(&new).map_err(on_path("create", &new))?;
        flock(&marker, FlockOperation::NonBlockingLockExclusive).map_err(on_path("lock", &new))?;
        fs::rename(&new, dir.path().join(MARKER)).map_err(on_path("rename", &new))?;
        Ok(Self {
            dir: dir.keep(),
            marker,
        })
    }

    pub(super) fn data(&self) -> PathBuf {
        self.dir.join("data")
    }

    pub(super) fn log(&self) -> PathBuf {
        self.dir.join("log")
    }
}

/// Clears away what killed runs have left behind. What cannot be cleared is left for another run.
pub(super) fn sweep(account: &Account, bin: &Path) {
    for entry in fs::read_dir(base(account)).into_iter().flatten().flatten() {
        let dir = entry.path();
        // Of the entry itself: a link is never followed.
        let ours = fs::symlink_metadata(&dir)
            .is_ok_and(|meta| meta.is_dir() && meta.uid() == account.uid());
        if !ours || !is_our_name(&entry.file_name().to_string_lossy()) {
            continue;
        }
        // The lock is held to the end of the block, so that nobody else sweeps the same directory.
        if let Some(_lock) = lock_marker(&dir) {
            match clear(&dir, account, bin) {
                Ok(()) => tracing::debug!(dir = %dir.display(), "removed a leftover server"),
                Err(error) => tracing::debug!(dir = %dir.display(), %error, "kept a leftover"),
            }
        }
    }
}

/// Stops what may still run in `dir`, and removes `dir`. For the holder of its lock only.
pub(super) fn clear(dir: &Path, account: &Account, bin: &Path) -> io::Result<()> {
    if !stop(dir, account, bin) {
        return Err(io::Error::other("its server is alive"));
    }
    // The marker goes last: without it, no later run would dare to remove the rest.
    for path in [dir.join("data"), dir.to_path_buf()] {
        match fs::remove_dir_all(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    Ok(())
}

/// Stops a postmaster that has outlived its owner and its watchdog. Whether none is alive then.
fn stop(dir: &Path, account: &Account, bin: &Path) -> bool {
    let data = dir.join("data");
    let text = match fs::read_to_string(data.join("postmaster.pid")) {
        Ok(text) => text,
        Err(error) => return error.kind() == io::ErrorKind::NotFound,
    };
    let pg_ctl = |args: &[&str]| {
        let mut command = account.command(bin.join("pg_ctl"));
        command.args(args).arg("-D").arg(&data);
        command.output().ok()?.status.code()
    };
    match pg_ctl(&["status"]) {
        Some(0) => {}
        Some(NOT_RUNNING) => return true,
        _ => return false,
    }
    // After a crash of the machine, the process id may be that of another program by now. Only a
    // server of this directory answers on its socket, and works in its data directory.
    let lines: Vec<_> = text.lines().collect();
    let [pid, _, _, port, ..] = lines[..] else {
        return false;
    };
    let answers = UnixStream::connect(dir.join(format!(".s.PGSQL.{}", port.trim()))).is_ok();
    let elsewhere = fs::canonicalize(&data).is_ok_and(|data| {
        fs::read_link(format!("/proc/{}/cwd", pid.trim())).is_ok_and(|cwd| cwd != data)
    });
    answers && !elsewhere && pg_ctl(&["stop", "-m", "immediate", "-t", "10"]) == Some(0)
}

/// The lock on the marker of `dir`, unless its owner or its watchdog is alive.
fn lock_marker(dir: &Path) -> Option<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let marker = rustix::fs::open(dir.join(MARKER), flags, Mode::empty()).ok()?;
    flock(&marker, FlockOperation::NonBlockingLockExclusive).ok()?;
    Some(marker)
}

fn is_our_name(name: &str) -> bool {
    name.strip_prefix(PREFIX).is_some_and(|rest| {
        rest.len() == RANDOM && rest.bytes().all(|byte| byte.is_ascii_alphanumeric())
    })
}

/// Where the directories are: the one for temporary files, unless its path is too long for a
/// socket or it is closed to `account`.
fn base(account: &Account) -> PathBuf {
    let longest = MAX_SOCKET_PATH - "/".len() - PREFIX.len() - RANDOM - "/.s.PGSQL.65535".len();
    // The server has another working directory than we have.
    let usual = absolute(env::temp_dir()).unwrap_or_default();
    match usual.is_dir() && usual.as_os_str().len() <= longest && account.writes(&usual) {
        true => usual,
        false => "/tmp".into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_of_our_form_are_ours() {
        assert!(is_our_name("boardinghouse-pg-aB3dE6gH"));
        for other in [
            "boardinghouse-pg-",
            "boardinghouse-pg-aB3dE6g",
            "boardinghouse-pg-aB3dE6gHi",
            "boardinghouse-pg-aB3dE-gH",
            "boardinghouse-aB3dE6gH",
            "my-boardinghouse-pg-aB3dE6gH",
        ] {
            assert!(!is_our_name(other), "{other}");
        }
    }

    #[test]
    fn a_directory_in_use_is_not_swept() {
        let account = Account::of_server().unwrap();
        let home = Home::create(&account).unwrap();
        sweep(&account, Path::new("/nonexistent"));
        assert!(home.dir.is_dir());
        let Home { dir, marker } = home;
        drop(marker);
        // A process that another test is just starting has the lock, too, until it runs its program.
        let deadline = std::time::Instant::now() + std::time::Duration::from_secs(10);
        while dir.exists() {
            assert!(std::time::Instant::now() < deadline, "it was not swept");
            sweep(&account, Path::new("/nonexistent"));
        }
    }
}
