//! The statements that create a schema like another, as data.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use diesel::{Connection, PgConnection, connection::SimpleConnection};
use serde::{Deserialize, Serialize};

use super::{
    session::{COPYING, create_in, create_schema, path_on, settings},
    text::{Piece, render},
};
use crate::{
    catalog::{self, data::Contents},
    error::{Error, ErrorKind, Result},
    names::SchemaName,
};

/// What a [`Step`] creates or sets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum ObjectKind {
    /// A collation.
    Collation,
    /// An enum, composite type, domain or range.
    Type,
    /// A function, procedure or aggregate.
    Function,
    /// An operator, operator class or operator family.
    Operator,
    /// A cast from or to one of the schema's types.
    Cast,
    /// A conversion between encodings.
    Conversion,
    /// A parser, template, dictionary or configuration of text search.
    TextSearch,
    /// A sequence that is not part of an identity column.
    Sequence,
    /// A table with its columns and those constraints that can be said with it, or where it is attached.
    Table,
    /// A view.
    View,
    /// A materialised view.
    MaterializedView,
    /// A property of an object that cannot be said where it is created.
    Property,
    /// Whom an object belongs to, or the column that a sequence belongs to.
    Owner,
    /// A default that needs something created after its own table.
    Default,
    /// An index that is not part of a constraint, or where one is attached.
    Index,
    /// A constraint that cannot be said where its table is created.
    Constraint,
    /// Foreign keys.
    ForeignKey,
    /// Extended statistics.
    Statistics,
    /// A rewrite rule.
    Rule,
    /// A policy of row-level security.
    Policy,
    /// A trigger.
    Trigger,
    /// The position of a sequence that was moved from its start.
    Position,
    /// Rows.
    Rows,
    /// Who may use an object.
    Privilege,
    /// A comment.
    Comment,
}

impl fmt::Display for ObjectKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Collation => "collation",
            Self::Type => "type",
            Self::Function => "function",
            Self::Operator => "operator",
            Self::Cast => "cast",
            Self::Conversion => "conversion",
            Self::TextSearch => "text search",
            Self::Sequence => "sequence",
            Self::Table => "table",
            Self::View => "view",
            Self::MaterializedView => "materialized view",
            Self::Property => "property",
            Self::Owner => "owner",
            Self::Default => "default",
            Self::Index => "index",
            Self::Constraint => "constraint",
            Self::ForeignKey => "foreign key",
            Self::Statistics => "statistics",
            Self::Rule => "rule",
            Self::Policy => "policy",
            Self::Trigger => "trigger",
            Self::Position => "position",
            Self::Rows => "rows",
            Self::Privilege => "privilege",
            Self::Comment => "comment",
        })
    }
}

/// One statement of a [`ClonePlan`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Step {
    /// What the statement creates or sets.
    pub object: ObjectKind,
    /// The text, with the name of the schema left open.
    pub(super) pieces: Vec<Piece>,
}

impl Step {
    /// Whether it says something of the schema itself, which every schema has its own of.
    fn is_of_the_schema(&self) -> bool {
        matches!(self.object, ObjectKind::Privilege | ObjectKind::Comment)
            && self.pieces.contains(&Piece::Schema)
    }
}

/// What a schema gets that is there already.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Content<'a> {
    /// All that the plan has.
    All,
    /// Neither rows nor the positions of sequences.
    Structure,
    /// As `Structure`, and these statements where the rows are copied.
    Instead(&'a str),
}

