//! What is said about doing something in one tenant after another.

use std::ffi::OsString;

use boardinghouse_core::TenantId;
use clap::Args;

use super::Who;

/// Tenants, whether the registry or the configuration has them.
#[derive(Debug, Args)]
pub(crate) struct Selected {
    /// Every tenant of the registry
    #[arg(
        long,
        conflicts_with_all = ["statics", "tenant", "except", "attributes", "limit"],
        help_heading = super::fleet::WHO
    )]
    pub(crate) all: bool,
    /// The static tenants of boardinghouse.toml; with -s, those of them
    #[arg(
        long = "static",
        conflicts_with_all = ["except", "attributes", "limit", "order_by"],
        help_heading = super::fleet::WHO
    )]
    pub(crate) statics: bool,
    #[command(flatten)]
    pub(crate) who: Who,
}

#[derive(Debug, Args)]
pub(crate) struct Exec {
    #[command(flatten)]
    pub(crate) selected: Selected,
    /// Stops at the first tenant for which the program fails
    #[arg(long)]
    pub(crate) fail_fast: bool,
    /// The program and its arguments
    #[arg(last = true, required = true, value_name = "COMMAND")]
    pub(crate) command: Vec<OsString>,
}

/// Tenants whose schemas are missing.
#[derive(Debug, Args)]
pub(crate) struct Repair {
    /// Only these tenants [default: all whose schemas are missing]
    #[arg(value_name = "TENANT")]
    pub(crate) tenants: Vec<TenantId>,
    /// Shows whose schemas are missing, and does nothing
    #[arg(long)]
    pub(crate) dry_run: bool,
}
