//! Statements as a person types them, with answers of any shape.

use std::fmt;

use diesel::{
    connection::{DefaultLoadingMode, LoadConnection, SimpleConnection},
    prelude::*,
    row::{Field, Row},
    sql_query, sql_types,
};
use serde::{
    Deserialize, Deserializer,
    de::{MapAccess, Visitor},
};
use serde_json::value::{RawValue, to_raw_value};

use crate::{
    across::AcrossReport,
    connection::TenantConnection,
    error::{Error, ErrorKind, Result},
    migrate::Selection,
    pool,
    registry::PgRegistry,
    scan, sql,
};

/// What a statement gave.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Answer {
    /// The names of the columns, in order. Empty where the statement gives no rows, and also where
    /// it could have but gave none: the answer then does not say what the columns would have been.
    pub columns: Vec<String>,
    /// The rows: JSON as PostgreSQL wrote it, so that no digit of a number is lost.
    pub rows: Vec<Vec<Box<RawValue>>>,
    /// How many rows a statement without rows of its own wrote, where it is one that writes.
    pub affected: Option<usize>,
    /// Whether the statement is of the kind that gives rows.
    pub has_rows: bool,
}

/// Runs a statement on a tenant.
///
/// One statement that gives rows, be it a query or a writing one with `RETURNING`, gives them here.
/// Several statements, separated by semicolons, run one after the other in one transaction, as
/// PostgreSQL does with them, and give no rows. Nor does a query that writes inside its `WITH`.
///
/// Nothing is done to the text and nothing is refused: this is for people, and for nothing that a
/// stranger has written.
///
/// # Errors
///
/// [`ErrorKind::InvalidInput`] when there is no statement in the text, when one is a `COPY`, and when
/// a transaction that the text began is still open at its end: it is then rolled back.
/// [`ErrorKind::Database`] when the server refuses a statement or fails.
///
/// # Examples
///
/// ```no_run
/// use boardinghouse_core::{PgRegistry, TenantPool, console};
///
/// let pool = TenantPool::builder().build("postgres://localhost/app")?;
/// let acme = PgRegistry::new(pool.clone()).get(&"acme".parse()?)?;
/// let answer = console::query(&mut pool.get(&acme)?, "SELECT id, body FROM notes")?;
/// assert_eq!(answer.columns, ["id", "body"]);
/// # Ok::<(), boardinghouse_core::Error>(())
/// ```
pub fn query(conn: &mut TenantConnection, sql: &str) -> Result<Answer> {
    let tenant = conn.tenant().id().clone();
    if conn.session.is_stateless() {
        return Err(pool::needs_session().with_tenant(&tenant));
    }
    let failed = |error| Error::database("run the statement", error).with_tenant(&tenant);
    let answer = match runnable(sql)?[..] {
        [statement] => one(conn, statement)?.map_err(failed)?,
        _ => conn
            .batch_execute(sql)
            .map(|()| Answer::without_rows(None))
            .map_err(failed)?,
    };
    if !answer.has_rows && !conn.session.is_idle() {
        return Err(unusable(
            "the transaction was left open, so everything in it is rolled back: end it with COMMIT",
        )
        .with_tenant(&tenant));
    }
    Ok(answer)
}

/// Runs a statement on each tenant of a selection, for up to `jobs` of them at once, as
/// [`PgRegistry::for_each_tenant`] does.
///
/// # Errors
///
/// [`ErrorKind::InvalidInput`] when [`query`] would refuse the text whatever the tenant, and those of
/// [`PgRegistry::select`]. Nothing was run then. What fails for one tenant is in the report.
///
/// # Examples
///
/// ```no_run
/// use boardinghouse_core::{PgRegistry, Selection, TenantPool, console};
///
/// let registry = PgRegistry::new(TenantPool::builder().build("postgres://localhost/app")?);
/// let sql = "SELECT count(*) FROM notes";
/// for entry in console::query_all(&registry, &Selection::Tenants, 4, sql)?.entries {
///     println!("{}: {:?}", entry.tenant.id(), entry.result?.rows);
/// }
/// # Ok::<(), boardinghouse_core::Error>(())
/// ```
pub fn query_all(
    registry: &PgRegistry,
    selection: &Selection,
    jobs: usize,
    sql: &str,
) -> Result<AcrossReport<Answer>> {
    runnable(sql)?;
    registry.for_each_tenant(selection, jobs, |_, conn| query(conn, sql))
}

