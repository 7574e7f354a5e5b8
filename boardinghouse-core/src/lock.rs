//! Locks between processes: one writer a schema, and cloners against the migrator.
//!
//! All are advisory locks with two keys (PostgreSQL manual, 13.3.5 "Advisory Locks"): the first says
//! what is locked, the second is a hash of the name. Two names with one hash wait for each other,
//! which costs time and nothing else.

use std::{
    sync::atomic::{AtomicBool, Ordering},
    time::{Duration, Instant},
};

use diesel::{prelude::*, sql_types};

use crate::{
    connection::SharedConnection,
    error::{Error, ErrorKind, Result},
    names::SchemaName,
};

/// The first key of every lock of ours: "bh" and a kind.
pub(crate) const SCHEMA: i32 = 0x6268_0001;
const MIGRATOR: i32 = 0x6268_0002;
const READY: i32 = 0x6268_0004;
/// Held shared by every checkout of a tenant, for as long as it is out.
pub(crate) const IN_USE: i32 = 0x6268_0003;

const FIRST_PAUSE: Duration = Duration::from_millis(1);
/// What "for ever" comes to, so that no sum with it overflows: about a year.
pub(crate) const LONGEST_WAIT: Duration = Duration::from_secs(31_536_000);
/// After how long it is looked whether a lock is still wanted.
const LONGEST_TURN: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_millis(50);

/// Takes the right to write to a schema, until the transaction ends.
pub(crate) fn schema_for_transaction(
    conn: &mut PgConnection,
    schema: &SchemaName,
    wait: Duration,
) -> Result<()> {
    poll(conn, schema, wait, "pg_try_advisory_xact_lock")
}

/// Keeps writers away from a schema that is being read, until the transaction ends.
pub(crate) fn schema_shared_for_transaction(
    conn: &mut PgConnection,
    schema: &SchemaName,
    wait: Duration,
) -> Result<()> {
    poll(conn, schema, wait, "pg_try_advisory_xact_lock_shared")
}

/// Waits until no checkout uses a schema, and keeps new ones away, until the transaction ends.
///
/// Waits in the server's queue: from now on, a bind's attempt to take the lock shared fails at once. The
/// wait is bounded by the transaction's `lock_timeout`.
pub(crate) fn end_of_use(conn: &mut PgConnection, schema: &SchemaName) -> Result<()> {
    diesel::sql_query(
        "SELECT pg_catalog.pg_advisory_xact_lock($1, pg_catalog.hashtext($2))",
    )
    .bind::<sql_types::Integer, _>(IN_USE)
    .bind::<sql_types::Text, _>(schema.as_str())
    .execute(conn)
    .map(drop)
    .map_err(|error| {
        let message = format!(
            "schema {schema} is in use by checkouts that were not returned in time: try again later"
        );
        Error::new(ErrorKind::Locked, message).with_source(error)
    })
}

/// As [`end_of_use`], where nobody is waited for: checkouts that are out go on to be served.
pub(crate) fn end_of_use_now(conn: &mut PgConnection, schema: &SchemaName) -> Result<()> {
    let free: bool = diesel::select(
        diesel::dsl::sql::<sql_types::Bool>("pg_catalog.pg_try_advisory_xact_lock(")
            .bind::<sql_types::Integer, _>(IN_USE)
            .sql(", pg_catalog.hashtext(")
            .bind::<sql_types::Text, _>(schema.as_str())
            .sql("))"),
    )
    .get_result(conn)
    .map_err(|error| Error::database("look whether a schema is in use", error))?;
    if free {
        return Ok(());
    }
    let message = format!("schema {schema} is in use by checkouts");
    Err(Error::new(ErrorKind::Locked, message))
}

/// Bounds how long a statement of the transaction waits for a lock; gives back the bound before it.
pub(crate) fn bound_waiting(conn: &mut PgConnection, wait: Duration) -> Result<String> {
    let before = diesel::dsl::sql::<sql_types::Text>("pg_catalog.current_setting('lock_timeout')");
    let before = diesel::select(before)
        .get_result(conn)
        .map_err(|error| Error::database("read lock_timeout", error))?;
    restore_waiting(conn, &milliseconds(wait))?;
    Ok(before)
}

