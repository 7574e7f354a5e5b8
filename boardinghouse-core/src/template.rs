//! The template schema, and the plan that makes another schema like it.

use std::collections::{BTreeSet, HashSet};

use diesel::{
    Connection, PgConnection,
    connection::{SimpleConnection, TransactionManager},
    result::Error as DieselError,
};

use crate::{
    catalog::{
        self,
        data::{self, Contents},
    },
    error::{Error, ErrorKind, Result},
    names::SchemaName,
};

mod build;
mod composed;
mod deparsed;
mod graph;
mod kept;
mod mentions;
mod plan;
mod rows;
mod session;
pub(crate) mod shape;
mod text;
mod tokens;
mod write;

pub(crate) use kept::{KeptPlans, Known};
pub(crate) use plan::Content;
pub use plan::{ClonePlan, ObjectKind, Step};
pub(crate) use session::prepare_to_read;
pub use shape::PartKind;

/// How often a schema may change before it is locked.
const MOST_TRIES: usize = 5;

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
pub struct Template {
    schema: SchemaName,
    allowed: HashSet<String>,
    rows: Rows,
    without_rows: BTreeSet<String>,
}

/// Which rows a clone gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Rows {
    /// Those that migrations wrote: they are part of the plan.
    Planned,
    /// All: the server copies them when the plan is applied.
    Copied,
    /// None but those of Diesel's table of migrations, which say what the structure is.
    Versions,
}

impl Template {
    /// The template in `schema`. Nothing is read yet.
    #[must_use]
    pub fn new(schema: SchemaName) -> Self {
        Self {
            schema,
            allowed: HashSet::new(),
            rows: Rows::Planned,
            without_rows: BTreeSet::new(),
        }
    }

    /// Opens a connection to clone with, on a path that sees no schema but PostgreSQL's own. Neither a
    /// registry nor a shared schema need be there, so that any schema of any database can be cloned.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::ConnectionFailed`], and [`ErrorKind::Database`] when the session cannot be set up.
    ///
    /// # Examples
    ///
    /// ```no_run
    /// # use boardinghouse_core::{ErrorKind, SchemaName, Template};
    /// let mut conn = Template::connect("postgres://localhost/legacy")?;
    /// Template::new(SchemaName::parse("shop")?)
    ///     .with_data()
    ///     .clone_to(&mut conn, &SchemaName::parse("shop_copy")?)?;
    ///
    /// let nobody = Template::connect("postgres://127.0.0.1:1/legacy");
    /// assert_eq!(nobody.err().unwrap().kind(), ErrorKind::ConnectionFailed);
    /// # Ok::<(), boardinghouse_core::Error>(())
    /// ```
    pub fn connect(url: &str) -> Result<PgConnection> {
        let mut conn = PgConnection::establish(url).map_err(Error::connect)?;
        conn.batch_execute("SET search_path TO pg_catalog, pg_temp")
            .map_err(|error| Error::database("prepare a new connection", error))?;
        Ok(conn)
    }

    /// Gives the clone all rows that the schema has when the plan is applied. The server copies them
    /// itself, so that there may be any number. Where row-level security would hide some of them from the
    /// role, the schema is refused.
    #[must_use]
    pub fn with_data(mut self) -> Self {
        self.rows = Rows::Copied;
        self
    }

    /// Gives the clone no rows, except those of Diesel's table of migrations: they say what its structure
    /// is.
    #[must_use]
    pub fn without_data(mut self) -> Self {
        self.rows = Rows::Versions;
        self
    }

    /// Leaves the rows of one table out. A table of that name must be there when the schema is read.
    #[must_use]
    pub fn exclude_data(mut self, table: impl Into<String>) -> Self {
        self.without_rows.insert(table.into());
        self
    }

    /// Answers for the text of an object, as a refusal calls it, for example
    /// `function "report"(integer)`: that it names the schema is no reason to refuse, and the clone gets
    /// it as it is.
    #[must_use]
    pub fn allow(mut self, object: impl Into<String>) -> Self {
        self.allowed.insert(object.into());
        self
    }

