//! The template schema, and the plan that makes another schema like it.

use diesel::{
    Connection, PgConnection, QueryableByName, RunQueryDsl,
    connection::{SimpleConnection, TransactionManager},
    result::Error as DieselError,
    sql_query,
    sql_types::{Array, Text},
};

use crate::{
    catalog,
    error::{Error, ErrorKind, Result},
    sql::Literal,
    tenant::SchemaName,
};

mod build;
mod plan;

pub use plan::{ClonePlan, ObjectKind, Step};

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
    /// Structure is carried completely or not at all. Of the rows, only those of Diesel's table of
    /// migrations are carried, so that a clone knows its migrations.
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
        let mut script = String::from("SET LOCAL search_path TO pg_catalog, pg_temp");
        for (name, value) in NEUTRAL.iter().chain(READING) {
            script.push_str(&format!("; SET LOCAL {name} TO {}", Literal(value)));
        }
        conn.batch_execute(&script)
            .map_err(|error| Error::database("prepare to read the template", error))?;

        let version = catalog::server_version(conn)?;
        let members = catalog::members(conn, oid)?;
        let references = catalog::references(conn, &members)?;
        let refusals = catalog::refuse::refusals(conn, oid, version, &members, &references)?;
        self.refuse(refusals)?;

        conn.batch_execute(&format!(
            "SET LOCAL search_path TO {}, pg_temp",
            self.0.quoted()
        ))
        .map_err(|error| Error::database("prepare to read the template", error))?;
        let found = catalog::read::definitions(conn, &self.0, version, &members, references)?;
        let mut builder = build::Builder::new(&found);
        let mut refusals = builder.refusals();
        refusals.extend(build::names_in_expressions(&found, &self.0));
        self.refuse(refusals)?;
        let rows = match builder.migrations() {
            None => Vec::new(),
            Some((table, columns)) => catalog::read::rows(conn, &self.0, table, &columns)?,
        };
        Ok(ClonePlan::new(builder.steps(&rows), self.0.clone()))
    }

    fn refuse(&self, refusals: Vec<String>) -> Result<()> {
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

/// Settings that change how the server writes and reads the text of a definition.
const NEUTRAL: &[(&str, &str)] = &[
    ("datestyle", "ISO, MDY"),
    ("intervalstyle", "postgres"),
    ("lc_monetary", "C"),
    ("standard_conforming_strings", "on"),
    ("transform_null_equals", "off"),
    ("xmloption", "content"),
];

/// Further settings for reading.
const READING: &[(&str, &str)] = &[
    ("transaction_read_only", "on"),
    ("extra_float_digits", "3"),
    ("bytea_output", "hex"),
    ("quote_all_identifiers", "off"),
    // Compiling a catalog query takes longer than running it.
    ("jit", "off"),
];

/// Further settings for creating: bodies may name what comes later, and storage is the template's.
const CREATING: &[(&str, &str)] = &[
    ("check_function_bodies", "off"),
    ("default_table_access_method", "heap"),
    ("default_tablespace", ""),
];

#[derive(QueryableByName)]
struct Settings {
    #[diesel(sql_type = Array<Text>)]
    values: Vec<String>,
}

const CURRENT_SETTINGS: &str = "
    SELECT array_agg(pg_catalog.current_setting(s.name) ORDER BY s.position) AS values
    FROM unnest($1) WITH ORDINALITY AS s (name, position)";

/// Runs `script` with the path on `target` alone, and puts the caller's settings back.
///
/// The settings, the script and whatever precedes it travel as one message.
fn run_in(conn: &mut PgConnection, before: &str, target: &SchemaName, script: &str) -> Result<()> {
    let what = format!("create schema {:?} from the template", target.as_str());
    let failed = |error| Error::database(&what, error);
    let names: Vec<&str> = std::iter::once("search_path")
        .chain(NEUTRAL.iter().chain(CREATING).map(|(name, _)| *name))
        .collect();
    let saved: Settings = sql_query(CURRENT_SETTINGS)
        .bind::<Array<Text>, _>(&names)
        .get_result(conn)
        .map_err(failed)?;
    // pg_temp is named last so that a temporary table cannot be taken for one of the clone's.
    let mut message = format!(
        "{before}; SET LOCAL search_path TO {}, pg_temp",
        target.quoted()
    );
    for (name, value) in NEUTRAL.iter().chain(CREATING) {
        message.push_str(&format!("; SET LOCAL {name} TO {}", Literal(value)));
    }
    message.push_str(";\n");
    message.push_str(script);
    conn.batch_execute(&message).map_err(failed)?;
    sql_query("SELECT pg_catalog.set_config(s.name, s.value, true) FROM unnest($1, $2) AS s (name, value)")
        .bind::<Array<Text>, _>(&names)
        .bind::<Array<Text>, _>(&saved.values)
        .execute(conn)
        .map_err(failed)?;
    Ok(())
}
