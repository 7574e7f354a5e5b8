//! Reads on a streaming replica, with the promises of a checkout.
//!
//! What holds on the primary does not hold there. A replica is behind, so that a tenant which was deleted
//! and created anew may still have its predecessor's rows; and no lock of ours keeps a schema from
//! being dropped, or created anew, in the middle of a checkout: the primary cannot see it, and what it
//! does is replayed. So the registry's row and the schema's own number are compared before the work,
//! and again after it, and a result in between is given only if both were those of the tenant.

use diesel::{
    connection::SimpleConnection,
    prelude::*,
    result::{DatabaseErrorKind, Error as DieselError},
    sql_query, sql_types,
};

use crate::{
    connection::TenantConnection,
    error::{Error, ErrorKind, Result},
    pool::{PathMode, TenantPool, TenantPoolBuilder},
    registry,
    tenant::Tenant,
};

/// A pool of the primary, for everything, and one of a streaming replica, for reads that may be some
/// moments old.
///
/// [`read`](Self::read) never gives rows of another tenant, nor of the shared schema in a tenant's stead:
/// in doubt it does the work on the primary. Tenants are looked up on the primary.
///
/// # Examples
///
/// ```no_run
/// use boardinghouse_core::{Error, PgRegistry, ReplicatedPool, TenantPool};
/// use diesel::prelude::*;
///
/// diesel::table! {
///     notes { id -> Integer, body -> Text }
/// }
///
/// let primary = TenantPool::builder().build("postgres://primary/app")?;
/// let replica = TenantPool::builder().max_size(30);
/// let pools = ReplicatedPool::new(primary.clone(), replica, "postgres://replica/app");
///
/// let acme = PgRegistry::new(primary).get(&"acme".parse()?)?;
/// let bodies = pools.read(&acme, |conn| {
///     notes::table.select(notes::body).load::<String>(conn).map_err(Error::from)
/// })?;
/// let mut conn = pools.primary().get(&acme)?; // to write
/// # Ok::<(), boardinghouse_core::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct ReplicatedPool {
    primary: TenantPool,
    replica: TenantPool,
}

/// What must not change while a replica is read.
#[derive(PartialEq, Eq, QueryableByName)]
struct Identity {
    #[diesel(sql_type = sql_types::BigInt)]
    incarnation: i64,
    #[diesel(sql_type = sql_types::BigInt)]
    epoch: i64,
    #[diesel(sql_type = sql_types::Oid)]
    namespace: u32,
}

impl ReplicatedPool {
    /// Joins the pool of the primary to one of a replica of the same database.
    ///
    /// The replica's pool is made here, from `replica` and the replica's URL, because it must have the
    /// primary's layout and [`PathMode::TenantOnly`]: with the shared schema on the path, a tenant's
    /// schema that is dropped on the primary would turn a read to the shared tables. So reads name
    /// shared tables in full. Nothing is connected to yet, and the replica may be down.
    #[must_use]
    pub fn new(primary: TenantPool, replica: TenantPoolBuilder, url: &str) -> Self {
        let replica = replica
            .layout(primary.layout().clone())
            .path_mode(PathMode::TenantOnly)
            // A replica takes no LISTEN, and what the primary notifies is ahead of it.
            .without_listener()
            .build_unchecked(url);
        Self { primary, replica }
    }

    /// The pool of the primary.
    #[must_use]
    pub fn primary(&self) -> &TenantPool {
        &self.primary
    }

    /// The pool of the replica, for its [`state`](TenantPool::state). A checkout of it alone has none of
    /// the checks of [`read`](Self::read).
    #[must_use]
    pub fn replica(&self) -> &TenantPool {
        &self.replica
    }

