//! What works on files: the scaffold, new migrations, and the code that is generated.

use std::path::PathBuf;

use boardinghouse_core::TenantId;
use clap::{Args, Subcommand};

#[derive(Debug, Args)]
pub(crate) struct Init {
    /// Lays down the files of a new application in DIR instead, and touches no database
    #[arg(
        long,
        value_name = "DIR",
        num_args = 0..=1,
        default_missing_value = "."
    )]
    pub(crate) scaffold: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum MigrationCommand {
    /// Creates the files of a new migration, to write SQL into
    ///
    /// The files are those of `diesel migration generate`, in the folder `tenant` or `shared`, or in the one
    /// that boardinghouse.toml names for a kind or a static tenant. The version is the time, or what follows
    /// the newest migration where the clock is behind it. No database is needed.
    ///
    /// Without --shared the migration runs in the template and in every tenant: leave names unqualified, and
    /// write shared tables in full, as public.users.
    #[command(after_help = "Examples:\n  \
        boardinghouse migration generate add_due_date_to_notes\n  \
        boardinghouse migration generate create_countries --shared\n  \
        boardinghouse migration generate create_carts --kind shop\n  \
        boardinghouse migration generate create_pages --static www\n  \
        boardinghouse migration generate index_notes --no-transaction")]
    Generate(Generate),
}

#[derive(Debug, Args)]
pub(crate) struct Generate {
    /// What the migration does, in letters, digits, `_` and `-`
    #[arg(value_parser = migration_name)]
    pub(crate) name: String,
    /// For the shared schema instead of the tenants
    #[arg(long)]
    pub(crate) shared: bool,
    /// For tenants of a kind that has migrations of its own in boardinghouse.toml
    #[arg(long, conflicts_with = "shared")]
    pub(crate) kind: Option<String>,
    /// For a static tenant of boardinghouse.toml
    #[arg(long = "static", value_name = "ID", conflicts_with_all = ["shared", "kind"])]
    pub(crate) own: Option<TenantId>,
    /// Runs outside of a transaction, as CREATE INDEX CONCURRENTLY must
    #[arg(long)]
    pub(crate) no_transaction: bool,
}

#[derive(Debug, Args)]
pub(crate) struct PrintSchema {
    /// Writes nothing; exits with 3, and shows the difference, when a file is not current
    #[arg(long)]
    pub(crate) check: bool,
    /// Where the code goes; `-` is stdout [default: `file` in diesel.toml, else stdout]
    #[arg(long, short, value_name = "FILE")]
    pub(crate) output: Option<PathBuf>,
    /// Prints the tables of a static tenant of boardinghouse.toml, and the shared ones, instead of those of all
    /// tenants: to stdout, unless --output says otherwise
    #[arg(long = "static", value_name = "ID")]
    pub(crate) own: Option<TenantId>,
    /// Diesel's tool [default: diesel, from PATH]
    #[arg(
        long,
        env = "BOARDINGHOUSE_DIESEL",
        hide_env_values = true,
        value_name = "PATH"
    )]
    pub(crate) diesel: Option<PathBuf>,
}

fn migration_name(name: &str) -> Result<String, String> {
    let fits = |c: char| c.is_alphanumeric() || c == '_' || c == '-';
    // Room for the version and for the longest file in it.
    if name.is_empty() || name.len() > 200 || !name.chars().all(fits) {
        return Err("write up to 200 letters, digits, `_` and `-`".to_owned());
    }
    Ok(name.to_owned())
}
