//! Reads migrations before they are run: what would go wrong in a fleet of tenants, file and line.
//!
//! ```
//! use boardinghouse_core::lint::{Lint, MigrationText, Set};
//!
//! let up = "CREATE TABLE public.notes (id int);\n";
//! let migration = MigrationText::new(Set::Tenant, "2026-11-20-000000_notes", up).with_down("SELECT 1");
//! let findings = Lint::new().run_texts(&[migration]);
//! assert_eq!(findings[0].rule, "writes-shared");
//! assert_eq!((findings[0].line, findings[0].column), (1, 14));
//! ```
//!
//! No database is needed and none is asked. Nothing is run.
//!
//! # Rules
//!
//! | rule | weighs | finds |
//! |---|---|---|
//! | `writes-shared` | error | a tenant migration that writes to the shared schema |
//! | `qualified-own` | error | a tenant's table that is named with a schema |
//! | `qualified-write` | error | writing to a schema that is neither the tenant's nor the shared one |
//! | `names-tenant` | error | the template, or the schema of one tenant, by its name |
//! | `shared-refers-tenant` | error | a shared migration that refers to a table of tenants |
//! | `unqualified-shared` | error | a foreign key to a shared table without its schema |
//! | `shadows` | warning | a name that is a table in both sets |
//! | `search-path` | error | changing the search_path |
//! | `extension` | error | an extension in a tenant migration |
//! | `schema` | error | creating, changing or dropping a schema in a tenant migration |
//! | `not-per-tenant` | error | what a server or a database has once, in a tenant migration |
//! | `own-type` | info | a type or a domain in a tenant migration |
//! | `not-sql` | error | what psql understands and the server does not, and what is not closed |
//! | `transaction-control` | error | beginning or ending a transaction in a migration that runs in one |
//! | `not-in-transaction` | error | what PostgreSQL refuses in a transaction, in a migration that runs in one |
//! | `not-alone` | error | what PostgreSQL refuses in a transaction, together with other statements |
//! | `enum-value-used` | error | a label that is added to an enum and used by the same transaction |
//! | `session-state` | warning | what stays with the session after the migration: SET without LOCAL, LISTEN, advisory locks, prepared statements, temporary tables |
//! | `hidden-sql` | info | SQL that a block or a function builds and runs with EXECUTE |
//! | `column-rewrites` | warning | a new column whose value is computed for each row: the table is written anew |
//! | `column-type` | warning | another type for a column: the table is written anew, and nobody reads it meanwhile |
//! | `column-not-null` | error | a new column that is NOT NULL and has no default: it fails where there are rows |
//! | `set-not-null` | warning | SET NOT NULL: the whole table is read while nobody uses it |
//! | `foreign-key-valid` | warning | a foreign key that is checked at once: nobody writes to either table meanwhile |
//! | `check-valid` | warning | a check that is made at once: nobody uses the table meanwhile |
//! | `validated-at-once` | warning | a constraint that is added and validated in one transaction |
//! | `unique` | warning | a primary key, a unique or an exclusion constraint: its index is built while nobody uses the table |
//! | `index` | warning | an index on a table that is there already: nobody writes to the table until it is built |
//! | `rename` | warning | renaming a table or a column: the release that is running does not know the new name |
//! | `drop` | warning | dropping a table or a column, which the release that is running may still use |
//! | `lock` | warning | LOCK: writers and readers of all tenants wait in turn |
//! | `rewrite` | warning | what writes a table or an index anew while nobody uses it: CLUSTER, VACUUM FULL, REINDEX, SET TABLESPACE, SET LOGGED |
//! | `no-down` | info | a migration that cannot be reverted: down.sql is missing, or holds no statement |
//! | `unused-allow` | warning | a comment that allows a rule where it finds nothing, or one that does not exist |
//!
//! Rules about large tables say nothing of tables that the same file creates: these are empty. Those about
//! a running release say nothing of `down.sql`.
//!
//! # Allowing
//!
//! A comment silences rules, for one statement or for a file:
//!
//! ```sql
//! -- boardinghouse: allow no-down, drop
//!
//! -- boardinghouse: allow index (two hundred rows at most)
//! CREATE INDEX plans_name ON plans (name);
//! ALTER TABLE plans DROP price;
//! ALTER TABLE plans ADD cents int; -- boardinghouse: allow rename
//! ```
//!
//! It counts for the statement that it is in, or behind on the same line, or right above. Before the first
//! statement, and parted from it by an empty line, it counts for the file. One that silences nothing is a
//! finding itself, as the last one here is.
//!
//! # What is read
//!
//! SQL is read in tokens, not with a grammar of PostgreSQL. A parser knows the statements of one version,
//! and what it cannot parse it cannot judge; what is looked for here can be told from the first words of a
//! statement and from where names stand, which is the same in all versions. So every text is read, no text
//! is an error of the linter's, and what is quoted (strings, dollar quotes, names, comments) is never taken
//! for a keyword. The block of a `DO` is read like a file. What a statement builds and runs with `EXECUTE`
//! is not known, which is a finding of its own.

