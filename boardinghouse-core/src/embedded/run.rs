//! Runs the server under a watchdog that outlives us.

use std::{
    fs,
    io::Write,
    net::{Ipv4Addr, TcpListener},
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::{Child, Stdio},
    time::{Duration, Instant},
};

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::{
    account::Account,
    failed,
    home::{self, Home},
    on_path,
};
use crate::error::{Error, Result};

/// How long the server may take until it accepts connections.
const PATIENCE: Duration = Duration::from_secs(30);

/// How many lines of the log an error shows.
const TAIL: usize = 15;

/// The watchdog: a shell that is the parent of the server, in a process group of its own, so that
/// Ctrl-C reaches us and not them.
///
/// Its standard input is a pipe from us. A line on it restarts the server. The pipe closes when we drop
/// it or die, and then the shell stops the server and removes the directory. Its standard output is a pipe to us, which only the
/// server keeps open: it closes when the server ends. Its standard error is the locked marker.
///
/// A shell makes its background jobs ignore SIGQUIT, so that a server which has only just been
/// started would not notice it: SIGTERM ends such a server. One that runs obeys SIGQUIT, at once.
const WATCHDOG: &str = r#"
bin=$1 dir=$2 segment=$3
shift 3
if [ ! -d "$dir/data" ]; then
    "$bin/initdb" -D "$dir/data" -A trust -U postgres -E UTF8 --no-locale --no-sync \
        --wal-segsize="$segment" >>"$dir/log" 2>&1 </dev/null || exit 1
fi
"$bin/postgres" -D "$dir/data" "$@" 3>&1 >>"$dir/log" 2>&1 </dev/null &
server=$!
exec >&-
while read -r _; do
    kill -INT "$server"
    wait "$server"
    "$bin/postgres" -D "$dir/data" "$@" >>"$dir/log" 2>&1 </dev/null &
    server=$!
done
kill -TERM "$server"
kill -QUIT "$server"
wait "$server"
rm -rf "$dir/data"
rm -rf "$dir"
"#;

/// A server, its watchdog and its directory. Dropping it ends and removes all three.
#[derive(Debug)]
pub(super) struct Run {
    account: Account,
    bin: PathBuf,
    home: Home,
    watchdog: Option<Child>,
}

impl Run {
    /// Makes the directory. Nothing runs yet.
    pub(super) fn prepare(account: Account, bin: &Path) -> Result<Self> {
        Ok(Self {
            account,
            bin: bin.to_owned(),
            home: Home::create(&account)?,
            watchdog: None,
        })
    }

    pub(super) fn home(&self) -> &Home {
        &self.home
    }

    /// Starts the server and waits for it. `false` when its port is taken by somebody else.
    pub(super) fn attempt(&mut self, port: u16, durable: bool, options: &[String]) -> Result<bool> {
        let log = self.home.log();
        self.spawn(port, durable, options)?;
        if self.wait()? {
            return Ok(true);
        }
        let text = fs::read(&log).unwrap_or_default();
        let text = String::from_utf8_lossy(&text);
        if !text.contains("Address already in use") {
            return Err(refused("PostgreSQL did not start", &text));
        }
        // The server is gone. Its watchdog would remove the directory, which is to be used again.
        if let Some(mut watchdog) = self.watchdog.take() {
            let _ = watchdog.kill();
            let _ = watchdog.wait();
        }
        fs::remove_file(&log).map_err(on_path("remove", &log))?;
        Ok(false)
    }

    fn spawn(&mut self, port: u16, durable: bool, options: &[String]) -> Result<()> {
        let marker = self.home.marker.try_clone();
        let marker = marker.map_err(on_path("share the lock of", &self.home.dir))?;
        let mut command = self.account.command("/bin/sh");
        command
            .args(["-c", WATCHDOG, "boardinghouse-watchdog"])
            .args([&self.bin, &self.home.dir])
            .arg(if durable { "16" } else { "1" });
        for option in options {
            command.args(["-c", option]);
        }
        // Last, so that no option can change where it listens.
        let port = port.to_string();
        command
            .args(["-c", "listen_addresses=127.0.0.1", "-p", &port, "-k"])
            .arg(&self.home.dir)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(marker)
            .process_group(0);
        let child = command
            .spawn()
            .map_err(on_path("run", Path::new("/bin/sh")))?;
        self.watchdog = Some(child);
        Ok(())
    }