    /// Reads a tenant, on the replica if that knows the tenant as it is now, else on the primary.
    ///
    /// The replica is not used where it lags behind a change of the tenant itself: its creation, a
    /// migration, a rename. The rows that it gives can be older than the primary's, as on any replica.
    ///
    /// `work` may be called a second time, on the primary, and what it gave the first time is then
    /// thrown away, be it a value or an error: the tenant was exchanged under it. So it should do
    /// nothing but read. Nothing can be written in it, wherever it runs.
    ///
    /// Beside the bind and the clean it costs two round trips.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::TenantNotFound`] when the tenant is gone, even if there is a new one under its id, or
    /// is not from the registry. Those of [`TenantPool::get`], also for a replica that cannot be reached: the primary does not
    /// take over all of its load unasked. Those of `work`, among them a connection that the replica
    /// closed because a query was in the way of what it replays.
    pub fn read<T, E: From<Error>>(
        &self,
        tenant: &Tenant,
        mut work: impl FnMut(&mut TenantConnection) -> Result<T, E>,
    ) -> Result<T, E> {
        if let Some(done) = self.read_on_replica(tenant, &mut work)? {
            return done;
        }
        let mut conn = self.primary.get(tenant)?;
        // The checkout keeps the tenant from being exchanged from now on, but it may have been before.
        let now = Identity::on(&mut conn, tenant)?;
        if now.is_none_or(|now| now.incarnation != tenant.incarnation()) {
            return Err(registry::not_found(tenant.id()).into());
        }
        // As on a replica. The clean resets it.
        conn.batch_execute("SET default_transaction_read_only TO on")
            .map_err(|error| failed(tenant, "make the session read-only", error))?;
        work(&mut conn)
    }

    /// What `work` gave; `None` in doubt whether it came from the tenant.
    fn read_on_replica<T, E: From<Error>>(
        &self,
        tenant: &Tenant,
        work: &mut impl FnMut(&mut TenantConnection) -> Result<T, E>,
    ) -> Result<Option<Result<T, E>>> {
        let mut conn = match self.replica.get(tenant) {
            Ok(conn) => conn,
            // Created, or renamed, just now.
            Err(error) if is_missing(&error) => return Ok(None),
            Err(error) => return Err(error),
        };
        let before = Identity::on(&mut conn, tenant)?;
        let known = |identity: &Identity| {
            identity.incarnation == tenant.incarnation() && identity.epoch == tenant.epoch()
        };
        if !before.as_ref().is_some_and(known) {
            return Ok(None);
        }
        let done = work(&mut conn);
        match Identity::on(&mut conn, tenant) {
            Ok(after) if after == before => Ok(Some(done)),
            Ok(_) => Ok(None),
            // It could not be asked: an error of the work's own is then worth more.
            Err(error) => Ok(Some(done.and(Err(error.into())))),
        }
    }
}

impl Identity {
    /// Who lives in the tenant's schema, by this server's word.
    fn on(conn: &mut TenantConnection, tenant: &Tenant) -> Result<Option<Self>> {
        sql_query(
            "SELECT tenants.incarnation, tenants.epoch, pg_namespace.oid AS namespace \
             FROM boardinghouse.tenants JOIN pg_catalog.pg_namespace ON nspname = schema_name \
             WHERE id = $1 AND schema_name = $2",
        )
        .bind::<sql_types::Text, _>(tenant.id().as_str())
        .bind::<sql_types::Text, _>(tenant.schema().as_str())
        .get_result(conn)
        .optional()
        .map_err(|error| failed(tenant, "read the tenant's row", error))
    }
}

/// Whether a replica lacks the schema. Where it is first on the path, the bind finds nothing on it but the
/// temporary tables, which the server would have to make room for, and a replica cannot.
fn is_missing(error: &Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::SchemaUnavailable | ErrorKind::TenantNotFound | ErrorKind::TenantUnavailable
    ) || matches!(
        error.as_diesel(),
        Some(DieselError::DatabaseError(
            DatabaseErrorKind::ReadOnlyTransaction,
            _
        ))
    )
}

fn failed(tenant: &Tenant, what: &str, error: DieselError) -> Error {
    Error::database(what, error).with_tenant(tenant.id())
}
