//! A PgBouncer in front of the tests' server, for as long as a test wants it.

use std::{
    fs,
    io::Write as _,
    os::unix::{fs::chown, process::CommandExt as _},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use diesel::prelude::*;
use tempfile::TempDir;

/// Makes a missing PgBouncer a failure.
const REQUIRED: &str = "BOARDINGHOUSE_REQUIRE_PGBOUNCER";

/// Stands between us and PgBouncer, like the watchdog of the private server: its standard input closes
/// when we drop it or die, and then PgBouncer ends.
const WATCHDOG: &str = r#"
exec >/dev/null 2>&1
"$1" -q "$2" </dev/null &
pooler=$!
read -r _
kill -KILL "$pooler"
wait "$pooler"
"#;

/// A PgBouncer of its own, on a socket in a directory of its own. Both are gone when it is dropped.
#[derive(Debug)]
pub struct PgBouncer {
    url: String,
    watchdog: Child,
    _dir: TempDir,
}

impl PgBouncer {
    /// Starts one in front of the database at `url`, or says loudly that it is not installed.
    #[must_use]
    pub fn start(url: &str, pool_mode: &str, pool_size: u32) -> Option<Self> {
        Self::start_with(url, pool_mode, pool_size, "")
    }

    /// As [`start`](Self::start), with one more line of configuration.
    #[must_use]
    pub fn start_with(url: &str, pool_mode: &str, pool_size: u32, more: &str) -> Option<Self> {
        let Some(program) = installed() else {
            // Past the capture of the test's output.
            let _ = writeln!(
                std::io::stderr(),
                "\nNOT TESTED behind a pooler: there is no pgbouncer (set {REQUIRED} to make that a \
                 failure)"
            );
            assert!(
                std::env::var_os(REQUIRED).is_none(),
                "there is no pgbouncer"
            );
            return None;
        };
        let server = Server::parse(url);
        let dir = TempDir::new().expect("a directory");
        let path = dir.path().display();
        let config = format!(
            "[databases]\n{database} = {server}\n\
             [pgbouncer]\nlisten_addr =\nlisten_port = 6432\nunix_socket_dir = {path}\n\
             logfile = {path}/log\nauth_type = any\nmax_client_conn = 200\n\
             ignore_startup_parameters = extra_float_digits\n\
             pool_mode = {pool_mode}\ndefault_pool_size = {pool_size}\n{more}\n",
            database = server.database,
            server = server.target(),
        );
        let file = dir.path().join("pgbouncer.ini");
        fs::write(&file, config).expect("a configuration");
        let mut command = Command::new("/bin/sh");
        command
            .args(["-c", WATCHDOG, "pgbouncer-watchdog"])
            .args([&program, &file])
            .current_dir("/")
            .stdin(Stdio::piped())
            .process_group(0);
        // It refuses to run as root, as PostgreSQL does.
        if let Some((uid, gid)) = other_account() {
            chown(dir.path(), Some(uid), Some(gid)).expect("a directory of the account");
            command.uid(uid).gid(gid);
        }
        let watchdog = command.spawn().expect("a shell");
        let pooler = Self {
            url: format!(
                "postgres:///{}?host={path}&port=6432&user={}",
                server.database, server.user
            ),
            watchdog,
            _dir: dir,
        };
        let deadline = Instant::now() + Duration::from_secs(20);
        while let Err(error) = PgConnection::establish(&pooler.url) {
            assert!(Instant::now() < deadline, "pgbouncer is not ready: {error}");
            std::thread::yield_now();
        }
        Some(pooler)
    }

    /// The URL of the database by way of the pooler.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }
}

impl Drop for PgBouncer {
    fn drop(&mut self) {
        drop(self.watchdog.stdin.take());
        let _ = self.watchdog.wait();
    }
}

/// The parts of a database URL, as PgBouncer wants them.
struct Server {
    host: String,
    port: String,
    user: String,
    password: Option<String>,
    database: String,
}

impl Server {
    fn parse(url: &str) -> Self {
        let (_, rest) = url.split_once("://").expect("a URL");
        let (account, rest) = rest.split_once('@').expect("a URL with a user");
        let (address, rest) = rest.split_once('/').expect("a URL with a database");
        let (host, port) = address.split_once(':').unwrap_or((address, "5432"));
        let (user, password) = match account.split_once(':') {
            Some((user, password)) => (user, Some(password.to_owned())),
            None => (account, None),
        };
        Self {
            host: host.to_owned(),
            port: port.to_owned(),
            user: user.to_owned(),
            password,
            database: rest.split('?').next().expect("a database").to_owned(),
        }
    }

    fn target(&self) -> String {
        let password = self.password.iter();
        let password: String = password.map(|p| format!(" password={p}")).collect();
        format!(
            "host={} port={} user={} dbname={}{password}",
            self.host, self.port, self.user, self.database
        )
    }
}

/// Debian puts it where only root looks for programs.
fn installed() -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut places: Vec<PathBuf> = std::env::split_paths(&path).collect();
    places.push("/usr/sbin".into());
    let found = places.iter().map(|dir| Path::new(dir).join("pgbouncer"));
    found.into_iter().find(|file| file.is_file())
}

/// User and group to run as, where we are root.
fn other_account() -> Option<(u32, u32)> {
    let id = |args: &[&str]| {
        let output = Command::new("id").args(args).output().ok()?;
        String::from_utf8(output.stdout).ok()?.trim().parse().ok()
    };
    if id(&["-u"]) != Some(0) {
        return None;
    }
    ["postgres", "nobody"]
        .iter()
        .find_map(|user| Some((id(&["-u", user])?, id(&["-g", user])?)))
}