mod column;
mod context;
mod created;
mod cursor;
mod isolation;
mod known;
mod names;
mod once;
mod read;
mod rule;
mod scale;
mod statement;
#[cfg(test)]
mod tests;
mod token;

use std::{
    collections::HashSet,
    fmt,
    path::{Path, PathBuf},
};

use serde::Serialize;

pub use self::rule::{RULES, Rule};
use self::{
    context::{Context, Findings, Found},
    known::{Known, Place, Proven},
    statement::Script,
};
use crate::{doctor::Severity, error::Result, layout::Layout};

/// Which of the two sets a migration is in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Set {
    /// Run once, in the shared schema.
    Shared,
    /// Run in the template and in each tenant's schema.
    Tenant,
}

impl Set {
    /// The name of its folder.
    #[must_use]
    pub fn folder(self) -> &'static str {
        match self {
            Self::Shared => "shared",
            Self::Tenant => "tenant",
        }
    }
}

impl fmt::Display for Set {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.folder())
    }
}

/// The text of one migration.
#[derive(Clone, Debug)]
pub struct MigrationText {
    set: Set,
    folder: PathBuf,
    up: String,
    down: Option<String>,
    in_transaction: bool,
}

impl MigrationText {
    /// A migration that runs in a transaction and has no `down.sql`. The folder is what findings are told
    /// with; its last part is the migration's name, and migrations run in the order of their names.
    #[must_use]
    pub fn new(set: Set, folder: impl Into<PathBuf>, up: impl Into<String>) -> Self {
        Self {
            set,
            folder: folder.into(),
            up: up.into(),
            down: None,
            in_transaction: true,
        }
    }

    /// Sets the text of `down.sql`. Defaults to none.
    #[must_use]
    pub fn with_down(mut self, down: impl Into<String>) -> Self {
        self.down = Some(down.into());
        self
    }

    /// Sets whether it runs in a transaction, as `run_in_transaction` in its `metadata.toml` does.
    /// Defaults to true.
    #[must_use]
    pub fn run_in_transaction(mut self, in_transaction: bool) -> Self {
        self.in_transaction = in_transaction;
        self
    }
}

/// Something in a migration that should be otherwise, or be known.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct LintFinding {
    /// The [`Rule`] that found it, by its id.
    pub rule: &'static str,
    /// How much it weighs.
    pub severity: Severity,
    /// The file.
    pub file: PathBuf,
    /// The line, from 1.
    pub line: usize,
    /// The character in the line, from 1.
    pub column: usize,
    /// What is found here.
    pub message: String,
    /// What to do instead.
    pub hint: &'static str,
}

impl fmt::Display for LintFinding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (file, line, column) = (self.file.display(), self.line, self.column);
        let (severity, rule, message) = (self.severity, self.rule, &self.message);
        write!(f, "{file}:{line}:{column}: {severity}[{rule}]: {message}")
    }
}

