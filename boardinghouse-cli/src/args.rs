//! The command line, as clap reads it. Names become types here.

mod clone;
mod fleet;
mod people;
mod table;
mod tenant;
mod toolchain;
mod visit;

use std::{ffi::OsString, path::PathBuf};

use boardinghouse_core::{SchemaName, TenantId};
use clap::{ArgAction, Args, CommandFactory as _, FromArgMatches as _, Parser, Subcommand};
use serde_json::Value;

pub(crate) use clone::{CloneSchema, PoolCommand, TemplateCommand};
pub(crate) use fleet::{Back, How, Migrate, Progress, Revert, Who};
pub(crate) use people::{AddDomain, DomainCommand, MemberCommand};
pub(crate) use table::{MoveTable, TableCommand, To};
pub(crate) use tenant::{Create, Provision, TenantCommand};
pub(crate) use toolchain::{Generate, Init, MigrationCommand, PrintSchema};
pub(crate) use visit::{Exec, Repair, Selected};

const GLOBAL: &str = "Global options";
const LAYOUT: &str = "Names of schemas";

/// Operates a PostgreSQL database that holds one schema for each tenant.
#[derive(Debug, Parser)]
#[command(
    name = "boardinghouse",
    version,
    arg_required_else_help = true,
    after_help = "Exit codes:\n  \
        0  done\n  \
        1  something failed on the server, or for some tenant, or was cancelled\n  \
        2  invalid request: nothing was done; or `check` found a fault, or no proof of safety,\n     \
        or `lint` an error\n  \
        3  `status --check` or `migrate --check` found something pending, `drift` a difference, `gate` a tenant\n     \
        that is not ready, `print-schema --check` old code\n\n\
        Example:\n  \
        export DATABASE_URL=postgres://localhost/app\n  \
        boardinghouse init && boardinghouse migrate && boardinghouse tenant create acme"
)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) globals: Globals,
    #[command(subcommand)]
    pub(crate) command: Command,
}

impl Cli {
    /// What the program was called with. A variable that is empty counts as not set.
    pub(crate) fn read() -> Result<Self, clap::Error> {
        let mut command = steady(without_empty_variables(Self::command()));
        match command.try_get_matches_from_mut(std::env::args_os()) {
            Ok(matches) => {
                Self::from_arg_matches(&matches).map_err(|error| error.format(&mut command))
            }
            // Help tells of all variables.
            Err(error) if !error.use_stderr() => Self::try_parse(),
            Err(error) => Err(error),
        }
    }
}

fn without_empty_variables(command: clap::Command) -> clap::Command {
    command
        .mut_args(|arg| {
            let value = arg.get_env().and_then(std::env::var_os);
            if value.is_some_and(|value| value.is_empty()) {
                arg.env(None)
            } else {
                arg
            }
        })
        .mut_subcommands(without_empty_variables)
}

/// Errors show the usage that help shows: clap would add what was set by variables.
fn steady(mut command: clap::Command) -> clap::Command {
    fn fix(mut command: clap::Command) -> clap::Command {
        let usage = command.render_usage().to_string();
        let usage = usage.trim_start_matches("Usage: ").to_owned();
        command.override_usage(usage).mut_subcommands(fix)
    }
    command.build();
    fix(command)
}