/// A bound as `lock_timeout` takes it, where 0 would be none.
pub(crate) fn milliseconds(wait: Duration) -> String {
    wait.as_millis().clamp(1, i32::MAX as u128).to_string()
}

/// Sets the bound of [`bound_waiting`] as it was.
pub(crate) fn restore_waiting(conn: &mut PgConnection, before: &str) -> Result<()> {
    set_waiting(conn, before, true)
}

fn set_waiting(conn: &mut PgConnection, bound: &str, for_transaction: bool) -> Result<()> {
    diesel::sql_query("SELECT pg_catalog.set_config('lock_timeout', $1, $2)")
        .bind::<sql_types::Text, _>(bound)
        .bind::<sql_types::Bool, _>(for_transaction)
        .execute(conn)
        .map(drop)
        .map_err(|error| Error::database("set lock_timeout", error))
}

/// Takes the right to write to a schema, until [`release_schema`] or the end of the session.
///
/// Waits in the server's queue, where a stream of shared lockers cannot overtake it, and looks every now and
/// then whether it is still wanted. Only for a session that holds no lock for which others wait so.
pub(crate) fn schema_for_session(
    conn: &mut PgConnection,
    schema: &SchemaName,
    wait: Duration,
    stop: &AtomicBool,
) -> Result<()> {
    let deadline = Instant::now() + wait.min(LONGEST_WAIT);
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        set_waiting(conn, &milliseconds(left.min(LONGEST_TURN)), false)?;
        let locked =
            diesel::sql_query("SELECT pg_catalog.pg_advisory_lock($1, pg_catalog.hashtext($2))")
                .bind::<sql_types::Integer, _>(SCHEMA)
                .bind::<sql_types::Text, _>(schema.as_str())
                .execute(conn);
        diesel::sql_query("RESET lock_timeout")
            .execute(conn)
            .map_err(|error| Error::database("reset lock_timeout", error))?;
        match locked {
            Ok(_) => return Ok(()),
            Err(error) if Instant::now() >= deadline || stop.load(Ordering::Relaxed) => {
                return Err(busy(schema, wait).with_source(error));
            }
            Err(_) => {}
        }
    }
}

/// Takes the right to add to the schemas that wait for a tenant, until the transaction ends.
pub(crate) fn ready_schemas_for_transaction(conn: &mut PgConnection, wait: Duration) -> Result<()> {
    let what = "making schemas ready";
    poll_kind(conn, READY, "pg_try_advisory_xact_lock", wait, what)
}

/// Takes the right to run migrations in this database, until the session ends.
pub(crate) fn migrator_for_session(
    conn: &mut PgConnection,
    wait: Duration,
    stop: &AtomicBool,
) -> Result<()> {
    let deadline = Instant::now() + wait.min(LONGEST_WAIT);
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        let what = "running migrations";
        let turn = left.min(LONGEST_TURN);
        match poll_kind(conn, MIGRATOR, "pg_try_advisory_lock", turn, what) {
            Err(error)
                if error.kind() == ErrorKind::Locked
                    && Instant::now() < deadline
                    && !stop.load(Ordering::Relaxed) => {}
            Err(error) if error.kind() == ErrorKind::Locked => {
                return Err(error.reworded(format!(
                    "another process has been {what} for {wait:?}: try again later"
                )));
            }
            taken => return taken,
        }
    }
}

/// Takes a lock that there is once in a database. `what` is what its owner does.
fn poll_kind(
    conn: &mut PgConnection,
    kind: i32,
    function: &str,
    wait: Duration,
    what: &str,
) -> Result<()> {
    let free = |conn: &mut PgConnection| {
        diesel::select(
            diesel::dsl::sql::<sql_types::Bool>("pg_catalog.")
                .sql(function)
                .sql("(")
                .bind::<sql_types::Integer, _>(kind)
                .sql(", 0)"),
        )
        .get_result::<bool>(conn)
    };
    until(wait, || free(conn))?.then_some(()).ok_or_else(|| {
        Error::new(
            ErrorKind::Locked,
            format!("another process has been {what} for {wait:?}: try again later"),
        )
    })
}

