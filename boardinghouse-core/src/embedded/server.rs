//! The server itself: what to run it with, its addresses, its end.

use std::path::{Path, PathBuf};

use super::{
    account::Account,
    failed,
    find::{self, Binaries},
    home,
    run::{Run, free_port},
};
use crate::error::Result;

/// How often to try again when another program has taken the port meanwhile.
const ATTEMPTS: usize = 5;

/// A private PostgreSQL server. Dropping it stops the server and removes its directory.
///
/// Nothing in it lasts: sessions that are still open are cut off. The same happens within
/// moments when this process ends in any other way, be it by `kill -9`.
///
/// # Examples
///
/// ```no_run
/// use boardinghouse_core::embedded::Server;
///
/// let server = Server::start()?;
/// println!("PostgreSQL {} at {}", server.version(), server.url());
/// # Ok::<(), boardinghouse_core::Error>(())
/// ```
#[derive(Debug)]
pub struct Server {
    url: String,
    socket_url: String,
    port: u16,
    binaries: Binaries,
    run: Run,
}

impl Server {
    /// Starts a server with the defaults of [`Builder`]. It takes about a second.
    ///
    /// # Errors
    ///
    /// Those of [`Builder::start`].
    ///
    /// # Examples
    ///
    /// ```no_run
    /// use boardinghouse_core::{ErrorKind, embedded::Server};
    ///
    /// match Server::start() {
    ///     Ok(server) => println!("{}", server.url()),
    ///     Err(error) => assert_eq!(error.kind(), ErrorKind::Embedded),
    /// }
    /// ```
    pub fn start() -> Result<Self> {
        Self::builder().start()
    }

    /// A server to configure before it starts.
    ///
    /// # Examples
    ///
    /// ```no_run
    /// use boardinghouse_core::embedded::Server;
    ///
    /// let server = Server::builder().setting("work_mem", "64MB").start()?;
    /// # Ok::<(), boardinghouse_core::Error>(())
    /// ```
    pub fn builder() -> Builder {
        Builder::default()
    }

    /// The URL of the database `postgres`, over TCP: `postgres://postgres@127.0.0.1:PORT/postgres`.
    ///
    /// # Examples
    ///
    /// ```no_run
    /// # let server = boardinghouse_core::embedded::Server::start()?;
    /// assert!(server.url().starts_with("postgres://postgres@127.0.0.1:"));
    /// # Ok::<(), boardinghouse_core::Error>(())
    /// ```
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The URL of the database `postgres`, over the Unix socket.
    ///
    /// The host in it is the percent-encoded directory of the socket. libpq, and so Diesel, takes
    /// that. Only root and the user that runs the server can enter the directory.
    ///
    /// # Examples
    ///
    /// ```no_run
    /// # let server = boardinghouse_core::embedded::Server::start()?;
    /// assert!(server.socket_url().starts_with("postgres://postgres@%2F"));
    /// # Ok::<(), boardinghouse_core::Error>(())
    /// ```
    #[must_use]
    pub fn socket_url(&self) -> &str {
        &self.socket_url
    }

    /// The URL of the database `name`, over TCP. The database is not created.
    ///
    /// # Examples
    ///
    /// ```no_run
    /// # let server = boardinghouse_core::embedded::Server::start()?;
    /// assert!(server.database_url("my shop").ends_with("/my%20shop"));
    /// # Ok::<(), boardinghouse_core::Error>(())
    /// ```
    #[must_use]
    pub fn database_url(&self, name: &str) -> String {
        url("127.0.0.1", self.port, name)
    }

    /// The directory of the binaries that are in use.
    ///
    /// It holds `postgres` and `initdb`. Fetched binaries may come without `psql` and `pg_dump`.
    ///
    /// # Examples
    ///
    /// ```no_run
    /// # let server = boardinghouse_core::embedded::Server::start()?;
    /// assert!(server.bin_dir().join("postgres").exists());
    /// # Ok::<(), boardinghouse_core::Error>(())
    /// ```
    #[must_use]
    pub fn bin_dir(&self) -> &Path {
        &self.binaries.dir
    }

    /// The major version, such as 17.
    ///
    /// # Examples
    ///
    /// ```no_run
    /// # let server = boardinghouse_core::embedded::Server::start()?;
    /// assert!(server.version() >= 13);
    /// # Ok::<(), boardinghouse_core::Error>(())
    /// ```
    #[must_use]
    pub fn version(&self) -> u32 {
        self.binaries.version.major
    }

    /// The log of the server. It is removed with the server.
    ///
    /// # Examples
    ///
    /// ```no_run
    /// # let server = boardinghouse_core::embedded::Server::start()?;
    /// let log = std::fs::read_to_string(server.log_path());
    /// # Ok::<(), boardinghouse_core::Error>(())
    /// ```
    #[must_use]
    pub fn log_path(&self) -> PathBuf {
        self.run.home().log()
    }
}

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
                let socket = percent_encode(run.home().dir.as_os_str().as_encoded_bytes());
                return Ok(Server {
                    url: url("127.0.0.1", port, "postgres"),
                    socket_url: url(&socket, port, "postgres"),
                    port,
                    binaries,
                    run,
                });
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

fn url(host: &str, port: u16, database: &str) -> String {
    let database = percent_encode(database.as_bytes());
    format!("postgres://postgres@{host}:{port}/{database}")
}

/// Encodes all but the unreserved characters of RFC 3986, section 2.3.
fn percent_encode(bytes: &[u8]) -> String {
    bytes
        .iter()
        .map(|&byte| match byte {
            b'-' | b'.' | b'_' | b'~' => char::from(byte).to_string(),
            _ if byte.is_ascii_alphanumeric() => char::from(byte).to_string(),
            _ => format!("%{byte:02X}"),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_encodes_whatever_is_in_a_name() {
        assert_eq!(
            url("127.0.0.1", 5432, "a/b c?é"),
            "postgres://postgres@127.0.0.1:5432/a%2Fb%20c%3F%C3%A9"
        );
        let socket = percent_encode(b"/tmp/boardinghouse-pg-aB3dE6gH");
        assert_eq!(
            url(&socket, 5432, "postgres"),
            "postgres://postgres@%2Ftmp%2Fboardinghouse-pg-aB3dE6gH:5432/postgres"
        );
    }

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