    /// The schema of the template.
    #[must_use]
    pub fn schema(&self) -> &SchemaName {
        &self.schema
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
    /// println!("{}", plan.script(&SchemaName::parse("acme")?));
    ///
    /// let missing = Template::new(SchemaName::existing("nowhere")?).compile(&mut conn);
    /// assert_eq!(missing.unwrap_err().kind(), ErrorKind::TemplateMissing);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn compile(&self, conn: &mut PgConnection) -> Result<ClonePlan> {
        reading(conn, |conn| self.read(conn))
    }

    /// The structure of the schema, part by part; its rows are not looked at.
    pub(crate) fn shape(&self, conn: &mut PgConnection) -> Result<shape::Shape> {
        reading(conn, |conn| self.read_shape(conn))
    }

    /// Clones the schema to `target`, in a transaction of its own: reads it, creates the clone, and copies
    /// the rows that are wanted. All of it sees one snapshot, and nobody can change the schema's tables
    /// meanwhile. Gives the plan that was carried out.
    ///
    /// # Errors
    ///
    /// Those of [`compile`](Self::compile) and [`ClonePlan::apply`]. [`ErrorKind::InvalidInput`] when a
    /// transaction is open, and [`ErrorKind::Locked`] when the schema was changed again and again.
    ///
    /// # Examples
    ///
    /// ```no_run
    /// # use boardinghouse_core::{SchemaName, Template};
    /// # use diesel::{Connection, PgConnection};
    /// # let mut conn = PgConnection::establish("postgres://localhost/app")?;
    /// let acme = Template::new(SchemaName::parse("acme")?);
    /// acme.with_data()
    ///     .exclude_data("sessions")
    ///     .clone_to(&mut conn, &SchemaName::parse("acme_staging")?)?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn clone_to(&self, conn: &mut PgConnection, target: &SchemaName) -> Result<ClonePlan> {
        self.clone_with(conn, target, |_| Ok(()))
            .map(|(plan, ())| plan)
    }

    /// As [`clone_to`](Self::clone_to); `first` runs in the transaction, before the clone is created.
    pub(crate) fn clone_with<T>(
        &self,
        conn: &mut PgConnection,
        target: &SchemaName,
        first: impl Fn(&mut PgConnection) -> Result<T>,
    ) -> Result<(ClonePlan, T)> {
        let depth = depth_of(conn)?;
        if depth.is_some() {
            return Err(Error::new(
                ErrorKind::InvalidInput,
                "clone_to begins a transaction itself, and one is open",
            ));
        }
        for _ in 0..MOST_TRIES {
            let Some(oid) = catalog::schema_oid(conn, &self.schema)? else {
                return Err(self.missing());
            };
            // A lock that is taken before the first query does not fix the snapshot, so that what is read
            // under it is what is locked (PostgreSQL manual, SQL command LOCK).
            let tables = catalog::data::tables(conn, &self.schema)?;
            let plan = conn.build_transaction().repeatable_read().run(|conn| {
                catalog::data::lock(conn, &self.schema, &tables)?;
                if catalog::schema_oid(conn, &self.schema)? != Some(oid)
                    || catalog::data::tables(conn, &self.schema)? != tables
                {
                    return Ok::<_, Error>(None);
                }
                let first = first(conn)?;
                let plan = self.compile(conn)?;
                plan.apply(conn, target)?;
                Ok(Some((plan, first)))
            })?;
            if let Some(done) = plan {
                return Ok(done);
            }
        }
        Err(self.restless())
    }

    /// Clones the schema, reads the clone as the schema was read, and takes the clone back. Gives the
    /// statements in which the two differ: `-` for the schema's, `+` for the clone's; none, where the clone
    /// is right.
    ///
    /// # Errors
    ///
    /// Those of [`compile`](Self::compile) and [`ClonePlan::apply`].
    ///
    /// # Examples
    ///
    /// ```no_run
    /// # use boardinghouse_core::{SchemaName, Template};
    /// # use diesel::{Connection, PgConnection};
    /// # let mut conn = PgConnection::establish("postgres://localhost/app")?;
    /// let template = Template::new(SchemaName::existing("__template__")?);
    /// assert!(template.verify(&mut conn)?.is_empty());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn verify(&self, conn: &mut PgConnection) -> Result<Vec<String>> {
        let scratch = SchemaName::existing("__template_verify__")?;
        let mut found = None;
        let ended = conn.transaction::<(), Error, _>(|conn| {
            let plan = self.compile(conn)?;
            plan.apply(conn, &scratch)?;
            let clone = Self {
                schema: scratch.clone(),
                ..self.clone()
            };
            let clone = clone.compile(conn)?;
            let written = |plan: &ClonePlan| -> Vec<String> {
                let steps = plan.steps().iter();
                steps.map(|step| plan.statement(step, &scratch)).collect()
            };
            let (one, other) = (written(&plan), written(&clone));
            let missing = one.iter().filter(|sql| !other.contains(sql));
            let added = other.iter().filter(|sql| !one.contains(sql));
            let missing = missing.map(|sql| format!("- {sql}"));
            found = Some(missing.chain(added.map(|sql| format!("+ {sql}"))).collect());
            Err(DieselError::RollbackTransaction.into())
        });
        match (found, ended) {
            (Some(found), _) => Ok(found),
            (None, Err(error)) => Err(error),
            (None, Ok(())) => Ok(Vec::new()),
        }
    }

    fn missing(&self) -> Error {
        Error::new(
            ErrorKind::TemplateMissing,
            format!("schema {:?} is not there", self.schema.as_str()),
        )
    }

    /// It changed between one look and the next, [`MOST_TRIES`] times.
    fn restless(&self) -> Error {
        Error::new(
            ErrorKind::Locked,
            format!(
                "schema {:?} was changed again and again: try again later",
                self.schema.as_str()
            ),
        )
    }

    /// What the schema holds, and what uses what.
    fn find(
        &self,
        conn: &mut PgConnection,
    ) -> Result<(build::Found, catalog::Members, Vec<catalog::Reference>)> {
        let oid = catalog::schema_oid(conn, &self.schema)?.ok_or_else(|| self.missing())?;
        // Until the schema is known to hold no operators that hide PostgreSQL's, it must not be on the
        // path: they could be called in their place.
        session::prepare_to_read(conn)?;
        let version = catalog::server_version(conn)?;
        let mut members = catalog::members(conn, oid)?;
        let casts = catalog::define::casts_of(conn, &members)?;
        members.add_casts(&casts);
        let references = catalog::references(conn, &members)?;
        let refusals = catalog::refuse::refusals(conn, oid, &members, &references)?;
        self.refuse(&refusals)?;
        self.refuse(&catalog::refuse::round_about(
            conn,
            oid,
            &members,
            &references,
        )?)?;

        session::read_in(conn, &self.schema)?;
        let found = build::Found {
            tables: catalog::tables::read(conn, &self.schema, version, &members)?,
            defines: catalog::define::read(conn, oid, version, &members)?,
            addresses: catalog::address::read(conn, oid, &members)?,
        };
        Ok((found, members, references))
    }

    fn read_shape(&self, conn: &mut PgConnection) -> Result<shape::Shape> {
        let (found, members, references) = self.find(conn)?;
        let steps = build::Builder::new(&found)
            .build(&[])
            .and_then(|graph| steps(graph, &members, &references, &mut self.mentions(&found)))
            .or_else(|refusals| self.refuse(&refusals).map(|()| Vec::new()))?;
        let steps = steps.into_iter();
        let mut steps: Vec<_> = steps
            .filter(|step| !matches!(step.object, ObjectKind::Rows | ObjectKind::Position))
            .map(|step| step.pieces)
            .collect();
        steps.sort();
        // What is refused was refused by now.
        let mut mentions = self.mentions(&found);
        Ok(shape::shape(&self.schema, &found, steps, &mut mentions))
    }

    fn read(&self, conn: &mut PgConnection) -> Result<ClonePlan> {
        let (found, members, references) = self.find(conn)?;
        self.refuse(&found.addresses.not_allowed())?;
        let builder = build::Builder::new(&found);
        let rows = self.rows(conn, &builder.tables_with_columns())?;
        let steps = builder
            .build(&rows)
            .and_then(|graph| steps(graph, &members, &references, &mut self.mentions(&found)))
            .or_else(|refusals| self.refuse(&refusals).map(|()| Vec::new()))?;
        let schema = &found.addresses.schema;
        let owner = (schema.owner != schema.role).then(|| schema.owner.clone());
        let holds = Contents {
            tables: rows.iter().map(|rows| rows.table.to_owned()).collect(),
            sequences: found
                .tables
                .sequences
                .iter()
                .map(|s| s.name.clone())
                .collect(),
            catalogs: data::catalogs(conn, &self.schema)?,
        };
        Ok(ClonePlan::new(steps, owner, self.schema.clone(), holds))
    }

    /// The settings under which a clone is created, as statements for a transaction.
    pub(crate) fn settings() -> String {
        session::settings()
    }

    /// Whoever reads the definitions for the schema's name.
    fn mentions<'a>(&'a self, found: &'a build::Found) -> mentions::Mentions<'a> {
        mentions::Mentions::new(&self.schema, found.names(), &self.allowed)
    }

    fn refuse(&self, refusals: &[String]) -> Result<()> {
        if refusals.is_empty() {
            return Ok(());
        }
        Err(Error::new(
            ErrorKind::TemplateUnsupported,
            format!(
                "schema {:?} cannot be cloned faithfully; change or move these {}:\n{}",
                self.schema.as_str(),
                refusals.len(),
                refusals.join("\n"),
            ),
        ))
    }
}

