//! A program that is run until it ends.

use std::{
    io,
    process::{Command, ExitStatus},
};

use crate::exit::{Failure, code};

/// How it ended.
pub(super) struct Ended {
    /// As a shell has it.
    pub(super) code: u8,
    /// Whether no other is to be run after it: somebody wants this to end.
    pub(super) stop: bool,
}

/// Runs a program. Signals are its business: it gets Ctrl-C from the terminal, as we do, and the others from us.
pub(super) fn run(command: &mut Command) -> Result<Ended, Failure> {
    let (status, stop) = wait(command).map_err(|error| {
        let program = command.get_program().display();
        Failure::usage(format!("could not run {program}: {error}"))
    })?;
    Ok(Ended {
        code: code(status),
        stop,
    })
}

#[cfg(unix)]
fn wait(command: &mut Command) -> io::Result<(ExitStatus, bool)> {
    use std::{os::unix::process::ExitStatusExt as _, thread};

    use rustix::process::{Pid, Signal, kill_process};
    use signal_hook::{
        consts::{SIGHUP, SIGINT, SIGTERM},
        iterator::Signals,
    };

    let mut signals = Signals::new([SIGINT, SIGTERM, SIGHUP])?;
    let handle = signals.handle();
    let mut child = command.spawn()?;
    let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
    let forwarder = thread::spawn(move || {
        let mut stop = false;
        for signal in signals.forever() {
            let signal = match signal {
                SIGTERM => Signal::TERM,
                SIGHUP => Signal::HUP,
                _ => continue,
            };
            stop = true;
            // It may have ended meanwhile.
            let _ = pid.map(|pid| kill_process(pid, signal));
        }
        stop
    });
    let status = child.wait();
    handle.close();
    let told = forwarder.join().unwrap_or(true);
    let status = status?;
    Ok((status, told || status.signal() == Some(SIGINT)))
}

#[cfg(not(unix))]
fn wait(command: &mut Command) -> io::Result<(ExitStatus, bool)> {
    command.status().map(|status| (status, false))
}
