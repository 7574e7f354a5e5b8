//! The pool: one r2d2 pool for all tenants, and the loop that makes checkouts of it.

mod builder;
mod transaction;

use std::{
    fmt,
    sync::Arc,
    time::{Duration, Instant},
};

pub use self::builder::TenantPoolBuilder;
pub(crate) use self::transaction::needs_session;
use crate::{
    connection::{PooledSession, SharedConnection, TenantConnection},
    error::{Error, ErrorKind, Result},
    layout::Layout,
    session::{BindError, Binding, Session},
    tenant::{Tenant, TenantStatus},
};

/// A pool of connections for all tenants of one database.
///
/// Cheap to clone; clones are the same pool. A checkout needs a [`Tenant`], not a name:
///
/// ```compile_fail,E0308
/// # fn example(pool: &boardinghouse_core::TenantPool) {
/// let conn = pool.get("acme");
/// # }
/// ```
///
/// # Examples
///
/// ```no_run
/// use boardinghouse_core::{PgRegistry, TenantPool};
///
/// let pool = TenantPool::builder().max_size(15).build("postgres://localhost/app")?;
/// let registry = PgRegistry::new(pool.clone());
/// let acme = registry.get(&"acme".parse()?)?;
///
/// let mut conn = pool.get(&acme)?; // bound to acme's schema, and proven to be
/// # Ok::<(), boardinghouse_core::Error>(())
/// ```
#[derive(Clone)]
pub struct TenantPool(Arc<Inner>);

struct Inner {
    pool: r2d2::Pool<Manager>,
    url: String,
    layout: Layout,
    path_mode: PathMode,
    checkout_timeout: Duration,
    max_tenants_per_connection: usize,
}

/// What else the path of a tenant's checkout holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, serde::Serialize)]
#[non_exhaustive]
pub enum PathMode {
    /// The tenant, the shared schema, the extra schemas. Shared tables are read by their bare names;
    /// a table that the tenant lacks is looked for in the shared schema.
    #[default]
    TenantThenShared,
    /// The tenant and the extra schemas. Shared tables must be named in full; a table that the
    /// tenant lacks is an error.
    TenantOnly,
    /// The same path as [`TenantThenShared`](Self::TenantThenShared), for use behind a pooler in
    /// transaction mode (PgBouncer: `pool_mode = transaction`), where it is set for one transaction
    /// at a time and nothing runs outside of one.
    ///
    /// [`TenantPool::transaction`] and [`shared_transaction`](TenantPool::shared_transaction) are
    /// then the only ways to a connection; [`TenantPool::with`] and
    /// [`with_shared`](TenantPool::with_shared) come to the same, and
    /// [`PgRegistry`](crate::PgRegistry) reads so. [`get`](TenantPool::get) and
    /// [`get_shared`](TenantPool::get_shared) refuse. So do [`Provisioner`](crate::Provisioner),
    /// [`Migrator`](crate::Migrator), [`Doctor`](crate::Doctor) and
    /// [`console`](crate::console), which want a pool of their own, with a URL that leads to
    /// PostgreSQL directly. `boardinghouse check --pooler` tells which mode a URL wants.
    ///
    /// Statements are never prepared under a name: Diesel's cache is off, and it then sends each one
    /// whole, in a single message, inside the transaction. So it makes no difference whether the
    /// pooler can keep prepared statements, and tenants whose types or columns differ are right.
    ///
    /// What a borrower leaves in the session is removed before the server process goes to somebody
    /// else, as between checkouts: settings, the role, temporary tables, advisory locks,
    /// subscriptions, cursors, sequence state. That costs about 50 µs a transaction on the server.
    /// It also takes back settings that the pooler made when it connected (PgBouncer's
    /// `connect_query`): give those to the role or the database (`ALTER ROLE … SET`) instead.
    /// Where the work panics or the connection is in doubt, it is closed inside its transaction, and
    /// PgBouncer then closes the server process too.
    Transaction,
}

impl TenantPool {
    /// Begins to configure a pool.
    #[must_use]
    pub fn builder() -> TenantPoolBuilder {
        TenantPoolBuilder::default()
    }

