//! What is said about migrating the fleet: which tenants, how, and to what.

use std::{num::NonZeroUsize, time::Duration};

use boardinghouse_core::{Limit, TenantId};
use clap::{Args, ValueEnum};
use serde_json::{Map, Value};

use super::attribute;

pub(super) const WHO: &str = "Which tenants";
const HOW: &str = "How";

/// Some of the tenants.
#[derive(Debug, Args)]
#[command(next_help_heading = WHO)]
pub(crate) struct Who {
    /// Only this tenant; can be repeated
    #[arg(
        short = 's',
        long = "tenant",
        visible_alias = "only",
        value_name = "ID"
    )]
    pub(crate) tenant: Vec<TenantId>,
    /// Not this tenant; can be repeated
    #[arg(long, value_name = "ID")]
    pub(crate) except: Vec<TenantId>,
    /// Only tenants whose attributes contain this: KEY=VALUE, or a JSON object; can be repeated
    #[arg(long = "where", value_name = "ATTRIBUTES", value_parser = attributes)]
    pub(crate) attributes: Vec<Map<String, Value>>,
    /// At most so many tenants, or this share of them, such as 5%
    #[arg(long, value_name = "N|P%")]
    pub(crate) limit: Option<Limit>,
    /// In the order of this attribute, or with - in front the other way round [default: by id]
    #[arg(long, value_name = "ATTRIBUTE", allow_hyphen_values = true)]
    pub(crate) order_by: Option<String>,
}

impl Who {
    /// Whether some tenants are left out.
    pub(crate) fn is_part(&self) -> bool {
        !self.tenant.is_empty()
            || !self.except.is_empty()
            || !self.attributes.is_empty()
            || self.limit.is_some()
    }
}

/// How a run goes on.
#[derive(Debug, Args)]
#[command(next_help_heading = HOW)]
pub(crate) struct How {
    /// For how many tenants, or batches of them, at once; each has a connection of its own [default: 4]
    #[arg(long, value_name = "N")]
    pub(crate) jobs: Option<NonZeroUsize>,
    /// Stops at the first tenant that fails; those that are being migrated are finished
    #[arg(long)]
    pub(crate) fail_fast: bool,
    /// Stops when more than so many tenants have failed
    #[arg(long, value_name = "N", conflicts_with = "fail_fast")]
    pub(crate) max_failures: Option<usize>,
    /// Waits as long after each batch, and makes batches short, so that requests are held up less, such as
    /// 50ms
    #[arg(long, value_name = "DURATION", value_parser = humantime::parse_duration)]
    pub(crate) pace: Option<Duration>,
    /// How many tenants one transaction may migrate at the most [default: 32]
    #[arg(long, value_name = "N")]
    pub(crate) batch: Option<NonZeroUsize>,
    /// How long a statement waits for a lock before the tenant is tried again later [default: 500ms]
    #[arg(long, value_name = "DURATION", value_parser = humantime::parse_duration)]
    pub(crate) lock_timeout: Option<Duration>,
    /// How long to wait for another migrator, and to try a tenant again whose tables are locked
    /// [default: 60s]
    #[arg(long, value_name = "DURATION", value_parser = humantime::parse_duration)]
    pub(crate) wait: Option<Duration>,
    /// Prints a line for each tenant when it is done
    #[arg(long)]
    pub(crate) each: bool,
    /// How progress is told on stderr: `json` is one event a line
    #[arg(long, value_name = "HOW", default_value = "auto")]
    pub(crate) progress: Progress,
}

/// How progress is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Progress {
    /// A bar on a terminal, lines elsewhere, nothing with --json
    Auto,
    /// A bar
    Bar,
    /// Lines
    Plain,
    /// One JSON object a line
    Json,
    /// Not at all
    None,
}

#[derive(Debug, Args)]
pub(crate) struct Migrate {
    /// Only the registry and the shared schema
    #[arg(
        long,
        conflicts_with_all = ["tenants", "tenant", "except", "attributes", "limit", "order_by", "atomic"]
    )]
    pub(crate) shared: bool,
    /// Only the templates and the tenants
    #[arg(long)]
    pub(crate) tenants: bool,
    /// Only the static tenants of boardinghouse.toml; with -s, those of them. No registry is needed
    #[arg(
        long = "static",
        conflicts_with_all = ["shared", "tenants", "except", "attributes", "limit", "order_by", "atomic"]
    )]
    pub(crate) statics: bool,
    /// Shows what would be done, and does nothing
    #[arg(long, visible_alias = "plan")]
    pub(crate) dry_run: bool,
    /// Shows what would be done, does nothing, and exits with 3 when that is something
    #[arg(long)]
    pub(crate) check: bool,
    /// Goes to exactly this version: what came later is reverted. Of the tenants, or with --shared of the
    /// shared schema
    #[arg(long, value_name = "VERSION", conflicts_with_all = ["mark_applied", "prune"])]
    pub(crate) to: Option<String>,
    /// All templates and tenants in one transaction, or none
    #[arg(long)]
    pub(crate) atomic: bool,
    /// Only remembers that this version is applied, and runs nothing; asks first
    #[arg(long, value_name = "VERSION", conflicts_with = "prune")]
    pub(crate) mark_applied: Option<String>,
    /// Only forgets versions that none of the migrations has; asks first
    #[arg(long)]
    pub(crate) prune: bool,
    /// Only reads the migrations and says what is wrong with them, as `lint` does
    #[arg(long)]
    pub(crate) lint: bool,
    /// Asks each schema itself what it has, writes the ledger anew, and goes on from there
    #[arg(long)]
    pub(crate) reconcile: bool,
    /// Leaves the groups of boardinghouse.toml out: the fleet is one
    #[arg(long)]
    pub(crate) no_groups: bool,
    #[command(flatten)]
    pub(crate) who: Who,
    #[command(flatten)]
    pub(crate) how: How,
}

/// What is taken back.
#[derive(Debug, Args)]
pub(crate) struct Back {
    /// How many migrations, the newest first, of those that any of the schemas has
    #[arg(long, value_name = "N", default_value = "1")]
    pub(crate) steps: NonZeroUsize,
    /// Those of the shared schema instead of the tenants'
    #[arg(long, conflicts_with_all = ["tenant", "except", "attributes", "limit", "order_by"])]
    pub(crate) shared: bool,
    /// Those of a static tenant of boardinghouse.toml, which -s names
    #[arg(
        long = "static",
        requires = "tenant",
        conflicts_with_all = ["shared", "except", "attributes", "limit", "order_by"]
    )]
    pub(crate) statics: bool,
    /// Shows what would be done, and does nothing
    #[arg(long, visible_alias = "plan")]
    pub(crate) dry_run: bool,
    #[command(flatten)]
    pub(crate) who: Who,
    #[command(flatten)]
    pub(crate) how: How,
}

#[derive(Debug, Args)]
pub(crate) struct Revert {
    /// All migrations
    #[arg(long, conflicts_with = "steps")]
    pub(crate) all: bool,
    #[command(flatten)]
    pub(crate) back: Back,
}

fn attributes(text: &str) -> Result<Map<String, Value>, String> {
    if text.trim_start().starts_with('{') {
        return serde_json::from_str(text).map_err(|error| format!("no JSON object: {error}"));
    }
    let (key, value) =
        attribute(text).map_err(|_| "write KEY=VALUE, or a JSON object".to_owned())?;
    Ok(Map::from_iter([(key, value)]))
}