/// Asks again and again rather than to wait in the server: a session that waits there holds a
/// snapshot, and `CREATE INDEX CONCURRENTLY` in the session that owns the lock would wait for that.
fn poll(
    conn: &mut PgConnection,
    schema: &SchemaName,
    wait: Duration,
    function: &str,
) -> Result<()> {
    until(wait, || try_schema(conn, schema, function))?
        .then_some(())
        .ok_or_else(|| busy(schema, wait))
}

fn try_schema(conn: &mut PgConnection, schema: &SchemaName, function: &str) -> QueryResult<bool> {
    diesel::select(
        diesel::dsl::sql::<sql_types::Bool>("pg_catalog.")
            .sql(function)
            .sql("(")
            .bind::<sql_types::Integer, _>(SCHEMA)
            .sql(", pg_catalog.hashtext(")
            .bind::<sql_types::Text, _>(schema.as_str())
            .sql("))"),
    )
    .get_result(conn)
}

/// Keeps writers away from a schema that is being read, until the connection is returned: it is cleaned then.
pub(crate) fn schema_shared_for_checkout(
    conn: &mut SharedConnection,
    schema: &SchemaName,
    wait: Duration,
) -> Result<()> {
    poll(conn, schema, wait, "pg_try_advisory_lock_shared")
}

/// As [`schema_for_session`], for a session that others use meanwhile, and that must not wait in the server:
/// see [`poll`].
pub(crate) fn poll_schema_for_session<S: std::ops::DerefMut<Target = crate::session::Session>>(
    mut session: impl FnMut() -> S,
    schema: &SchemaName,
    wait: Duration,
) -> Result<()> {
    until(wait, || {
        try_schema(&mut session().pg, schema, "pg_try_advisory_lock")
    })?
    .then_some(())
    .ok_or_else(|| busy(schema, wait))
}

/// Gives back what [`schema_for_session`] took.
pub(crate) fn release_schema(conn: &mut PgConnection, schema: &SchemaName) -> Result<()> {
    diesel::sql_query("SELECT pg_catalog.pg_advisory_unlock($1, pg_catalog.hashtext($2))")
        .bind::<sql_types::Integer, _>(SCHEMA)
        .bind::<sql_types::Text, _>(schema.as_str())
        .execute(conn)
        .map(drop)
        .map_err(|error| Error::database("release the lock on a schema", error))
}

/// Tries again, after pauses that grow from the first to the longest, while `again` says so of the error, and for
/// as long as `wait` at the most.
pub(crate) fn try_for<T, E>(
    wait: Duration,
    [first, longest]: [Duration; 2],
    mut attempt: impl FnMut() -> Result<T, E>,
    again: impl Fn(&E) -> bool,
) -> Result<T, E> {
    let deadline = Instant::now() + wait.min(LONGEST_WAIT);
    let mut pause = first;
    loop {
        match attempt() {
            Err(error) if again(&error) && Instant::now() + pause <= deadline => {
                std::thread::sleep(pause);
                pause = (pause * 2).min(longest);
            }
            done => return done,
        }
    }
}

fn until(wait: Duration, mut free: impl FnMut() -> QueryResult<bool>) -> Result<bool> {
    let deadline = Instant::now() + wait.min(LONGEST_WAIT);
    let mut pause = FIRST_PAUSE;
    loop {
        if free().map_err(|error| Error::database("take a lock", error))? {
            return Ok(true);
        }
        if Instant::now() + pause > deadline {
            return Ok(false);
        }
        std::thread::sleep(pause);
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

fn busy(schema: &SchemaName, wait: Duration) -> Error {
    Error::new(
        ErrorKind::Locked,
        format!(
            "another process has been writing to schema {schema} for {wait:?}: try again later"
        ),
    )
}
