//! The groups of boardinghouse.toml, as the migrator takes them.

use std::process::Command;

use boardinghouse_core::{Group, OnError, TenantFilter};

use crate::{
    config::{self, Match},
    exit::Failure,
};

/// The group, with its gate as a command of the shell's.
pub(crate) fn group(from: &config::Group) -> Result<Group, Failure> {
    let mut filter = TenantFilter::new();
    match &from.wanted {
        None => {}
        Some(Match::Attributes(attributes)) => {
            filter = filter.attributes(attributes.clone().into())?;
        }
        Some(Match::Tenants(ids)) => filter = filter.only(ids.iter().cloned()),
    }
    if let Some(attribute) = &from.order_by {
        filter = filter.order_by(attribute);
    }
    let mut group = Group::new(&from.name, filter).bake(from.bake.unwrap_or_default());
    if let Some(jobs) = from.jobs {
        group = group.jobs(jobs.get());
    }
    group = match from.on_error {
        config::OnError::Stop => group.on_error(OnError::Stop),
        config::OnError::Continue { max_failures } => {
            let group = group.on_error(OnError::Continue);
            match max_failures {
                Some(most) => group.max_failures(most),
                None => group,
            }
        }
    };
    if let Some(command) = from.gate.clone() {
        group = group.gate(move |name| ask(&command, name));
    }
    Ok(group)
}

/// Runs a gate; what it prints goes to stderr.
fn ask(command: &str, group: &str) -> Result<(), String> {
    let status = Command::new("sh")
        .args(["-c", command])
        .env("BOARDINGHOUSE_GROUP", group)
        .stdin(std::process::Stdio::null())
        .stdout(std::io::stderr())
        .status()
        .map_err(|error| format!("the gate `{command}` could not be run: {error}"))?;
    match status.success() {
        true => Ok(()),
        false => Err(format!("the gate `{command}` ended with {status}")),
    }
}