    /// Checks a connection out, bound to `tenant` and proven to be.
    ///
    /// Waits for at most the checkout timeout for a connection to become free; how long the server
    /// takes to answer the bind comes on top. Connections that the server has closed in the meantime
    /// are replaced without the caller noticing.
    ///
    /// A [`Tenant`] says what the registry said when it was read. Read it anew for each piece of work:
    /// where a tenant was deleted and another one created under its id, the old value leads to the
    /// new schema.
    ///
    /// # Errors
    ///
    /// * [`ErrorKind::TenantUnavailable`] when the tenant is not ready, and
    ///   [`ErrorKind::ReservedName`] when its schema is the shared one, the template or the
    ///   registry; both before anything is sent.
    /// * [`ErrorKind::PoolTimeout`] when no connection became free in time, or
    ///   [`ErrorKind::ConnectionFailed`] when none could be opened.
    /// * [`ErrorKind::SchemaUnavailable`] when the schema is missing or being dropped, or the role
    ///   may not use it.
    /// * [`ErrorKind::NeedsSession`] in [`PathMode::Transaction`], before anything is sent: use
    ///   [`transaction`](Self::transaction).
    /// * [`ErrorKind::Database`] when the server failed otherwise.
    pub fn get(&self, tenant: &Tenant) -> Result<TenantConnection> {
        self.require_sessions()
            .map_err(|error| error.with_tenant(tenant.id()))?;
        self.bound(tenant)
    }

    fn bound(&self, tenant: &Tenant) -> Result<TenantConnection> {
        self.0
            .layout
            .tenant_schema(tenant.schema())
            .map_err(|e| e.with_tenant(tenant.id()))?;
        if tenant.status() != TenantStatus::Ready {
            return Err(Error::new(
                ErrorKind::TenantUnavailable,
                format!("tenant {} is {}, not ready", tenant.id(), tenant.status()),
            )
            .with_tenant(tenant.id()));
        }
        let binding = match self.0.path_mode {
            PathMode::TenantThenShared => {
                let shared = std::iter::once(self.0.layout.shared());
                Binding::for_use(tenant, shared.chain(self.0.layout.extra()))
            }
            PathMode::TenantOnly => Binding::for_use(tenant, self.0.layout.extra()),
            PathMode::Transaction => self.transaction_binding(Some(tenant)),
        };
        let session = self
            .checkout(&binding)
            .map_err(|error| error.with_tenant(tenant.id()))?;
        Ok(TenantConnection {
            session,
            tenant: tenant.clone(),
        })
    }

    /// Checks a connection out on the shared schema, where no tenant's tables are seen.
    ///
    /// # Errors
    ///
    /// As [`get`](Self::get), except for those about the tenant.
    pub fn get_shared(&self) -> Result<SharedConnection> {
        self.require_sessions()?;
        self.bound_to_shared()
    }

    fn bound_to_shared(&self) -> Result<SharedConnection> {
        let session = self.checkout(&self.shared_binding())?;
        Ok(SharedConnection {
            session,
            pool: self.clone(),
        })
    }

    /// Runs `work` on a checkout of `tenant` and returns the connection before it returns.
    ///
    /// In [`PathMode::Transaction`] this is [`transaction`](Self::transaction): an `Err` rolls back.
    ///
    /// # Errors
    ///
    /// Those of [`get`](Self::get), or of [`transaction`](Self::transaction), and of `work`.
    pub fn with<T, E: From<Error>>(
        &self,
        tenant: &Tenant,
        work: impl FnOnce(&mut TenantConnection) -> Result<T, E>,
    ) -> Result<T, E> {
        if self.is_stateless() {
            return self.transaction(tenant, work);
        }
        work(&mut self.get(tenant)?)
    }

    /// As [`with`](Self::with), on the shared schema.
    ///
    /// # Errors
    ///
    /// Those of [`get_shared`](Self::get_shared), or of
    /// [`shared_transaction`](Self::shared_transaction), and of `work`.
    pub fn with_shared<T, E: From<Error>>(
        &self,
        work: impl FnOnce(&mut SharedConnection) -> Result<T, E>,
    ) -> Result<T, E> {
        if self.is_stateless() {
            return self.shared_transaction(work);
        }
        work(&mut self.get_shared()?)
    }

