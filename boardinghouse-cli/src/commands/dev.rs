//! `boardinghouse dev`: a server for as long as somebody wants it.

use std::{
    ffi::OsString,
    io::{self, IsTerminal as _},
    process::{Child, Command, ExitStatus},
    thread,
};

use boardinghouse_core::embedded::Server;
use rustix::process::{Pid, Signal, kill_process};
use signal_hook::{
    consts::{SIGHUP, SIGINT, SIGTERM},
    iterator::Signals,
};

use crate::{
    exit::{Exit, Failure},
    output::Output,
    render::dev::ServerReport,
};

pub(super) fn dev(output: &Output, command: &[OsString]) -> Result<Exit, Failure> {
    let server = Server::start()?;
    let mut signals = Signals::new([SIGINT, SIGTERM, SIGHUP])
        .map_err(|error| broken("listen to signals", &error))?;
    let Some((program, arguments)) = command.split_first() else {
        output.report(&ServerReport {
            url: server.url(),
            version: server.version(),
        })?;
        output.note("PostgreSQL is running; Ctrl-C stops it and removes all data");
        signals.forever().next();
        return Ok(Exit::Done);
    };
    if io::stderr().is_terminal() {
        output.note(&format!(
            "PostgreSQL {} is running; it stops when the command ends",
            server.version()
        ));
    }
    let child = Command::new(program)
        .args(arguments)
        .env("DATABASE_URL", server.url())
        .spawn()
        .map_err(|error| broken(&format!("run {}", program.display()), &error))?;
    let status = wait(child, signals).map_err(|error| broken("wait for the command", &error))?;
    Ok(Exit::of_child(status))
}

/// Waits for the child. Signals are its business: it gets Ctrl-C from the terminal, as we do, and
/// the others from us.
fn wait(mut child: Child, mut signals: Signals) -> io::Result<ExitStatus> {
    let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
    let handle = signals.handle();
    let forwarder = thread::spawn(move || {
        for signal in signals.forever() {
            let signal = match signal {
                SIGTERM => Signal::TERM,
                SIGHUP => Signal::HUP,
                _ => continue,
            };
            // It may have ended meanwhile.
            let _ = pid.map(|pid| kill_process(pid, signal));
        }
    });
    let status = child.wait();
    handle.close();
    let _ = forwarder.join();
    status
}

fn broken(what: &str, error: &io::Error) -> Failure {
    Failure::usage(format!("could not {what}: {error}"))
}
