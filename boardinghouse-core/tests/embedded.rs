//! The private server, from its start to its end.
#![cfg(unix)]
#![expect(clippy::unwrap_used, reason = "this is how a test fails")]

use std::{
    env, fs,
    net::TcpStream,
    panic::{AssertUnwindSafe, catch_unwind},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use boardinghouse_core::{
    ErrorKind,
    embedded::{self, Server},
};
use diesel::{
    Connection, PgConnection, RunQueryDsl,
    connection::SimpleConnection,
    dsl::sql,
    select,
    sql_types::{Integer, Text},
};
// Brings libpq.
use pq_sys as _;

/// How long anything here may take.
const DEADLINE: Duration = Duration::from_secs(60);

/// Where the process of `owner` writes what it has got.
const REPORT: &str = "BOARDINGHOUSE_TEST_REPORT";

fn connect(url: &str) -> PgConnection {
    PgConnection::establish(url).unwrap()
}

fn show(connection: &mut PgConnection, setting: &str) -> String {
    select(sql::<Text>(&format!("current_setting('{setting}')")))
        .get_result(connection)
        .unwrap()
}

fn home(server: &Server) -> PathBuf {
    server.log_path().parent().unwrap().to_owned()
}

/// `127.0.0.1:PORT`
fn address(url: &str) -> String {
    let (_, rest) = url.split_once('@').unwrap();
    rest.split_once('/').unwrap().0.to_owned()
}

fn wait_until(what: &str, mut condition: impl FnMut() -> bool) {
    let start = Instant::now();
    while !condition() {
        assert!(start.elapsed() < DEADLINE, "{what}: not in time");
        thread::sleep(Duration::from_millis(10));
    }
}

fn assert_gone(home: &Path, address: &str) {
    assert!(!home.exists(), "{} is still there", home.display());
    TcpStream::connect(address).unwrap_err();
}

/// Not a test of its own: the process that others start, so that they can kill it. It does nothing
/// unless they ask for it.
#[test]
fn owner() {
    let Some(report) = env::var_os(REPORT).map(PathBuf::from) else {
        return;
    };
    let write = |text: String| {
        let partial = report.with_extension("partial");
        fs::write(&partial, text).unwrap();
        fs::rename(&partial, &report).unwrap();
    };
    match embedded::from_env_or_start("BOARDINGHOUSE_TEST_URL") {
        Err(error) => write(error.chain()),
        Ok(database) => {
            let home = database.server().map(home).unwrap_or_default();
            write(format!("{}\n{}", database.url(), home.display()));
            // Until we are killed, or the test that has started us is over.
            let _ = std::io::stdin().read_line(&mut String::new());
        }
    }
}

struct Owner {
    child: Child,
    report: String,
    _dir: tempfile::TempDir,
}

impl Owner {
    fn start(envs: &[(&str, &str)]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("report");
        let child = Command::new(env::current_exe().unwrap())
            .args(["--exact", "owner"])
            .env_remove("BOARDINGHOUSE_TEST_URL")
            .env(REPORT, &path)
            .envs(envs.iter().copied())
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        let mut report = String::new();
        wait_until("the report of the owner", || {
            report = fs::read_to_string(&path).unwrap_or_default();
            !report.is_empty()
        });
        Self {
            child,
            report,
            _dir: dir,
        }
    }

    /// The address and the directory of its server.
    fn server(&self) -> (String, PathBuf) {
        let (url, home) = self.report.split_once('\n').expect(&self.report);
        (address(url), home.into())
    }

    fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

impl Drop for Owner {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The process id of the server in `home`, and that of its watchdog.
fn processes(home: &Path) -> (String, String) {
    let file = fs::read_to_string(home.join("data/postmaster.pid")).unwrap();
    let server = file.lines().next().unwrap().to_owned();
    let output = Command::new("ps")
        .args(["-o", "ppid=", "-p", &server])
        .output()
        .unwrap();
    let watchdog = String::from_utf8(output.stdout).unwrap().trim().to_owned();
    (server, watchdog)
}

fn kill_9(process: &str) {
    let status = Command::new("kill").args(["-9", process]).status().unwrap();
    assert!(status.success());
}

/// One start is enough, but for the moment in which a killed process is not yet gone, or in which
/// another test sweeps.
fn start_until_gone(home: &Path) {
    wait_until("the sweep", || {
        Server::start().unwrap();
        !home.exists()
    });
}

#[test]
fn a_server_answers_over_tcp_and_over_its_socket() {
    let server = Server::start().unwrap();
    for url in [
        server.url(),
        server.socket_url(),
        &server.database_url("template1"),
    ] {
        let mut connection = connect(url);
        let one: i32 = select(sql::<Integer>("1"))
            .get_result(&mut connection)
            .unwrap();
        assert_eq!(one, 1, "{url}");
    }
    let mut connection = connect(server.url());
    let number: u32 = show(&mut connection, "server_version_num").parse().unwrap();
    assert_eq!(number / 10_000, server.version());
    assert!(server.bin_dir().join("initdb").is_file());
    assert!(server.log_path().is_file());
}

#[test]
fn a_server_that_restarts_keeps_its_address_and_what_was_committed() {
    let mut server = Server::start().unwrap();
    let mut before = connect(server.url());
    // Two messages: a BEGIN would take in what the same message did before it.
    before.batch_execute("CREATE TABLE kept ()").unwrap();
    before.batch_execute("BEGIN; CREATE TABLE lost ()").unwrap();
    for _ in 0..2 {
        server.restart().unwrap();
        before.batch_execute("SELECT 1").unwrap_err();
        before = connect(server.url());
        connect(server.socket_url())
            .batch_execute("SELECT FROM kept")
            .unwrap();
        before.batch_execute("SELECT FROM lost").unwrap_err();
    }
    let (home, address) = (home(&server), address(server.url()));
    drop(server);
    assert_gone(&home, &address);
}

#[test]
fn a_server_is_gone_when_it_is_dropped_even_with_open_sessions() {
    let server = Server::start().unwrap();
    let (home, address) = (home(&server), address(server.url()));
    let _session = connect(server.url());
    drop(server);
    assert_gone(&home, &address);
}

#[test]
fn a_server_is_gone_after_a_panic() {
    let server = Server::start().unwrap();
    let (home, address) = (home(&server), address(server.url()));
    catch_unwind(AssertUnwindSafe(|| {
        let _server = server;
        panic!("on purpose");
    }))
    .unwrap_err();
    assert_gone(&home, &address);
}

#[test]
fn a_server_is_gone_after_its_owner_is_killed() {
    let mut owner = Owner::start(&[]);
    let (address, home) = owner.server();
    TcpStream::connect(&address).unwrap();
    owner.kill();
    wait_until("the end of the server", || !home.exists());
    assert_gone(&home, &address);
}

#[test]
fn a_server_is_gone_when_it_is_dropped_after_its_watchdog_is_killed() {
    let server = Server::start().unwrap();
    let (home, address) = (home(&server), address(server.url()));
    kill_9(&processes(&home).1);
    drop(server);
    assert_gone(&home, &address);
}

#[test]
fn the_next_start_removes_a_server_whose_owner_and_watchdog_are_killed() {
    let mut owner = Owner::start(&[]);
    let (address, home) = owner.server();
    kill_9(&processes(&home).1);
    owner.kill();
    start_until_gone(&home);
    assert_gone(&home, &address);
}

#[test]
fn the_next_start_removes_what_a_crash_has_left() {
    let mut owner = Owner::start(&[]);
    let (address, home) = owner.server();
    let (server, watchdog) = processes(&home);
    kill_9(&watchdog);
    kill_9(&server);
    owner.kill();
    start_until_gone(&home);
    assert_gone(&home, &address);
}

#[test]
fn servers_that_start_together_leave_each_other_alone() {
    let threads = [(); 3].map(|()| thread::spawn(|| Server::start().unwrap()));
    let servers = threads.map(|thread| thread.join().unwrap());
    for server in &servers {
        connect(server.url());
    }
}

#[test]
fn settings_are_what_the_builder_says() {
    let fast = Server::builder()
        .setting("work_mem", "7MB")
        .setting("max_connections", "30")
        .setting("port", "1")
        .start()
        .unwrap();
    let mut connection = connect(fast.url());
    for (setting, value) in [
        ("fsync", "off"),
        ("synchronous_commit", "off"),
        ("full_page_writes", "off"),
        ("max_locks_per_transaction", "256"),
        ("max_connections", "30"),
        ("work_mem", "7MB"),
        ("server_encoding", "UTF8"),
    ] {
        assert_eq!(show(&mut connection, setting), value, "{setting}");
    }
    let durable = Server::builder().durable(true).start().unwrap();
    let mut connection = connect(durable.url());
    for setting in ["fsync", "synchronous_commit", "full_page_writes"] {
        assert_eq!(show(&mut connection, setting), "on", "{setting}");
    }
    assert_eq!(show(&mut connection, "wal_segment_size"), "16MB");
}

#[test]
fn a_server_that_does_not_start_says_why() {
    let error = Server::builder()
        .setting("no_such_setting", "1")
        .start()
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Embedded);
    assert!(error.to_string().contains("no_such_setting"), "{error}");
}

#[test]
fn a_bad_bin_dir_is_an_error() {
    let error = Server::builder().bin_dir("/").start().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Embedded);
    assert!(error.chain().contains("no initdb"), "{}", error.chain());
}

#[test]
fn a_bad_variable_is_an_error_that_says_what_to_do() {
    let owner = Owner::start(&[("BOARDINGHOUSE_PG_BIN", "/no/such/directory")]);
    for part in [
        "BOARDINGHOUSE_PG_BIN",
        "/no/such/directory",
        "initdb",
        "unset it",
        "BOARDINGHOUSE_TEST_URL",
    ] {
        assert!(owner.report.contains(part), "{part}: {}", owner.report);
    }
}

#[test]
fn a_url_in_the_environment_is_used_as_it_is() {
    let owner = Owner::start(&[("BOARDINGHOUSE_TEST_URL", "postgres://db.example/x")]);
    assert_eq!(owner.report, "postgres://db.example/x\n");
    // A variable that is empty counts as not set.
    let owner = Owner::start(&[("BOARDINGHOUSE_TEST_URL", "")]);
    TcpStream::connect(owner.server().0).unwrap();
}