/// The statements that create a schema like another, in order.
///
/// A plan is plain data: print it, compare it, keep it as JSON, or [`apply`](ClonePlan::apply) it to any
/// number of schemas. It holds the name of no clone, and says what the schema held when it was compiled,
/// for the role that compiled it.
///
/// # Examples
///
/// ```no_run
/// # use boardinghouse_core::{SchemaName, Template};
/// # use diesel::{Connection, PgConnection, connection::SimpleConnection};
/// # let mut conn = PgConnection::establish("postgres://localhost/app")?;
/// let plan = Template::new(SchemaName::existing("__template__")?).compile(&mut conn)?;
/// for step in plan.steps() {
///     println!("{}", step.object);
/// }
/// println!("{}", plan.script(&SchemaName::parse("acme")?));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClonePlan {
    steps: Vec<Step>,
    /// The role that owns the schema, where it is not the one that compiled; quoted.
    owner: Option<String>,
    /// The schema that it was compiled from: to copy its rows, and to prove that a clone does not use it.
    source: SchemaName,
    /// What it held then. The plan has the rows and the positions.
    holds: Contents,
    /// Whether a clone by this plan was seen to stand alone. They are all alike.
    #[serde(skip)]
    proven: Proven,
}

/// A flag that makes no plan different from another.
#[derive(Clone, Debug, Default)]
struct Proven(Arc<AtomicBool>);

impl PartialEq for Proven {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Eq for Proven {}

impl ClonePlan {
    pub(super) fn new(
        steps: Vec<Step>,
        owner: Option<String>,
        source: SchemaName,
        holds: Contents,
    ) -> Self {
        Self {
            steps,
            owner,
            source,
            holds,
            proven: Proven::default(),
        }
    }

    pub(super) fn holds(&self) -> &Contents {
        &self.holds
    }

    /// The statements, in the order in which they must run.
    #[must_use]
    pub fn steps(&self) -> &[Step] {
        &self.steps
    }

    /// The schema that the plan was compiled from.
    #[must_use]
    pub fn source(&self) -> &SchemaName {
        &self.source
    }

    /// One statement, without a semicolon, as it creates schema `target`: run it with the path on that
    /// schema, then `pg_catalog`.
    #[must_use]
    pub fn statement(&self, step: &Step, target: &SchemaName) -> String {
        render(&step.pieces, target, &self.source)
    }

    /// All statements as a script that creates schema `target`, in one transaction.
    ///
    /// Have `standard_conforming_strings` on, as it is by default, before it is sent.
    #[must_use]
    pub fn script(&self, target: &SchemaName) -> String {
        format!("BEGIN;\n{}{}COMMIT;\n", settings(), self.message(target))
    }

    /// The same without the transaction and the settings.
    fn message(&self, target: &SchemaName) -> String {
        let mut script = create_schema(target, self.owner.as_deref());
        let copies = |step: &Step| step.pieces.contains(&Piece::Source);
        if self.steps.iter().any(copies) {
            script.push_str(COPYING);
        }
        for step in &self.steps {
            script.push_str(&self.statement(step, target));
            script.push_str(";\n");
        }
        script
    }

    /// The statements that make the same in schema `target`, which is there already: what is said of the schema
    /// itself is left out.
    pub(crate) fn within(&self, target: &SchemaName, content: Content<'_>) -> String {
        let mut script = format!("{};\n{COPYING}", path_on(target));
        for step in self.steps.iter().filter(|step| !step.is_of_the_schema()) {
            match (step.object, content) {
                (ObjectKind::Rows, Content::Instead(rows)) => script.push_str(rows),
                (ObjectKind::Rows, Content::Structure) => continue,
                (ObjectKind::Position, Content::Structure | Content::Instead(_)) => continue,
                _ => script.push_str(&self.statement(step, target)),
            }
            script.push_str(";\n");
        }
        script
    }

    /// The statements of the structure alone, to be run on a path that begins with a schema that is there.
    pub(crate) fn structure(&self) -> impl Iterator<Item = &Step> {
        self.steps.iter().filter(|step| {
            !matches!(step.object, ObjectKind::Rows | ObjectKind::Position)
                && !step.is_of_the_schema()
        })
    }

    /// Whether the plan says where the rows of a table go.
    pub(crate) fn copies(&self, table: &str) -> bool {
        self.holds.tables.iter().any(|held| held == table)
            && self
                .steps
                .iter()
                .any(|step| step.object == ObjectKind::Rows)
    }