/// The statements of a text, of which there is at least one.
fn runnable(sql: &str) -> Result<Vec<&str>> {
    let statements = scan::statements(sql);
    if statements.iter().any(|one| scan::keyword(one) == "COPY") {
        return Err(unusable(
            "COPY moves data to or from the client, which the console cannot do: use psql",
        ));
    }
    if statements.is_empty() {
        return Err(unusable("there is no statement to run"));
    }
    Ok(statements)
}

fn unusable(message: &str) -> Error {
    Error::new(ErrorKind::InvalidInput, message)
}

/// The name under which statements are prepared here.
const PREPARED: &str = "boardinghouse_console";

fn one(conn: &mut TenantConnection, statement: &str) -> Result<QueryResult<Answer>> {
    // Diesel has to know the type of each column, so the server is asked for JSON. It knows best
    // whether a statement can be asked so: to prepare one runs nothing of it.
    if sql_query(sql::prepare_as_json(PREPARED, statement))
        .execute(conn)
        .is_ok()
    {
        let rows = sql_query(sql::execute(PREPARED)).load::<JsonRow>(conn);
        // The session may be lent again, with the name in use.
        let forgotten = sql_query(sql::deallocate(PREPARED)).execute(conn);
        return match rows.and_then(|rows| forgotten.map(|_| rows)) {
            Ok(rows) => Answer::from_json(&rows).map(Ok),
            Err(error) => Ok(Err(error)),
        };
    }
    Ok(match scan::keyword(statement).as_str() {
        "SHOW" | "EXPLAIN" => texts(conn, statement),
        "INSERT" | "UPDATE" | "DELETE" | "MERGE" => sql_query(statement)
            .execute(conn)
            .map(|affected| Answer::without_rows(Some(affected))),
        _ => sql_query(statement)
            .execute(conn)
            .map(|_| Answer::without_rows(None)),
    })
}

/// The rows of a statement whose columns are all text.
fn texts(conn: &mut TenantConnection, statement: &str) -> QueryResult<Answer> {
    let mut answer = Answer::without_rows(None);
    answer.has_rows = true;
    for row in LoadConnection::<DefaultLoadingMode>::load(conn, sql_query(statement))? {
        let row = row?;
        let fields = (0..row.field_count()).filter_map(|i| row.get(i));
        let mut cells = Vec::new();
        let mut names = Vec::new();
        for field in fields {
            names.push(field.field_name().unwrap_or_default().to_owned());
            let text = field
                .value()
                .map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned());
            cells.push(
                to_raw_value(&text)
                    .map_err(|e| diesel::result::Error::DeserializationError(e.into()))?,
            );
        }
        answer.columns = names;
        answer.rows.push(cells);
    }
    Ok(answer)
}

impl Answer {
    fn without_rows(affected: Option<usize>) -> Self {
        Self {
            columns: Vec::new(),
            rows: Vec::new(),
            affected,
            has_rows: false,
        }
    }

    fn from_json(rows: &[JsonRow]) -> Result<Self> {
        let mut answer = Self::without_rows(None);
        answer.has_rows = true;
        for row in rows {
            let Record(record) = serde_json::from_str(&row.answer).map_err(|error| {
                Error::new(ErrorKind::Database, "could not read the answer").with_source(error)
            })?;
            let (columns, cells) = record.into_iter().unzip();
            answer.columns = columns;
            answer.rows.push(cells);
        }
        Ok(answer)
    }
}

#[derive(QueryableByName)]
struct JsonRow {
    #[diesel(sql_type = sql_types::Text)]
    answer: String,
}

/// One row: a JSON object with its keys in order, some of which may be the same.
struct Record(Vec<(String, Box<RawValue>)>);

impl<'de> Deserialize<'de> for Record {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Entries;

        impl<'de> Visitor<'de> for Entries {
            type Value = Record;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a JSON object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Record, A::Error> {
                let mut entries = Vec::new();
                while let Some(entry) = map.next_entry()? {
                    entries.push(entry);
                }
                Ok(Record(entries))
            }
        }

        deserializer.deserialize_map(Entries)
    }
}
