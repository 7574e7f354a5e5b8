//! The statements that create a schema like the template, as data.

use std::fmt;

use diesel::{Connection, PgConnection};
use serde::Serialize;

use super::session::create_in;
use crate::{
    catalog,
    error::{Error, ErrorKind, Result},
    names::SchemaName,
};

/// What a [`Step`] creates or sets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum ObjectKind {
    /// A sequence that is not part of an identity column.
    Sequence,
    /// A table with its columns and those constraints that need no other table.
    Table,
    /// A property of a table or index that cannot be said where it is created.
    Property,
    /// The column that a sequence belongs to.
    Owner,
    /// A default that needs a table or sequence created after its own table.
    Default,
    /// An index that is not part of a constraint.
    Index,
    /// A constraint that cannot be said where its table is created.
    Constraint,
    /// Foreign keys.
    ForeignKey,
    /// The position of a sequence that was moved from its start.
    Position,
    /// Rows.
    Rows,
    /// A comment.
    Comment,
}

impl fmt::Display for ObjectKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Sequence => "sequence",
            Self::Table => "table",
            Self::Property => "property",
            Self::Owner => "owner",
            Self::Default => "default",
            Self::Index => "index",
            Self::Constraint => "constraint",
            Self::ForeignKey => "foreign key",
            Self::Position => "position",
            Self::Rows => "rows",
            Self::Comment => "comment",
        })
    }
}

/// One statement of a [`ClonePlan`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Step {
    /// What the statement creates or sets.
    pub object: ObjectKind,
    /// The statement, without a semicolon. It names neither the template nor the clone: run it with
    /// the path on the clone.
    pub sql: String,
}

/// The statements that create a schema like the template, in order.
///
/// A plan is plain data: print it, compare it, or [`apply`](ClonePlan::apply) it to any number of
/// schemas. It says what the template held when it was compiled.
///
/// # Examples
///
/// ```no_run
/// # use boardinghouse_core::{SchemaName, Template};
/// # use diesel::{Connection, PgConnection};
/// # let mut conn = PgConnection::establish("postgres://localhost/app")?;
/// let plan = Template::new(SchemaName::existing("__template__")?).compile(&mut conn)?;
/// for step in plan.steps() {
///     println!("{}: {}", step.object, step.sql);
/// }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ClonePlan {
    steps: Vec<Step>,
    /// Only to prove that a clone does not use it.
    #[serde(skip)]
    source: SchemaName,
}

impl ClonePlan {
    pub(super) fn new(steps: Vec<Step>, source: SchemaName) -> Self {
        Self { steps, source }
    }

    /// The statements, in the order in which they must run.
    #[must_use]
    pub fn steps(&self) -> &[Step] {
        &self.steps
    }

    /// All statements as one message for the server.
    ///
    /// To run it by hand, create the schema, put it first on the path, and have
    /// `standard_conforming_strings` on before it is sent.
    #[must_use]
    pub fn script(&self) -> String {
        let mut script = String::new();
        for step in &self.steps {
            script.push_str(&step.sql);
            script.push_str(";\n");
        }
        script
    }

    /// Creates schema `target` and everything in it, and proves that nothing in it uses the
    /// template.
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
    /// # use diesel::{Connection, PgConnection};
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
            create_in(conn, target, &self.script())?;
            let leaks = catalog::leaks(conn, target, &self.source)?;
            if leaks.is_empty() {
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
}