    /// Creates schema `target` and everything in it. The first clone is proven to use nothing in the schema
    /// that was cloned; the others are like it.
    ///
    /// All or nothing: when it fails, the open transaction goes on as if it had not been called.
    /// Without one it commits by itself. The settings of the transaction, its `search_path` too,
    /// are put back.
    ///
    /// Foreign keys to shared tables lock those against writes until the transaction ends; set a
    /// `lock_timeout` before, and retry.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::SchemaExists`] when there is a schema of that name.
    /// [`ErrorKind::TemplateUnsupported`] when the clone would use something in the template.
    /// [`ErrorKind::Database`] when a statement fails.
    ///
    /// # Examples
    ///
    /// ```no_run
    /// # use boardinghouse_core::{ErrorKind, SchemaName, Template};
    /// # use diesel::{Connection, PgConnection, connection::SimpleConnection};
    /// # let mut conn = PgConnection::establish("postgres://localhost/app")?;
    /// let plan = Template::new(SchemaName::existing("__template__")?).compile(&mut conn)?;
    /// let acme = SchemaName::parse("acme")?;
    /// plan.apply(&mut conn, &acme)?;
    ///
    /// let twice = plan.apply(&mut conn, &acme);
    /// assert_eq!(twice.unwrap_err().kind(), ErrorKind::SchemaExists);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn apply(&self, conn: &mut PgConnection, target: &SchemaName) -> Result<()> {
        let result = conn.transaction(|conn| {
            create_in(conn, target, &self.message(target))?;
            self.prove(conn, target)
        });
        match result {
            // SQLSTATE does not reach us through Diesel: ask instead.
            Err(error)
                if error.kind() == ErrorKind::Database
                    && matches!(catalog::schema_oid(conn, target), Ok(Some(_))) =>
            {
                Err(Error::new(
                    ErrorKind::SchemaExists,
                    format!("schema {:?} exists already", target.as_str()),
                )
                .with_source(error))
            }
            other => other,
        }
    }

    /// The statements after which a clone holds its own name in text, such as the body of a function.
    pub(super) fn steps_that_hold_the_name(&self) -> Vec<String> {
        let steps = self.steps.iter().filter(|step| {
            let mut pieces = step.pieces.iter();
            // Outside of text the server keeps a number.
            pieces.any(|piece| matches!(piece, Piece::Quoted(inside) if is_named(inside)))
        });
        steps
            .map(|step| {
                let sql = self.statement(step, &self.source);
                let first = sql.lines().next().unwrap_or_default();
                format!("{}: {first}", step.object)
            })
            .collect()
    }

    /// As [`apply`](Self::apply), in a transaction of ours that has the settings of
    /// [`Template::settings`](super::Template::settings), and that ends when this fails.
    pub(crate) fn create(&self, conn: &mut PgConnection, target: &SchemaName) -> Result<()> {
        conn.batch_execute(&self.message(target)).map_err(|error| {
            let what = format!("create schema {:?} as a clone", target.as_str());
            Error::database(&what, error)
        })?;
        self.prove(conn, target)
    }

    /// Fails if a clone uses anything in the schema that was cloned.
    fn prove(&self, conn: &mut PgConnection, target: &SchemaName) -> Result<()> {
        if self.proven.0.load(Ordering::Relaxed) {
            return Ok(());
        }
        let leaks = catalog::leaks(conn, target, &self.source)?;
        if leaks.is_empty() {
            self.proven.0.store(true, Ordering::Relaxed);
            return Ok(());
        }
        Err(Error::new(
            ErrorKind::TemplateUnsupported,
            format!(
                "schema {:?} was not created, because it would not stand alone:\n{}",
                target.as_str(),
                leaks.join("\n"),
            ),
        ))
    }
}

/// Whether pieces hold the name of the schema, at any depth.
fn is_named(pieces: &[Piece]) -> bool {
    pieces.iter().any(|piece| match piece {
        Piece::Schema | Piece::Bare | Piece::Name | Piece::Source => true,
        Piece::Quoted(inside) => is_named(inside),
        Piece::Text(_) => false,
    })
}