/// Looks migrations over. See the [module](self) for what it looks for.
///
/// # Examples
///
/// ```no_run
/// use boardinghouse_core::lint::Lint;
///
/// for finding in Lint::new().run("migrations")? {
///     eprintln!("{finding}\n  {}", finding.hint);
/// }
/// # Ok::<(), boardinghouse_core::Error>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct Lint {
    layout: Layout,
    kinds: Vec<PathBuf>,
    statics: Vec<PathBuf>,
}

impl Lint {
    /// A linter for the default [`Layout`].
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets the names of the schemas. With a prefix, schemas of tenants are known by it.
    #[must_use]
    pub fn layout(mut self, layout: Layout) -> Self {
        self.layout = layout;
        self
    }

    /// Adds the folder of a [kind of tenants](crate::Migrator::kind), which [`run`](Self::run) looks over
    /// together with what all tenants have. Defaults to none.
    #[must_use]
    pub fn kind(mut self, folder: impl Into<PathBuf>) -> Self {
        self.kinds.push(folder.into());
        self
    }

    /// Adds the folder of a [static tenant](crate::StaticTenants), which [`run`](Self::run) looks over together
    /// with what is shared. Defaults to none.
    #[must_use]
    pub fn static_tenant(mut self, folder: impl Into<PathBuf>) -> Self {
        self.statics.push(folder.into());
        self
    }

    /// Looks over the folders `shared` and `tenant` of a directory, of which one may be missing, and those of
    /// kinds and of static tenants.
    ///
    /// # Errors
    ///
    /// What is wrong with the migrations is in the findings. [`ErrorKind::InvalidInput`](crate::ErrorKind::InvalidInput) says that they
    /// could not be read: there is neither folder, or Diesel would not take what is in it.
    pub fn run(&self, dir: impl AsRef<Path>) -> Result<Vec<LintFinding>> {
        let of_all = read::migrations(dir.as_ref())?;
        let mut findings = self.run_texts(&of_all);
        findings.extend(self.found_in(&self.kinds, &of_all)?);
        let mut shared = of_all;
        shared.retain(|text| text.set == Set::Shared);
        findings.extend(self.found_in(&self.statics, &shared)?);
        Ok(findings)
    }

    /// Looks over the folders of static tenants alone, where there are no other migrations.
    ///
    /// # Errors
    ///
    /// As [`run`](Self::run), where Diesel would not take what is in them.
    pub fn run_static(&self) -> Result<Vec<LintFinding>> {
        self.found_in(&self.statics, &[])
    }

    /// What is found in each of these folders of tenants' migrations, which run together with `others`.
    fn found_in(&self, folders: &[PathBuf], others: &[MigrationText]) -> Result<Vec<LintFinding>> {
        let mut findings = Vec::new();
        for folder in folders {
            let mut texts = read::of_folder(Set::Tenant, folder)?;
            texts.extend(others.iter().cloned());
            let found = self.run_texts(&texts).into_iter();
            findings.extend(found.filter(|finding| finding.file.starts_with(folder)));
        }
        Ok(findings)
    }

    /// Looks over migrations of both sets, which are taken for all that there are.
    #[must_use]
    pub fn run_texts(&self, migrations: &[MigrationText]) -> Vec<LintFinding> {
        let mut migrations: Vec<&MigrationText> = migrations.iter().collect();
        migrations.sort_by_key(|one| (one.set as u8, one.folder.file_name()));
        let shared = self.known(&migrations, Set::Shared);
        let tenant = self.known(&migrations, Set::Tenant);
        let mut findings = Vec::new();
        for set in [Set::Shared, Set::Tenant] {
            let mut proven = Proven::default();
            for (number, migration) in migrations.iter().enumerate() {
                if migration.set != set {
                    continue;
                }
                for (name, text) in [
                    ("up.sql", Some(&migration.up)),
                    ("down.sql", migration.down.as_ref()),
                ] {
                    let Some(text) = text else { continue };
                    let script = Script::read(text);
                    let is_down = name == "down.sql";
                    let mut aside = Proven::default();
                    let mut context = Context {
                        layout: &self.layout,
                        set,
                        is_down,
                        in_transaction: migration.in_transaction,
                        is_alone: script.statements.len() == 1,
                        tenant: &tenant,
                        shared: &shared,
                        here: HashSet::new(),
                        dropped: dropped(&script),
                        // What is reverted proves nothing for what comes next.
                        proven: if is_down { &mut aside } else { &mut proven },
                        not_valid: HashSet::new(),
                        labels: HashSet::new(),
                    };
                    let mut found = statements(&mut context, &script);
                    if !is_down {
                        no_down(migration, &mut found);
                        shadows(&context, number, &mut found);
                    }
                    let file = migration.folder.join(name);
                    let found = found.allowed(&script.allows);
                    findings.extend(found.into_iter().map(|found| finding(found, &file, text)));
                }
            }
        }
        findings.sort_by(|a, b| {
            (&a.file, a.line, a.column, a.rule).cmp(&(&b.file, b.line, b.column, b.rule))
        });
        findings
    }