/// Options that every command takes.
#[derive(Debug, Args)]
#[command(next_help_heading = GLOBAL)]
pub(crate) struct Globals {
    /// The database, as a URL or a libpq connection string
    #[arg(
        long,
        global = true,
        env = "DATABASE_URL",
        hide_env_values = true,
        value_name = "URL"
    )]
    pub(crate) database_url: Option<String>,
    /// The directory that holds the folders `shared` and `tenant` [default: migrations]
    #[arg(
        long,
        global = true,
        env = "BOARDINGHOUSE_MIGRATIONS",
        hide_env_values = true,
        value_name = "DIR"
    )]
    pub(crate) migrations: Option<PathBuf>,
    /// The configuration file [default: boardinghouse.toml, if there is one]. Options and variables win
    /// over it
    #[arg(
        long,
        global = true,
        env = "BOARDINGHOUSE_CONFIG",
        hide_env_values = true,
        value_name = "FILE"
    )]
    pub(crate) config: Option<PathBuf>,
    /// Writes the report as one JSON document to stdout, and an error as one to stderr
    #[arg(long, global = true)]
    pub(crate) json: bool,
    /// Does not ask before something is destroyed
    #[arg(long, short, global = true)]
    pub(crate) yes: bool,
    /// Never prompts: what needs an answer fails. This is the default when stdin is not a terminal
    #[arg(long, global = true)]
    pub(crate) no_input: bool,
    /// Logs to stderr; twice logs more. RUST_LOG takes precedence
    #[arg(long, short, global = true, action = ArgAction::Count)]
    pub(crate) verbose: u8,
    /// The schema that all tenants read [default: public]
    #[arg(
        long, global = true, env = "BOARDINGHOUSE_SHARED_SCHEMA", hide_env_values = true,
        value_name = "NAME", help_heading = LAYOUT
    )]
    pub(crate) shared_schema: Option<SchemaName>,
    /// The schema that tenants are cloned from [default: __template__]
    #[arg(
        long, global = true, env = "BOARDINGHOUSE_TEMPLATE_SCHEMA", hide_env_values = true,
        value_name = "NAME", help_heading = LAYOUT
    )]
    pub(crate) template_schema: Option<SchemaName>,
    /// A schema that is put on every path, such as one with extensions; can be repeated
    #[arg(
        long, global = true, env = "BOARDINGHOUSE_EXTRA_SCHEMAS", hide_env_values = true,
        value_name = "NAME", value_delimiter = ',', help_heading = LAYOUT
    )]
    pub(crate) extra_schema: Vec<SchemaName>,
    /// What the names of tenants' schemas begin with [default: nothing]
    #[arg(
        long, global = true, env = "BOARDINGHOUSE_SCHEMA_PREFIX", hide_env_values = true,
        value_name = "PREFIX", help_heading = LAYOUT
    )]
    pub(crate) schema_prefix: Option<String>,
    /// A tenant id that nobody can have, such as www; can be repeated
    #[arg(
        long, global = true, env = "BOARDINGHOUSE_RESERVED", hide_env_values = true,
        value_name = "ID", value_delimiter = ',', help_heading = LAYOUT
    )]
    pub(crate) reserved: Vec<TenantId>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Makes a database ready: the registry, the shared schema, an empty template
    ///
    /// Creates what is missing and leaves alone what is there, so it can be run again at any time.
    /// No migrations of the application are run: see `migrate`.
    ///
    /// With --scaffold it lays down what an application begins with: diesel.toml, boardinghouse.toml, and
    /// folders with a first migration of each set, on the usual names of schemas. Files that exist are left
    /// alone. No database is needed.
    #[command(after_help = "Examples:\n  \
        boardinghouse init\n  \
        boardinghouse init --scaffold app")]
    Init(Init),
    /// Creates, lists, shows, renames, suspends and deletes tenants
    #[command(
        subcommand,
        after_help = "Example:\n  boardinghouse tenant create acme && boardinghouse tenant list"
    )]
    Tenant(TenantCommand),
    /// Makes the schemas of tenants that were created with --defer
    ///
    /// Each as `tenant create` would have made it, in one transaction. Several of these may run at once, and
    /// one that is killed leaves nothing half made: run it again. A tenant whose schema cannot be made is
    /// marked as failed and does not keep the others back; the exit code is then 1. Tenants that have their
    /// schema are left as they are.
    #[command(after_help = "Examples:\n  \
        boardinghouse provision --pending\n  \
        boardinghouse provision acme globex")]
    Provision(Provision),
    /// Makes schemas anew for tenants whose own are missing
    ///
    /// Somebody has dropped such a schema behind the registry's back: `check` tells, as BH007. The tenant gets a
    /// clone of the template, as `tenant create` would have made it, and keeps its status, domains, members and
    /// attributes; its rows are not in it. Bring the schema back from a backup instead where there is one. A
    /// schema that only has another name now, as far as is known, and one that was adopted, are not made: the
    /// exit code is then 1. Tenants whose schemas are there are left as they are. `repair` must be typed on the
    /// terminal, unless --yes is given.
    #[command(after_help = "Examples:\n  \
        boardinghouse repair --dry-run\n  \
        boardinghouse repair acme --yes")]
    Repair(Repair),
    /// Adds, lists, changes and removes the domains that lead to tenants
    #[command(
        subcommand,
        after_help = "Example:\n  boardinghouse domain add acme notes.acme.com && boardinghouse domain list"
    )]
    Domain(DomainCommand),
    /// Adds, lists and removes the users who belong to tenants
    #[command(
        subcommand,
        after_help = "Example:\n  boardinghouse member add acme 42 --role owner"
    )]
    Member(MemberCommand),
    /// Runs the migrations that are pending
    ///
    /// The order is: registry, shared schema, the static tenants of boardinghouse.toml, template, named
    /// templates, the groups of boardinghouse.toml, then every other tenant. Each migration and the row that remembers it commit together; several tenants
    /// may share a transaction. A tenant that fails does not keep the others back; the exit code is then 1.
    ///
    /// Ctrl-C finishes what is being worked on, and a second one ends it at once, with 130. Whatever ended a
    /// run, running it again goes on.
    ///
    /// With an option that leaves some tenants out, the tenants alone are migrated: the template, and so new
    /// tenants, stay where they are. Groups do not count then, nor with --to or --atomic.
    #[command(after_help = "Examples:\n  \
        boardinghouse migrate --dry-run\n  \
        boardinghouse migrate\n  \
        boardinghouse migrate -s acme -s globex\n  \
        boardinghouse migrate --where plan=free --limit 5% --fail-fast\n  \
        boardinghouse migrate --static -s www\n  \
        boardinghouse migrate --jobs 8 --pace 50ms\n  \
        boardinghouse migrate --to 2026-03-01-000000")]
    Migrate(Migrate),
    /// Takes the newest migrations back, by their down.sql
    ///
    /// In the template, the named templates and every tenant, or with --shared in the shared schema. `revert`
    /// must be typed on the terminal, unless --yes is given.
    #[command(after_help = "Examples:\n  \
        boardinghouse revert --dry-run\n  \
        boardinghouse revert --steps 2 -s acme")]
    Revert(Revert),
    /// Takes the newest migrations back and applies them again
    ///
    /// In the template, the named templates and every tenant, or with --shared in the shared schema. `redo`
    /// must be typed on the terminal, unless --yes is given.
    #[command(after_help = "Example:\n  boardinghouse redo --yes")]
    Redo(Back),
    /// Shows which migrations each schema has and lacks
    ///
    /// Of more than 50 schemas, those that lack something, and how many tenants are at which version. What
    /// tenants have is read from the registry's ledger; `migrate --reconcile` asks them themselves. Writes
    /// nothing.
    #[command(after_help = "Examples:\n  \
        boardinghouse status\n  \
        boardinghouse status --check || echo 'run boardinghouse migrate'")]
    Status {
        /// Exits with 3 when something is pending
        #[arg(long)]
        check: bool,
    },
    /// Creates the files of migrations
    #[command(
        subcommand,
        after_help = "Example:\n  boardinghouse migration generate add_due_date_to_notes"
    )]
    Migration(MigrationCommand),
    /// Writes the application's schema.rs from both sets of migrations
    ///
    /// Tables of tenants and shared tables come out alike, unqualified, in one file, and can be joined. Both
    /// sets run in a scratch database on the same server, where `diesel print-schema` reads them, as
    /// diesel.toml has it; it is dropped at the end. The application's own database is not looked at. The
    /// role needs the right CREATEDB, and the machine Diesel's tool:
    ///
    /// cargo install diesel_cli --version '~2.3' --no-default-features --features postgres
    #[command(after_help = "Examples:\n  \
        boardinghouse print-schema\n  \
        boardinghouse print-schema --output src/schema.rs\n  \
        boardinghouse print-schema --check || echo 'run boardinghouse print-schema'")]
    PrintSchema(PrintSchema),
    /// Reads the migrations, and says what would go wrong in a fleet of tenants
    ///
    /// Needs no database and runs nothing. Each finding has its file, line and column, its rule, and what
    /// to do instead. Exits with 2 when there are errors; warnings and notes alone exit with 0, unless
    /// warnings are denied.
    ///
    /// A comment silences rules, in the statement or on the line above it; at the head of a file, with an
    /// empty line behind it, in the whole file:
    ///
    ///     -- boardinghouse: allow drop, index
    #[command(
        verbatim_doc_comment,
        after_help = "Examples:\n  \
        boardinghouse lint\n  \
        boardinghouse lint --deny-warnings path/to/migrations\n  \
        boardinghouse lint --rules"
    )]
    Lint(Lint),
    /// Checks the database, and says what is wrong and what to do about it
    ///
    /// Exits with 2 when something does not work or is not safe; warnings alone exit with 0. Without
    /// --migrations, versions are looked at only where the directory `migrations` holds both `shared`
    /// and `tenant`. Writes nothing.
    ///
    /// With --pooler it looks at nothing but the connection: whether the URL leads to a pooler that
    /// shares server processes between connections (PgBouncer in transaction mode), where a
    /// search_path that is set for a session would show one tenant's rows to another. It then exits
    /// with 0 only when sessions were seen to be safe.
    #[command(after_help = "Examples:\n  \
        boardinghouse check\n  \
        boardinghouse check --pooler")]
    Check {
        /// Finds out, by experiment, which modes of the pool are safe behind this URL
        #[arg(long)]
        pooler: bool,
    },
    /// Compares the structure of every tenant's schema with the template's
    ///
    /// Says what differs: tables, columns, constraints, indexes, sequences, triggers, functions, views,
    /// policies, privileges, comments, types, storage, statistics. Rows are not looked at. A tenant whose
    /// migrations are not those of the template is compared with the tenants at the same version. Exits with
    /// 3 when anything differs, or cannot be compared. Writes nothing.
    ///
    /// With --repair-sql it prints the scripts that would bring the tenants back, one transaction each, and
    /// runs none of them. What is dropped takes its rows along: read them first.
    #[command(after_help = "Examples:\n  \
        boardinghouse drift\n  \
        boardinghouse drift -s acme -s globex\n  \
        boardinghouse drift -s acme --repair-sql > repair.sql")]
    Drift {
        /// Reports on this tenant alone; can be repeated
        #[arg(short = 's', long = "tenant", value_name = "ID")]
        tenant: Vec<TenantId>,
        /// Prints the SQL that would bring the tenants back
        #[arg(long)]
        repair_sql: bool,
    },
    /// Moves a table from the shared schema to the tenants, or back
    #[command(
        subcommand,
        after_help = "Example:\n  boardinghouse table move plans --to tenants --copy-to-each --dry-run"
    )]
    Table(TableCommand),
    /// Asks whether every tenant has what a program's `table!` definitions need
    ///
    /// For a deployment: exits with 0 when the program can be started, and with 3 and the list when a table
    /// or a column is missing somewhere, is of another type, or can be NULL where the program is not ready
    /// for it. What a schema has more is no fault. Tables that the shared schema alone has are looked for
    /// there. Writes nothing.
    #[command(after_help = "Example:\n  boardinghouse gate --schema src/schema.rs")]
    Gate {
        /// The file with the `table!` definitions
        #[arg(long, value_name = "FILE", default_value = "src/schema.rs")]
        schema: PathBuf,
    },
    /// Runs SQL on one tenant, or on all of them
    ///
    /// The statement sees what the application sees: the tenant's schema, then the shared one. One
    /// statement that gives rows shows them; several statements, separated by semicolons, run in one
    /// transaction and show none.
    ///
    /// With --all it runs once for each tenant that is ready, each time in a transaction of its own, and
    /// each row has its tenant in front. A tenant that fails does not keep the others back; the exit
    /// code is then 1.
    #[command(after_help = "Examples:\n  \
        boardinghouse sql -s acme \"SELECT count(*) FROM notes\"\n  \
        boardinghouse sql -s acme - < repair.sql\n  \
        boardinghouse sql --all \"SELECT count(*) FROM notes\"")]
    Sql {
        #[command(flatten)]
        whom: Whom,
        /// The statement; `-` reads it from stdin
        #[arg(value_name = "SQL", allow_hyphen_values = true)]
        statement: String,
    },
    /// Shows which tenants the options select, in the order in which they are visited
    ///
    /// Without an option it is all of them. `exec` visits those that are ready.
    #[command(after_help = "Examples:\n  \
        boardinghouse who --where plan=free --order-by -seats --limit 5%\n  \
        boardinghouse who --static")]
    Who(Selected),
    /// Runs a program for one tenant after another
    ///
    /// The program finds in DATABASE_URL, and in libpq's own variables (PGHOST, PGOPTIONS ...), a way into the
    /// database whose sessions see what the application sees: the tenant's schema, then the shared one.
    /// BOARDINGHOUSE_TENANT has the tenant's id, BOARDINGHOUSE_SCHEMA the name of its schema. A session is
    /// opened first, to see that it begins there. While the program runs, the tenant is neither renamed nor
    /// deleted. A program that sets the search_path itself, or connects by a driver that takes no notice of
    /// libpq's options, is on its own, and so is one whose tenant's schema somebody drops or renames by hand.
    ///
    /// For one tenant that -s names, the exit code is the program's. For several, the program gets nothing on
    /// stdin, a tenant for which it fails does not keep the others back, and the exit code is then 1.
    #[command(after_help = "Examples:\n  \
        boardinghouse exec -s acme -- psql\n  \
        boardinghouse exec --all -- ./nightly-report\n  \
        boardinghouse exec --where plan=free --limit 5% -- ./send-mails")]
    Exec(Exec),
    /// Keeps clones of the template ready, so that a tenant is created in a moment
    #[command(
        subcommand,
        after_help = "Example:\n  boardinghouse pool fill --size 20"
    )]
    Pool(PoolCommand),
    /// Shows how tenants are cloned, and proves that it is right
    #[command(subcommand, after_help = "Example:\n  boardinghouse template verify")]
    Template(TemplateCommand),
    /// Clones a schema, any schema, with everything in it
    ///
    /// Works on every database: no registry and no template are needed. The clone is created in one
    /// transaction, and nobody can tell it from the original; or nothing is created, and the list of what
    /// cannot be cloned is printed, with exit code 2.
    ///
    /// Without --data the clone gets no rows, except those of Diesel's table of migrations. Sequences go on
    /// where the original's are. The clone belongs to whom the original belongs.
    #[command(after_help = "Examples:\n  \
        boardinghouse clone acme acme_staging --data --exclude-data sessions\n  \
        boardinghouse clone __template__ preview --dry-run\n  \
        boardinghouse clone legacy copy --allow 'function report(integer)'")]
    Clone(CloneSchema),
    /// Runs a private PostgreSQL server in the foreground
    ///
    /// Prints its URL and runs until Ctrl-C; the server and all data are then gone. With a command
    /// it runs that, with DATABASE_URL set, and exits with its exit code.
    ///
    /// The server listens on 127.0.0.1 and asks for no password: every local user can connect.
    #[cfg(unix)]
    #[command(after_help = "Examples:\n  \
        boardinghouse dev\n  \
        boardinghouse dev -- cargo test")]
    Dev {
        /// What to run with DATABASE_URL set
        #[arg(last = true, value_name = "COMMAND")]
        command: Vec<OsString>,
    },
}

