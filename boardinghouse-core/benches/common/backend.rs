//! What the server's processes take, by the system's word (Linux).

use std::{fs, time::Duration};

/// The server processes that serve clients.
fn backends() -> impl Iterator<Item = String> {
    fs::read_dir("/proc")
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| entry.file_name().into_string().ok())
        .filter(|pid| {
            // A client's process names its user, database and address.
            fs::read_to_string(format!("/proc/{pid}/cmdline"))
                .is_ok_and(|name| name.starts_with("postgres: postgres "))
        })
}

/// The CPU time that all of them have used.
pub(crate) fn cpu() -> Duration {
    backends().filter_map(|pid| cpu_of(&pid)).sum()
}

/// The CPU time that a process has used; `self` is this one.
pub(crate) fn cpu_of(pid: &str) -> Option<Duration> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let fields: Vec<u64> = stat
        .rsplit(')')
        .next()?
        .split_whitespace()
        .map(|field| field.parse().unwrap_or(0))
        .collect();
    let ticks = fields.get(11)? + fields.get(12)?;
    Some(Duration::from_millis(ticks * 10))
}
