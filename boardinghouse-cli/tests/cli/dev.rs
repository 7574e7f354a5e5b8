//! `boardinghouse dev`

use std::{
    io::{BufRead as _, BufReader, Read as _},
    process::Stdio,
    time::{Duration, Instant},
};

use diesel::{Connection as _, PgConnection};
use rustix::process::{Pid, Signal, kill_process};

use crate::fixture::{Run, boardinghouse, terminal};

fn stop(child: &std::process::Child, signal: Signal) {
    let pid = Pid::from_raw(i32::try_from(child.id()).unwrap()).unwrap();
    kill_process(pid, signal).unwrap();
}

#[test]
fn a_command_runs_with_the_url_of_a_server_of_its_own() {
    let run: Run = boardinghouse(&["dev", "--", "sh", "-c", "echo $DATABASE_URL"])
        .output()
        .unwrap()
        .into();
    let run = run.expect(0);
    assert!(
        run.stdout.starts_with("postgres://postgres@127.0.0.1:"),
        "{run:?}"
    );
    assert!(
        PgConnection::establish(run.stdout.trim()).is_err(),
        "the server is still there"
    );
    let run: Run = boardinghouse(&["dev", "--", env!("CARGO_BIN_EXE_boardinghouse"), "init"])
        .output()
        .unwrap()
        .into();
    run.expect(0);
}

#[test]
fn a_person_is_told_that_the_server_ends_with_the_command() {
    let (mut terminal, stderr) = terminal();
    let run: Run = boardinghouse(&["dev", "--", "true"])
        .stderr(stderr)
        .output()
        .unwrap()
        .into();
    run.expect(0);
    let mut told = [0; 256];
    let length = terminal.read(&mut told).unwrap();
    let told = String::from_utf8_lossy(&told[..length]);
    assert!(told.starts_with("PostgreSQL "), "{told}");
    assert!(
        told.contains("is running; it stops when the command ends"),
        "{told}"
    );
    let run: Run = boardinghouse(&["dev", "--", "true"])
        .output()
        .unwrap()
        .into();
    assert_eq!(run.expect(0).stderr, "");
}

#[test]
fn the_exit_code_of_the_command_is_passed_on() {
    for (script, code) in [("exit 7", 7), ("kill -9 $$", 137)] {
        let run: Run = boardinghouse(&["dev", "--", "sh", "-c", script])
            .output()
            .unwrap()
            .into();
        run.expect(code);
    }
    let run: Run = boardinghouse(&["dev", "--", "no-such-program"])
        .output()
        .unwrap()
        .into();
    run.expect(2).says(&["no-such-program"]);
}

#[test]
fn the_server_runs_until_a_signal_and_is_gone_then() {
    for signal in [Signal::INT, Signal::TERM] {
        let mut child = boardinghouse(&["dev"])
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut url = String::new();
        BufReader::new(child.stdout.take().unwrap())
            .read_line(&mut url)
            .unwrap();
        let url = url.trim();
        assert!(PgConnection::establish(url).is_ok());
        stop(&child, signal);
        let run: Run = child.wait_with_output().unwrap().into();
        run.expect(0).says(&["Ctrl-C"]);
        assert!(PgConnection::establish(url).is_err());
    }
}

#[test]
fn a_signal_to_us_ends_the_command_and_the_server() {
    let started = Instant::now();
    let child = boardinghouse(&["dev", "--", "sh", "-c", "echo up; exec sleep 60"])
        .stdout(Stdio::piped())
        .spawn();
    let mut child = child.unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap())
        .read_line(&mut line)
        .unwrap();
    assert_eq!(line, "up\n");
    stop(&child, Signal::TERM);
    assert_eq!(child.wait().unwrap().code(), Some(143));
    assert!(started.elapsed() < Duration::from_secs(30));
}