/// One tenant or all.
#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
pub(crate) struct Whom {
    /// The tenant
    #[arg(
        short = 's',
        long = "tenant",
        env = "BOARDINGHOUSE_TENANT",
        hide_env_values = true,
        value_name = "ID"
    )]
    pub(crate) tenant: Option<TenantId>,
    /// Every tenant that is ready
    #[arg(long)]
    pub(crate) all: bool,
}

/// Any name that PostgreSQL allows.
fn existing(name: &str) -> Result<SchemaName, String> {
    SchemaName::existing(name).map_err(|error| error.to_string())
}

#[derive(Debug, Args)]
pub(crate) struct Lint {
    /// The directory that holds `shared` and `tenant` [default: that of --migrations]
    #[arg(value_name = "DIR", conflicts_with = "rules")]
    pub(crate) dir: Option<PathBuf>,
    /// Exits with 2 for warnings, too
    #[arg(long)]
    pub(crate) deny_warnings: bool,
    /// Shows what is looked for, and what to do about it
    #[arg(long)]
    pub(crate) rules: bool,
}

fn attribute(text: &str) -> Result<(String, Value), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() => {
            let value = serde_json::from_str(value).unwrap_or_else(|_| value.into());
            Ok((key.to_owned(), value))
        }
        _ => Err("write KEY=VALUE".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;
    use serde_json::json;

    use super::{Cli, attribute};

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn an_attribute_is_json_or_else_a_string() {
        let value = |text| attribute(text).ok();
        assert_eq!(value("seats=25"), Some(("seats".into(), json!(25))));
        assert_eq!(
            value("paid=2030-01-01"),
            Some(("paid".into(), json!("2030-01-01")))
        );
        assert_eq!(
            value("a=[1,{\"b\":null}]"),
            Some(("a".into(), json!([1, { "b": null }])))
        );
        assert_eq!(value("a=x=y"), Some(("a".into(), json!("x=y"))));
        assert_eq!(value("a="), Some(("a".into(), json!(""))));
        assert_eq!(value("=1"), None);
        assert_eq!(value("a"), None);
    }
}
