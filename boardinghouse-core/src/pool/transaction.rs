//! Work that is one transaction: the only kind there is behind a pooler in transaction mode.

use super::{PathMode, TenantPool};
use crate::{
    connection::{SharedConnection, TenantConnection},
    error::{Error, ErrorKind, Result},
    session::Session,
    tenant::Tenant,
};

impl TenantPool {
    /// Runs `work` on a connection that is bound to `tenant`, in one transaction: committed when
    /// `work` gives `Ok`, rolled back when it gives `Err` or panics.
    ///
    /// In every [`PathMode`]; in [`PathMode::Transaction`], for use behind a pooler in transaction
    /// mode, it is the only way to a connection. There, the first message to the server begins the
    /// transaction, sets the path until its end, and proves it; the last one removes what the work
    /// left in the session, and commits. `conn.transaction` inside it makes savepoints.
    ///
    /// A connection that turns out to be dead is replaced before `work` runs, never after.
    ///
    /// # What the work must not do
    ///
    /// End the transaction by text. In [`PathMode::Transaction`], `COMMIT` and its like are refused,
    /// and so is every statement after the end of the transaction; both come back as errors of
    /// Diesel. On the bare `PgConnection` that a connection derefs to nothing can be refused: the work
    /// is then told at its end, by [`ErrorKind::TransactionEnded`], and the connection is closed, but a
    /// statement that ran between `COMMIT` and there ran on whatever path the server has by default:
    /// as a rule the shared schema.
    ///
    /// There, too, [`build_transaction`](TenantConnection::build_transaction) fails, because the
    /// transaction is open already and has read: set `default_transaction_isolation` for the role
    /// where another level is wanted. And locks by `pg_advisory_lock` are given back just before the
    /// commit: use `pg_advisory_xact_lock`.
    ///
    /// # Errors
    ///
    /// * Those of [`get`](Self::get), before `work` runs.
    /// * That of `work`.
    /// * [`ErrorKind::Database`] when the commit was refused, or a statement had failed and `work`
    ///   gave `Ok` all the same. Nothing was saved. [`Error::as_diesel`] tells which constraint, or
    ///   that it was a serialization failure.
    /// * [`ErrorKind::ConnectionFailed`] when the connection was lost before the commit was sent.
    ///   Nothing was saved.
    /// * [`ErrorKind::OutcomeUnknown`] when the connection was lost while the commit was answered.
    /// * [`ErrorKind::TransactionEnded`], see above; also in place of an error of `work`.
    ///
    /// # Examples
    ///
    /// ```no_run
    /// use boardinghouse_core::{Error, PathMode, PgRegistry, TenantPool};
    /// use diesel::prelude::*;
    ///
    /// diesel::table! {
    ///     notes { id -> Integer, body -> Text }
    /// }
    ///
    /// # fn main() -> Result<(), Error> {
    /// let pool = TenantPool::builder()
    ///     .path_mode(PathMode::Transaction)
    ///     .build("postgres://pooler.internal:6432/app")?;
    /// let acme = PgRegistry::new(pool.clone()).get(&"acme".parse()?)?;
    /// let count: i64 = pool.transaction(&acme, |conn| {
    ///     diesel::insert_into(notes::table).values(notes::body.eq("hello")).execute(conn)?;
    ///     notes::table.count().get_result(conn).map_err(Error::from)
    /// })?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn transaction<T, E: From<Error>>(
        &self,
        tenant: &Tenant,
        work: impl FnOnce(&mut TenantConnection) -> Result<T, E>,
    ) -> Result<T, E> {
        let mut conn = self.bound(tenant)?;
        let ours = |error: Error| E::from(error.with_tenant(tenant.id()));
        run(&mut conn, |conn| &mut conn.session, work, ours)
    }

    /// As [`transaction`](Self::transaction), on the shared schema, where no tenant's tables are seen.
    ///
    /// # Errors
    ///
    /// As [`transaction`](Self::transaction), except for those about the tenant.
    ///
    /// # Examples
    ///
    /// ```no_run
    /// use boardinghouse_core::{Error, TenantPool};
    /// use diesel::prelude::*;
    ///
    /// diesel::table! {
    ///     plans { id -> Integer, name -> Text }
    /// }
    ///
    /// # fn example(pool: &TenantPool) -> Result<(), Error> {
    /// let names: Vec<String> = pool.shared_transaction(|conn| {
    ///     plans::table.select(plans::name).load(conn).map_err(Error::from)
    /// })?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn shared_transaction<T, E: From<Error>>(
        &self,
        work: impl FnOnce(&mut SharedConnection) -> Result<T, E>,
    ) -> Result<T, E> {
        let mut conn = self.bound_to_shared()?;
        run(&mut conn, |conn| &mut conn.session, work, E::from)
    }

    /// Fails where there are no sessions to lend, before anything is sent.
    pub(crate) fn require_sessions(&self) -> Result<()> {
        if self.is_stateless() {
            return Err(needs_session());
        }
        Ok(())
    }

    pub(super) fn is_stateless(&self) -> bool {
        self.0.path_mode == PathMode::Transaction
    }
}

fn run<C, T, E>(
    conn: &mut C,
    session: fn(&mut C) -> &mut Session,
    work: impl FnOnce(&mut C) -> Result<T, E>,
    ours: impl Fn(Error) -> E,
) -> Result<T, E> {
    session(conn).open_transaction().map_err(&ours)?;
    match work(conn) {
        Ok(value) => session(conn).commit().map(|()| value).map_err(ours),
        Err(error) => Err(session(conn).roll_back().map_or_else(ours, |()| error)),
    }
}

pub(crate) fn needs_session() -> Error {
    Error::new(
        ErrorKind::NeedsSession,
        "this pool keeps no sessions, because it is behind a pooler in transaction mode \
         (PathMode::Transaction): use TenantPool::transaction or shared_transaction; what creates, \
         deletes, migrates or checks tenants wants a pool whose URL leads to PostgreSQL directly",
    )
}