    /// Stops the server, which cuts its sessions off, and starts it again as it was.
    pub(super) fn restart(&mut self) -> Result<()> {
        // The first lines name the process and when it started.
        let named = |text: &str| text.lines().take(3).map(str::to_owned).collect::<Vec<_>>();
        let status = self.home.data().join("postmaster.pid");
        let before = named(&fs::read_to_string(&status).map_err(on_path("read", &status))?);
        self.watchdog
            .as_mut()
            .and_then(|dog| dog.stdin.as_mut())
            .ok_or_else(|| failed("the watchdog of PostgreSQL is gone"))?
            .write_all(b"\n")
            .map_err(|error| {
                failed("could not reach the watchdog of PostgreSQL").with_source(error)
            })?;
        let start = Instant::now();
        while start.elapsed() < PATIENCE {
            let text = fs::read_to_string(&status).unwrap_or_default();
            if is_ready(&text) && named(&text) != before {
                return Ok(());
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        let text = fs::read(self.home.log()).unwrap_or_default();
        Err(refused(
            &format!(
                "PostgreSQL was not ready within {} s of its restart",
                PATIENCE.as_secs()
            ),
            &String::from_utf8_lossy(&text),
        ))
    }

    /// Waits until the server is ready. `false` when it has ended.
    fn wait(&mut self) -> Result<bool> {
        let Some(pipe) = self.watchdog.as_mut().and_then(|dog| dog.stdout.take()) else {
            return Ok(false);
        };
        let status = self.home.data().join("postmaster.pid");
        let step = Timespec {
            tv_sec: 0,
            tv_nsec: 10_000_000,
        };
        let start = Instant::now();
        while start.elapsed() < PATIENCE {
            let text = fs::read_to_string(&status).unwrap_or_default();
            if is_ready(&text) {
                return Ok(true);
            }
            // Nothing is ever written to the pipe: an event is its end.
            let mut pipe = [PollFd::new(&pipe, PollFlags::IN)];
            if poll(&mut pipe, Some(&step)).is_ok_and(|events| events > 0) {
                return Ok(false);
            }
        }
        let text = fs::read(self.home.log()).unwrap_or_default();
        Err(refused(
            &format!("PostgreSQL was not ready within {} s", PATIENCE.as_secs()),
            &String::from_utf8_lossy(&text),
        ))
    }
}

impl Drop for Run {
    fn drop(&mut self) {
        if let Some(mut watchdog) = self.watchdog.take() {
            drop(watchdog.stdin.take());
            let _ = watchdog.wait();
        }
        // Nothing is left to do here, unless somebody has killed the watchdog.
        if let Err(error) = home::clear(&self.home.dir, &self.account, &self.bin) {
            tracing::warn!(dir = %self.home.dir.display(), %error, "could not remove a server");
        }
    }
}

/// Whether a `postmaster.pid` is that of a server that accepts connections. The eighth line is the state;
/// the file is there before it is complete.
fn is_ready(status: &str) -> bool {
    status
        .lines()
        .nth(7)
        .is_some_and(|state| state.trim() == "ready")
}

fn refused(what: &str, log: &str) -> Error {
    let lines: Vec<_> = log.lines().collect();
    let tail = lines[lines.len().saturating_sub(TAIL)..].join("\n");
    failed(format!("{what}; its log ends with:\n{tail}"))
}

/// A port that was free a moment ago.
pub(super) fn free_port() -> Result<u16> {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
        .and_then(|listener| listener.local_addr())
        .map(|address| address.port())
        .map_err(|error| failed("could not get a port on 127.0.0.1").with_source(error))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::embedded::find;

    #[test]
    fn a_port_that_is_taken_calls_for_another() {
        let account = Account::of_server().unwrap();
        let binaries = find::binaries(&account, None).unwrap();
        let mut run = Run::prepare(account, &binaries.dir).unwrap();
        let taken = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = taken.local_addr().unwrap().port();
        assert!(!run.attempt(port, false, &[]).unwrap());
        assert!(run.attempt(free_port().unwrap(), false, &[]).unwrap());
        let dir = run.home().dir.clone();
        drop(run);
        assert!(!dir.exists());
    }

    #[test]
    fn an_error_shows_the_end_of_the_log() {
        let log: String = (1..=20).map(|line| format!("line {line}\n")).collect();
        let error = refused("no", &log).to_string();
        assert!(
            !error.contains("line 5\n") && error.ends_with("line 19\nline 20"),
            "{error}"
        );
    }
}
