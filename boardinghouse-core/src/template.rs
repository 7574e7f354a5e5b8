//! The template schema, and the plan that makes another schema like it.

use diesel::{
    Connection, PgConnection, connection::TransactionManager, result::Error as DieselError,
};

use crate::{
    catalog,
    error::{Error, ErrorKind, Result},
    names::SchemaName,
};

mod build;
mod comments;
mod plan;
mod rows;
mod session;
mod strings;

pub use plan::{ClonePlan, ObjectKind, Step};

/// How many rows of one table a plan holds at the most: they are part of its text.
const MOST_ROWS: usize = 1_000;

/// The schema that new tenants are cloned from.
///
/// # Examples
///
/// ```no_run
/// use boardinghouse_core::{SchemaName, Template};
/// use diesel::{Connection, PgConnection};
///
/// let mut conn = PgConnection::establish("postgres://localhost/app")?;
/// conn.transaction::<_, boardinghouse_core::Error, _>(|conn| {
///     let plan = Template::new(SchemaName::existing("__template__")?).compile(conn)?;
///     plan.apply(conn, &SchemaName::parse("acme")?)
/// })?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Template(SchemaName);

impl Template {
    /// The template in `schema`. Nothing is read yet.
    #[must_use]
    pub fn new(schema: SchemaName) -> Self {
        Self(schema)
    }

    /// The schema of the template.
    #[must_use]
    pub fn schema(&self) -> &SchemaName {
        &self.0
    }

    /// Reads the template and writes down the statements that create a schema like it.
    ///
    /// Structure is carried completely or not at all, and so are rows, up to 1,000 a table: those of
    /// Diesel's table of migrations, so that a clone knows its migrations, and what migrations
    /// wrote, so that a clone has what an older tenant has.
    ///
    /// Reads one snapshot and writes nothing. Inside an open transaction, that transaction's
    /// isolation level decides whether it is one snapshot; its settings are left as they were.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::TemplateMissing`] when the schema is not there.
    /// [`ErrorKind::TemplateUnsupported`] when it holds anything that cannot be cloned faithfully;
    /// the message has one line for each such thing. [`ErrorKind::Database`] when a query fails,
    /// for example because this role may not read the template.
    ///
    /// # Examples
    ///
    /// ```no_run
    /// # use boardinghouse_core::{ErrorKind, SchemaName, Template};
    /// # use diesel::{Connection, PgConnection};
    /// # let mut conn = PgConnection::establish("postgres://localhost/app")?;
    /// let plan = Template::new(SchemaName::existing("__template__")?).compile(&mut conn)?;
    /// println!("{}", plan.script());
    ///
    /// let missing = Template::new(SchemaName::existing("nowhere")?).compile(&mut conn);
    /// assert_eq!(missing.unwrap_err().kind(), ErrorKind::TemplateMissing);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn compile(&self, conn: &mut PgConnection) -> Result<ClonePlan> {
        let depth =
            <PgConnection as Connection>::TransactionManager::transaction_manager_status_mut(conn)
                .transaction_depth()
                .map_err(|error| Error::database("read the template", error))?;
        // Ended by a rollback either way, which also takes back every SET LOCAL.
        let outcome = if depth.is_none() {
            conn.build_transaction()
                .repeatable_read()
                .run::<(), _, _>(|conn| Err(Ended(self.read(conn))))
        } else {
            conn.transaction::<(), _, _>(|conn| Err(Ended(self.read(conn))))
        };
        match outcome {
            Err(Ended(result)) => result,
            Ok(()) => Err(Error::new(
                ErrorKind::Database,
                "could not read the template",
            )),
        }
    }

    fn read(&self, conn: &mut PgConnection) -> Result<ClonePlan> {
        let oid = catalog::schema_oid(conn, &self.0)?.ok_or_else(|| {
            Error::new(
                ErrorKind::TemplateMissing,
                format!(
                    "template schema {:?} is not there: set the database up first",
                    self.0.as_str()
                ),
            )
        })?;
        // Until the schema is known to hold no functions and operators of its own, it must not be
        // on the path: they could be called in place of PostgreSQL's.
        session::prepare_to_read(conn)?;
        let version = catalog::server_version(conn)?;
        let members = catalog::members(conn, oid)?;
        let references = catalog::references(conn, &members)?;
        let refusals = catalog::refuse::refusals(conn, oid, version, &members, &references)?;
        self.refuse(&refusals)?;

        session::read_in(conn, &self.0)?;
        let found = catalog::read::definitions(conn, &self.0, version, &members, references)?;
        let mut builder = build::Builder::new(&found);
        let mut refusals = builder.refusals();
        refusals.extend(strings::names_in_expressions(&found, &self.0));
        self.refuse(&refusals)?;
        let rows = self.rows(conn, &builder)?;
        Ok(ClonePlan::new(builder.steps(&rows), self.0.clone()))
    }

    /// The rows of the template: those of Diesel's table of migrations, and what migrations wrote.
    fn rows<'a>(
        &self,
        conn: &mut PgConnection,
        builder: &build::Builder<'a>,
    ) -> Result<Vec<rows::TableRows<'a>>> {
        let mut all = Vec::new();
        let mut refusals = Vec::new();
        for (table, columns) in builder.tables_with_columns() {
            let rows = catalog::read::rows(conn, &self.0, table, &columns, MOST_ROWS + 1)?;
            if rows.len() > MOST_ROWS {
                refusals.push(format!(
                    "table {table}: more than {MOST_ROWS} rows cannot be cloned yet"
                ));
            }
            if !rows.is_empty() {
                all.push(rows::TableRows {
                    table,
                    columns,
                    rows,
                });
            }
        }
        self.refuse(&refusals)?;
        Ok(all)
    }

    fn refuse(&self, refusals: &[String]) -> Result<()> {
        if refusals.is_empty() {
            return Ok(());
        }
        Err(Error::new(
            ErrorKind::TemplateUnsupported,
            format!(
                "template schema {:?} cannot be cloned faithfully; change or move these {}:\n{}",
                self.0.as_str(),
                refusals.len(),
                refusals.join("\n"),
            ),
        ))
    }
}

/// How a transaction that only reads ends: with a rollback, whatever was read.
struct Ended(Result<ClonePlan>);

impl From<DieselError> for Ended {
    fn from(error: DieselError) -> Self {
        Self(Err(error.into()))
    }
}