    /// Which schema plays which role.
    #[must_use]
    pub fn layout(&self) -> &Layout {
        &self.0.layout
    }

    /// The most connections that the pool opens.
    #[must_use]
    pub fn max_size(&self) -> u32 {
        self.0.pool.max_size()
    }

    /// How many connections are open, and how many of them are idle.
    #[must_use]
    pub fn state(&self) -> PoolState {
        let state = self.0.pool.state();
        PoolState {
            connections: state.connections,
            idle: state.idle_connections,
        }
    }

    /// Whether this is the same pool, rather than another one of the same kind.
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    /// The database URL, for work that needs connections of its own.
    pub(crate) fn url(&self) -> &str {
        &self.0.url
    }

    fn shared_binding(&self) -> Binding {
        if self.is_stateless() {
            return self.transaction_binding(None);
        }
        Binding::new(self.0.layout.shared(), 0, self.0.layout.extra())
    }

    fn checkout(&self, binding: &Binding) -> Result<PooledSession> {
        let deadline = Instant::now() + self.0.checkout_timeout;
        // Each idle connection can be dead or inside somebody's transaction, once.
        let mut attempts = self.0.pool.max_size() + 1;
        loop {
            let mut session = self.wait(deadline)?;
            if !session.knows(binding.schema())
                && session.schemas_seen() >= self.0.max_tenants_per_connection
            {
                // A backend never gives back the memory that a tenant's catalog entries took.
                session.spoiled = true;
                continue;
            }
            match session.bind(binding) {
                Ok(()) => return Ok(PooledSession(session)),
                // Lent and not cleaned: r2d2 closes the session when it is dropped.
                Err(BindError::Stale) if attempts > 1 && Instant::now() < deadline => attempts -= 1,
                Err(error) => return Err(error.explain(binding)),
            }
        }
    }

    fn wait(&self, deadline: Instant) -> Result<r2d2::PooledConnection<Manager>> {
        if let Some(session) = self.0.pool.try_get() {
            return Ok(session);
        }
        let left = deadline
            .saturating_duration_since(Instant::now())
            .max(Duration::from_millis(1));
        self.0.pool.get_timeout(left).map_err(|error| {
            let state = self.state();
            if state.connections == 0 {
                // The source has the text of the last failure.
                return Error::new(
                    ErrorKind::ConnectionFailed,
                    format!(
                        "no connection to PostgreSQL could be opened within {:?}",
                        self.0.checkout_timeout
                    ),
                )
                .with_source(error);
            }
            Error::new(
                ErrorKind::PoolTimeout,
                format!(
                    "no connection became free within {:?}: {} of at most {} are open, all in use; \
                     raise max_size, or return connections sooner",
                    self.0.checkout_timeout,
                    state.connections,
                    self.max_size(),
                ),
            )
        })
    }
}

impl fmt::Debug for TenantPool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TenantPool")
            .field("layout", &self.0.layout)
            .field("state", &self.0.pool.state())
            .finish_non_exhaustive()
    }
}

/// A moment's view of a pool.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct PoolState {
    /// Open connections, in use or idle.
    pub connections: u32,
    /// Connections that wait to be checked out.
    pub idle: u32,
}

/// Opens sessions for r2d2, and tells it which not to keep.
pub(crate) struct Manager {
    url: String,
    layout: Layout,
    connect: Connect,
}

/// How a session is opened; the mode of the pool decides.
type Connect = fn(&str, &Layout) -> Result<Session>;

impl r2d2::ManageConnection for Manager {
    type Connection = Session;
    type Error = Error;

    fn connect(&self) -> Result<Session> {
        (self.connect)(&self.url, &self.layout)
    }

    fn is_valid(&self, _: &mut Session) -> Result<()> {
        Ok(())
    }

    fn has_broken(&self, session: &mut Session) -> bool {
        std::thread::panicking() || session.is_doubtful()
    }
}

/// Passes on what goes wrong in r2d2's background threads.
#[derive(Debug)]
struct LogErrors;

impl r2d2::HandleError<Error> for LogErrors {
    fn handle_error(&self, error: Error) {
        tracing::warn!(
            error = error.chain(),
            "could not open a connection for the pool"
        );
    }
}
