//! A server that runs: its addresses, and what is known about it.

use std::path::{Path, PathBuf};

use super::{builder::Builder, find::Binaries, run::Run};
use crate::{conninfo::percent_encoded, error::Result};

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

    /// Stops the server and starts it again, on the same data, port and socket.
    ///
    /// For tests of what a program does when its server goes away. Sessions that are open are cut off, and
    /// their transactions are rolled back; what was committed stays. Returns when the server accepts
    /// connections, as a rule within half a second.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Embedded`](crate::ErrorKind::Embedded) when the server, or the process that looks after
    /// it, is gone, and when it does not start again within 30 seconds.
    ///
    /// # Examples
    ///
    /// ```no_run
    /// use boardinghouse_core::embedded::Server;
    ///
    /// let mut server = Server::start()?;
    /// let url = server.url().to_owned();
    /// server.restart()?;
    /// assert_eq!(server.url(), url);
    /// # Ok::<(), boardinghouse_core::Error>(())
    /// ```
    pub fn restart(&mut self) -> Result<()> {
        self.run.restart()
    }

    pub(super) fn new(port: u16, binaries: Binaries, run: Run) -> Self {
        let socket = percent_encoded(run.home().dir.as_os_str().as_encoded_bytes());
        Self {
            url: url("127.0.0.1", port, "postgres"),
            socket_url: url(&socket, port, "postgres"),
            port,
            binaries,
            run,
        }
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

fn url(host: &str, port: u16, database: &str) -> String {
    let database = percent_encoded(database);
    format!("postgres://postgres@{host}:{port}/{database}")
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
        let socket = percent_encoded("/tmp/boardinghouse-pg-aB3dE6gH");
        assert_eq!(
            url(&socket, 5432, "postgres"),
            "postgres://postgres@%2Ftmp%2Fboardinghouse-pg-aB3dE6gH:5432/postgres"
        );
    }
}