/// Runs `read` in a transaction that only reads, and that leaves all settings as they were.
pub(crate) fn reading<T>(
    conn: &mut PgConnection,
    read: impl FnOnce(&mut PgConnection) -> Result<T>,
) -> Result<T> {
    let depth = depth_of(conn)?;
    // Ended by a rollback either way, which also takes back every SET LOCAL.
    let outcome = if depth.is_none() {
        conn.build_transaction()
            .repeatable_read()
            .run::<(), _, _>(|conn| Err(Ended(read(conn))))
    } else {
        conn.transaction::<(), _, _>(|conn| Err(Ended(read(conn))))
    };
    match outcome {
        Err(Ended(result)) => result,
        Ok(()) => Err(Error::new(
            ErrorKind::Database,
            "could not read the template",
        )),
    }
}

/// Puts the graph in order and writes its statements down.
fn steps(
    mut graph: graph::Graph,
    members: &catalog::Members,
    references: &[catalog::Reference],
    mentions: &mut mentions::Mentions<'_>,
) -> std::result::Result<Vec<Step>, Vec<String>> {
    let order = graph.order(members, references).map_err(|circle| {
        vec![format!(
            "these need each other, in a circle: {}",
            circle.join(", ")
        )]
    })?;
    write::steps(&graph, &order, mentions)
}

fn depth_of(conn: &mut PgConnection) -> Result<Option<std::num::NonZeroU32>> {
    <PgConnection as Connection>::TransactionManager::transaction_manager_status_mut(conn)
        .transaction_depth()
        .map_err(|error| Error::database("read the schema", error))
}

/// How a transaction that only reads ends: with a rollback, whatever was read.
struct Ended<T>(Result<T>);

impl<T> From<DieselError> for Ended<T> {
    fn from(error: DieselError) -> Self {
        Self(Err(error.into()))
    }
}
