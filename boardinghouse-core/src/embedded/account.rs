//! The account that PostgreSQL runs under: our own, except for root, which PostgreSQL refuses.

use std::{
    env, fs,
    os::unix::{ffi::OsStrExt, fs::PermissionsExt, process::CommandExt},
    path::Path,
    process::{Command, Stdio},
};

use super::failed;
use crate::error::Result;

/// The account of the server, and whether we must switch to it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Account {
    uid: u32,
    /// The group to switch to; `None` when the account is our own.
    switch: Option<u32>,
}

impl Account {
    /// Our own account, or `postgres` or `nobody` when we are root.
    pub(super) fn of_server() -> Result<Self> {
        let own = rustix::process::geteuid();
        if !own.is_root() {
            return Ok(Self {
                uid: own.as_raw(),
                switch: None,
            });
        }
        ["postgres", "nobody"]
            .into_iter()
            .find_map(|user| {
                let uid = id("-u", user).filter(|&uid| uid != 0)?;
                Some(Self {
                    uid,
                    switch: Some(id("-g", user)?),
                })
            })
            .ok_or_else(|| {
                failed(
                    "PostgreSQL does not run as root, and there is no user \"postgres\" or \
                     \"nobody\" to run it as: run this program as another user",
                )
            })
    }

    pub(super) fn uid(&self) -> u32 {
        self.uid
    }

    /// The group to switch to, for root only.
    pub(super) fn switch(&self) -> Option<u32> {
        self.switch
    }

    /// A command of this account that inherits nothing which could change what PostgreSQL does.
    pub(super) fn command(&self, program: impl AsRef<Path>) -> Command {
        let mut command = Command::new(program.as_ref());
        // Our working directory may be closed to the account. English, because we read the log.
        command
            .current_dir("/")
            .stdin(Stdio::null())
            .env("LC_ALL", "C");
        for (name, _) in env::vars_os().filter(|(name, _)| name.as_bytes().starts_with(b"PG")) {
            command.env_remove(name);
        }
        if let Some(gid) = self.switch {
            // When root sets a user id, std drops the supplementary groups as well.
            command.uid(self.uid).gid(gid);
        }
        command
    }

    /// Whether this account can get at what lies in `dir`.
    pub(super) fn enters(&self, dir: &Path) -> bool {
        self.switch.is_none() || dir.ancestors().all(|dir| others_may(dir, 0o001))
    }

    /// Whether this account can make and remove directories in `dir`.
    pub(super) fn writes(&self, dir: &Path) -> bool {
        self.switch.is_none() || (self.enters(dir) && others_may(dir, 0o002))
    }
}

/// Asks `id`, and not `/etc/passwd`, which does not list the users on macOS or of a directory.
fn id(what: &str, user: &str) -> Option<u32> {
    let output = Command::new("id").args([what, user]).output().ok()?;
    str::from_utf8(&output.stdout).ok()?.trim().parse().ok()
}

fn others_may(dir: &Path, bits: u32) -> bool {
    fs::metadata(dir).is_ok_and(|meta| meta.permissions().mode() & bits == bits)
}
