//! What is said about moving tables.

use std::time::Duration;

use clap::{Args, Subcommand, ValueEnum};

#[derive(Debug, Subcommand)]
pub(crate) enum TableCommand {
    /// Moves a table, with all that it has, in one transaction
    ///
    /// To `tenants`: the templates and every tenant get the shared table, and foreign keys of their tables lead
    /// to their own. If it has rows, say with --copy-to-each that every tenant gets a copy of them; templates
    /// stay without, and so do tenants that have no schema yet, or are created from then on.
    ///
    /// To `shared`: the rows of all tenants become those of one shared table, which EVERY TENANT READS. Rows that
    /// say the same are one afterwards. Rows that have the same key and differ are listed, and nothing is
    /// changed; the exit code is then 1.
    ///
    /// What cannot be moved faithfully, and what uses the table and would be lost, such as a view, is refused with
    /// a list. Bodies of functions are text, and are not read. All tables concerned are locked until it is done;
    /// tenants cannot be created meanwhile, and no migration runs. Static tenants of boardinghouse.toml take no
    /// part; foreign keys of theirs to the table are in its way.
    ///
    /// The tables in which migrations are remembered stay as they are. What is to be added to the migrations, so
    /// that a new database comes out alike, is printed: put it in a new migration of either set, and mark
    /// those as applied where the table was moved (`boardinghouse migrate --mark-applied VERSION`, and the
    /// same with --shared). It is what comes up: `revert` stops there, unless you write down.sql, too. Run where
    /// the table was not moved, it fails as long as there are rows. `move` must be typed on the terminal, unless --yes is given.
    #[command(after_help = "Examples:\n  \
        boardinghouse table move plans --to tenants --copy-to-each --dry-run\n  \
        boardinghouse table move plans --to tenants --copy-to-each\n  \
        boardinghouse table move countries --to shared")]
    Move(MoveTable),
}

#[derive(Debug, Args)]
pub(crate) struct MoveTable {
    /// The table, as it is called in the database, without a schema
    pub(crate) name: String,
    /// Where it goes
    #[arg(long, value_name = "WHERE")]
    pub(crate) to: To,
    /// Gives every tenant, and named templates, a copy of the rows
    #[arg(long)]
    pub(crate) copy_to_each: bool,
    /// Shows what would be done, and does nothing. The table is locked for a moment, to be read
    #[arg(long, visible_alias = "plan")]
    pub(crate) dry_run: bool,
    /// How long a statement waits for a lock before all is let go and tried again [default: 500ms]
    #[arg(long, value_name = "DURATION", value_parser = humantime::parse_duration)]
    pub(crate) lock_timeout: Option<Duration>,
    /// How long to wait for a migrator, and to try again while tables are locked [default: 60s]
    #[arg(long, value_name = "DURATION", value_parser = humantime::parse_duration)]
    pub(crate) wait: Option<Duration>,
}

/// Where a table goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum To {
    /// From the templates and the tenants to the shared schema
    Shared,
    /// From the shared schema to the templates and the tenants
    Tenants,
}
