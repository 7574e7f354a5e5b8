//! What to run a server with.

use std::path::PathBuf;

use super::{
    account::Account,
    failed, find, home,
    run::{Run, free_port},
    server::Server,
};
use crate::error::Result;

/// How often to try again when another program has taken the port meanwhile.
const ATTEMPTS: usize = 5;

/// What a [`Server`] is to be like. Made by [`Server::builder`].
///
/// # Examples
///
/// ```no_run
/// use boardinghouse_core::embedded::Server;
///
/// let server = Server::builder()
///     .durable(true)
///     .setting("shared_buffers", "512MB")
///     .start()?;
/// # Ok::<(), boardinghouse_core::Error>(())
/// ```
#[derive(Clone, Debug, Default)]
#[must_use = "nothing starts before `start` is called"]
pub struct Builder {
    durable: bool,
    settings: Vec<(String, String)>,
    bin_dir: Option<PathBuf>,
}

impl Builder {
    /// Sets whether commits survive a crash of the machine.
    ///
    /// Without it `fsync`, `synchronous_commit` and `full_page_writes` are off and writing is much
    /// faster. With it they are as PostgreSQL has them, which makes measurements honest. Defaults to
    /// `false`.
    ///
    /// # Examples
    ///
    /// ```no_run
    /// # use boardinghouse_core::embedded::Server;
    /// let server = Server::builder().durable(true).start()?;
    /// # Ok::<(), boardinghouse_core::Error>(())
    /// ```
    pub fn durable(mut self, durable: bool) -> Self {
        self.durable = durable;
        self
    }

    /// Adds a setting of PostgreSQL. The last value given for a name is the one in force.
    ///
    /// It also wins over the defaults, which are `max_connections` 200 and
    /// `max_locks_per_transaction` 256. Where the server listens cannot be set.
    ///
    /// # Examples
    ///
    /// ```no_run
    /// # use boardinghouse_core::embedded::Server;
    /// let server = Server::builder().setting("log_statement", "all").start()?;
    /// # Ok::<(), boardinghouse_core::Error>(())
    /// ```
    pub fn setting(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.settings.push((name.into(), value.into()));
        self
    }

    /// Uses the binaries in `dir` and no others. Defaults to the newest that can be found.
    ///
    /// # Examples
    ///
    /// ```no_run
    /// # use boardinghouse_core::embedded::Server;
    /// let server = Server::builder().bin_dir("/usr/lib/postgresql/17/bin").start()?;
    /// # Ok::<(), boardinghouse_core::Error>(())
    /// ```
    pub fn bin_dir(mut self, dir: impl Into<PathBuf>) -> Self {
        self.bin_dir = Some(dir.into());
        self
    }

    /// Starts the server and waits until it accepts connections, for at most 30 seconds.
    ///
    /// First it clears away what earlier runs have left behind, if they and their watchdog were
    /// killed. Fetching binaries, where none are installed, is not part of the 30 seconds.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Embedded`](crate::ErrorKind::Embedded) when there are no binaries and none can
    /// be fetched, when those asked for cannot be used, and when the server does not start: the
    /// message then ends with the last lines of its log.
    ///
    /// # Examples
    ///
    /// ```no_run
    /// use boardinghouse_core::{ErrorKind, embedded::Server};
    ///
    /// let error = Server::builder().bin_dir("/nowhere").start().unwrap_err();
    /// assert_eq!(error.kind(), ErrorKind::Embedded);
    /// ```
    pub fn start(self) -> Result<Server> {
        let account = Account::of_server()?;
        let binaries = find::binaries(&account, self.bin_dir.as_deref())?;
        home::sweep(&account, &binaries.dir);
        let mut run = Run::prepare(account, &binaries.dir)?;
        for _ in 0..ATTEMPTS {
            let port = free_port()?;
            if run.attempt(port, self.durable, &self.options())? {
                return Ok(Server::new(port, binaries, run));
            }
        }
        Err(failed(format!(
            "PostgreSQL found its port in use {ATTEMPTS} times in a row"
        )))
    }

    fn options(&self) -> Vec<String> {
        let fast: &[_] = match self.durable {
            true => &[],
            // Small segments make initdb quick, but would take the limit down to 64 MB with them.
            false => &[
                "fsync=off",
                "synchronous_commit=off",
                "full_page_writes=off",
                "max_wal_size=1GB",
            ],
        };
        let common = ["max_connections=200", "max_locks_per_transaction=256"];
        let own = self
            .settings
            .iter()
            .map(|(name, value)| format!("{name}={value}"));
        fast.iter()
            .chain(&common)
            .map(ToString::to_string)
            .chain(own)
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_setting_comes_after_the_default_that_it_replaces() {
        let options = Server::builder().setting("max_connections", "7").options();
        let at = |option: &str| options.iter().position(|o| o == option);
        assert!(at("max_connections=7") > at("max_connections=200"));
    }

    #[test]
    fn a_durable_server_keeps_its_promises() {
        let options = Server::builder().durable(true).options();
        assert!(!options.iter().any(|o| o.ends_with("=off")), "{options:?}");
    }
}
