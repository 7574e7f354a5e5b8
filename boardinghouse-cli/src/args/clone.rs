//! What is said about clones, and about what they are made from.

use boardinghouse_core::SchemaName;
use clap::{Args, Subcommand};

use super::existing;

#[derive(Debug, Subcommand)]
pub(crate) enum PoolCommand {
    /// Shows which schemas are ready, and which are out of date
    ///
    /// Writes nothing.
    #[command(after_help = "Example:\n  boardinghouse pool status --json")]
    Status,
    /// Clones the template until there are so many schemas ready
    ///
    /// Drops those that are out of date first. `tenant create` takes one, if there is one. Run this from a
    /// timer: where nothing is to do it does nothing, and of several at once one works.
    #[command(after_help = "Example:\n  boardinghouse pool fill --size 20")]
    Fill {
        /// How many schemas should be ready
        #[arg(long, value_name = "N")]
        size: usize,
    },
    /// Drops the schemas that are ready, all of them
    ///
    /// No tenant loses anything: nobody has these yet.
    #[command(after_help = "Example:\n  boardinghouse pool drain")]
    Drain,
}

#[derive(Debug, Subcommand)]
pub(crate) enum TemplateCommand {
    /// Prints the script that creates a schema like the template
    ///
    /// Writes nothing.
    #[command(after_help = "Example:\n  boardinghouse template show preview")]
    Show {
        /// What the schema is called in the script
        #[arg(value_name = "SCHEMA", default_value = "new_tenant", value_parser = existing)]
        target: SchemaName,
    },
    /// Says whether the template can be cloned, and what a clone takes
    ///
    /// Exits with 2, and the list of what is in the way, where it cannot. Writes nothing.
    #[command(after_help = "Example:\n  boardinghouse template compile")]
    Compile,
    /// Clones the template, compares the clone with it, and takes it back
    ///
    /// The clone is read again like the template was, and must come out the same. Nothing of it stays.
    #[command(after_help = "Example:\n  boardinghouse template verify")]
    Verify,
    /// Lists the named templates
    ///
    /// They are schemas with rows, which tenants can be created from (`tenant create --template`), and which
    /// `migrate` visits before any tenant.
    #[command(after_help = "Example:\n  boardinghouse template list")]
    List,
    /// Makes a schema a named template
    ///
    /// It must exist; from now on it is migrated with the fleet.
    #[command(after_help = "Example:\n  \
        boardinghouse clone __template__ demo && boardinghouse template add demo")]
    Add {
        /// The schema
        #[arg(value_parser = existing)]
        schema: SchemaName,
    },
    /// Makes a named template a schema like any other
    ///
    /// The schema stays.
    #[command(after_help = "Example:\n  boardinghouse template remove demo")]
    Remove {
        /// The schema
        #[arg(value_parser = existing)]
        schema: SchemaName,
    },
}

#[derive(Debug, Args)]
pub(crate) struct CloneSchema {
    /// The schema to clone, as it is called in the database
    #[arg(value_name = "SRC", value_parser = existing)]
    pub(crate) source: SchemaName,
    /// The schema to create
    #[arg(value_name = "DST", value_parser = existing)]
    pub(crate) target: SchemaName,
    /// Copies the rows, too, all in one snapshot
    #[arg(long)]
    pub(crate) data: bool,
    /// Leaves the rows of this table out; can be repeated
    #[arg(long, value_name = "TABLE", requires = "data")]
    pub(crate) exclude_data: Vec<String>,
    /// Answers for an object whose text names the schema, called as in the list of what cannot be cloned;
    /// can be repeated
    #[arg(long, value_name = "OBJECT")]
    pub(crate) allow: Vec<String>,
    /// Prints the script, and does nothing
    #[arg(long)]
    pub(crate) dry_run: bool,
}