    /// What the migrations of a set create.
    fn known(&self, migrations: &[&MigrationText], set: Set) -> Known {
        let mut known = Known::default();
        // A table that a tenant migration creates in the shared schema is no tenant's.
        let shared = self.layout.shared().as_str();
        let elsewhere = |schema: Option<&str>| match set {
            Set::Shared => schema.is_some_and(|schema| schema != shared),
            Set::Tenant => schema == Some(shared),
        };
        for (number, migration) in migrations.iter().enumerate() {
            if migration.set == set {
                for (statement, one) in Script::read(&migration.up).statements.iter().enumerate() {
                    for piece in known::pieces(&one.tokens) {
                        let place = Place {
                            migration: number,
                            statement,
                            at: one.at(),
                        };
                        known.learn(&piece, place, elsewhere);
                    }
                }
            }
        }
        known
    }
}

/// What the rules find in the statements of a file.
fn statements(context: &mut Context<'_>, script: &Script<'_>) -> Findings {
    let mut findings = Findings::default();
    for (at, fault) in &script.faults {
        // Where a fault is in a statement, a comment above that allows it.
        let begun = script.statements.partition_point(|one| one.at() <= *at);
        findings.statement = begun.checked_sub(1);
        findings.add(rule::NOT_SQL, *at, *fault);
    }
    for (number, statement) in script.statements.iter().enumerate() {
        findings.statement = Some(number);
        for piece in known::pieces(&statement.tokens) {
            isolation::check(context, &piece, &mut findings);
            scale::check(context, &piece, &mut findings);
            context::note_created(context, &piece);
        }
    }
    findings.statement = None;
    findings
}

/// The tables that a file drops.
fn dropped(script: &Script<'_>) -> HashSet<String> {
    let drops = script
        .statements
        .iter()
        .filter(|one| one.starts(&["drop", "table"]));
    drops
        .flat_map(|one| names::mentions(&one.tokens, false))
        .map(|mention| mention.name)
        .collect()
}

fn no_down(migration: &MigrationText, findings: &mut Findings) {
    let message = match &migration.down {
        None => "there is no down.sql",
        Some(down) if Script::read(down).statements.is_empty() => "down.sql holds no statement",
        Some(_) => return,
    };
    findings.add(rule::NO_DOWN, 0, message);
}

/// Tables of this migration that hide shared ones.
fn shadows(context: &Context<'_>, migration: usize, findings: &mut Findings) {
    if context.set != Set::Tenant {
        return;
    }
    for (name, place) in &context.tenant.relations {
        if place.migration == migration && context.shared.relations.contains_key(name) {
            findings.statement = Some(place.statement);
            let message = format!("{name} shadows the shared table of that name");
            findings.add(rule::SHADOWS, place.at, message);
        }
    }
    findings.statement = None;
}

fn finding(found: Found, file: &Path, text: &str) -> LintFinding {
    let (line, column) = token::position(text, found.at);
    LintFinding {
        rule: found.rule.id,
        severity: found.rule.severity,
        file: file.to_owned(),
        line,
        column,
        message: found.message,
        hint: found.rule.hint,
    }
}
