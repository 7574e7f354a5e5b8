//! The pool: one r2d2 pool for all tenants, and the loop that makes checkouts of it.

mod builder;
mod checkout;
mod keeper;
mod known;
mod listener;
mod shelf;
mod state;
mod tenant_url;
mod transaction;
mod watchers;

use std::{
    fmt,
    sync::{Arc, Mutex, PoisonError, Weak, mpsc::Sender},
    time::{Duration, Instant},
};

pub use self::{
    builder::TenantPoolBuilder,
    state::{PoolCounters, PoolState, WaitBucket},
    tenant_url::TenantUrl,
};
pub(crate) use self::{
    checkout::PooledSession,
    shelf::lock,
    transaction::needs_session,
    watchers::{Subject, Watcher},
};
use self::{known::Knowledge, shelf::Shelf, state::Counters, watchers::Watchers};
use crate::{
    connection::{SharedConnection, TenantConnection},
    error::{Error, Result},
    gauge::{ConnectionLoad, Gauge},
    layout::Layout,
    names::TenantId,
    session::{Refusals, Session},
    tenant::Tenant,
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
    shelf: Shelf,
    known: Knowledge,
    watchers: Watchers,
    counters: Counters,
    gauges: Gauges,
    url: String,
    layout: Layout,
    path_mode: PathMode,
    checkout_timeout: Duration,
    idle_timeout: Option<Duration>,
    max_lifetime: Option<Duration>,
    min_idle: u32,
    max_tenants_per_connection: usize,
    on_checkout: Option<Hook>,
    /// Where the listener connects; taken when it is started, which the first tenant does.
    listen_at: Mutex<Option<String>>,
    /// Dropped with the pool, which ends its threads.
    ends: Mutex<Vec<Sender<()>>>,
}

/// What an application does with each checkout of a tenant.
type Hook = Arc<dyn Fn(&Tenant, &mut TenantConnection) -> Result<()> + Send + Sync>;

/// What each session of a pool holds.
type Gauges = Arc<Mutex<Vec<Weak<Gauge>>>>;

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
    /// Lets somebody hear what the listener hears, which is started.
    pub(crate) fn watch(&self, watcher: Weak<dyn Watcher>) {
        self.0.watchers.add(watcher);
        self.start_listening();
    }

    /// Tells whoever watches what this process has changed, which then need not wait for the notification.
    pub(crate) fn changed(&self, subject: Subject) {
        self.0.watchers.tell(Some(subject));
    }

    /// Tells whoever watches what a transaction of this process changes once it is committed.
    pub(crate) fn expect_change(&self, subject: &Subject) {
        self.0.watchers.expect(subject);
    }

    /// For how long what was read of the registry, and not notified of since, is to be believed now.
    pub(crate) fn belief(&self) -> Duration {
        self.0.known.belief(Instant::now())
    }

    /// Begins to configure a pool.
    #[must_use]
    pub fn builder() -> TenantPoolBuilder {
        TenantPoolBuilder::default()
    }

    /// Checks a connection out, bound to `tenant` and proven to be.
    ///
    /// Of the idle connections it takes one that is on the tenant already, if there is one; where there
    /// is none at all it waits, in the order in which checkouts were asked for, for at most the checkout
    /// timeout. How long the server takes to answer the bind comes on top. Connections that the server
    /// has closed in the meantime are replaced without the caller noticing.
    ///
    /// A [`Tenant`] says what the registry said when it was read. If it was renamed or migrated since,
    /// the checkout is of the tenant as it is now ([`TenantConnection::tenant`]); if it was suspended or
    /// deleted, it is refused, also where another tenant was created under its id. What changed reaches
    /// the pool with a notification of the registry, as a rule within 0.2 seconds and at most within one;
    /// a schema that was renamed, or dropped and created anew, is never served in the meantime.
    ///
    /// # Errors
    ///
    /// * [`ErrorKind::TenantUnavailable`] when the tenant is not ready, and
    ///   [`ErrorKind::ReservedName`] when its schema is the shared one, the template or the
    ///   registry; both before anything is sent.
    /// * [`ErrorKind::TenantNotFound`] when the tenant was deleted.
    /// * [`ErrorKind::PoolTimeout`] when no connection became free in time, or
    ///   [`ErrorKind::ConnectionFailed`] when none could be opened.
    /// * [`ErrorKind::SchemaUnavailable`] when the schema is missing or being renamed or dropped, or the
    ///   role may not use it.
    /// * [`ErrorKind::NeedsSession`] in [`PathMode::Transaction`], before anything is sent: use
    ///   [`transaction`](Self::transaction).
    /// * [`ErrorKind::Database`] when the server failed otherwise.
    /// * What the hook of [`TenantPoolBuilder::on_checkout`] gave.
    ///
    /// [`ErrorKind::TenantUnavailable`]: crate::ErrorKind::TenantUnavailable
    /// [`ErrorKind::ReservedName`]: crate::ErrorKind::ReservedName
    /// [`ErrorKind::TenantNotFound`]: crate::ErrorKind::TenantNotFound
    /// [`ErrorKind::PoolTimeout`]: crate::ErrorKind::PoolTimeout
    /// [`ErrorKind::ConnectionFailed`]: crate::ErrorKind::ConnectionFailed
    /// [`ErrorKind::SchemaUnavailable`]: crate::ErrorKind::SchemaUnavailable
    /// [`ErrorKind::NeedsSession`]: crate::ErrorKind::NeedsSession
    /// [`ErrorKind::Database`]: crate::ErrorKind::Database
    pub fn get(&self, tenant: &Tenant) -> Result<TenantConnection> {
        self.require_sessions()
            .map_err(|error| error.with_tenant(tenant.id()))?;
        self.bound(tenant)
    }

    /// Checks a connection out on the shared schema, where no tenant's tables are seen.
    ///
    /// # Errors
    ///
    /// As [`get`](Self::get), except for those about the tenant and the hook.
    pub fn get_shared(&self) -> Result<SharedConnection> {
        self.require_sessions()?;
        self.bound_to_shared()
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

    /// The most connections that the pool opens, the listener's not counted.
    #[must_use]
    pub fn max_size(&self) -> u32 {
        self.0.shelf.r2d2().max_size()
    }

    /// How many connections are open, in use and waited for, and what happened so far.
    #[must_use]
    pub fn state(&self) -> PoolState {
        let state = self.0.shelf.r2d2().state();
        let (idle, waiting) = self.0.shelf.counts();
        PoolState {
            connections: state.connections,
            idle: state.idle_connections + u32::try_from(idle).unwrap_or(u32::MAX),
            waiting: u32::try_from(waiting).unwrap_or(u32::MAX),
            listening: self.0.known.is_hearing(Instant::now()),
            counters: self.0.counters.read(),
        }
    }

    /// What each open connection holds in the memory of its server process.
    #[must_use]
    pub fn loads(&self) -> Vec<ConnectionLoad> {
        let gauges = self.0.gauges.lock();
        let gauges = gauges.unwrap_or_else(PoisonError::into_inner);
        let open = gauges.iter().filter_map(Weak::upgrade);
        open.map(|gauge| gauge.load()).collect()
    }

    /// The tenants of the registry with the most checkouts, the busiest first. One that nobody asked for in an
    /// hour counts anew.
    #[must_use]
    pub fn busiest(&self, most: usize) -> Vec<(TenantId, u64)> {
        self.0.known.busiest(most)
    }

    /// Whether this is the same pool, rather than another one of the same kind.
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    /// The database URL, for work that needs connections of its own.
    pub(crate) fn url(&self) -> &str {
        &self.0.url
    }
}

impl fmt::Debug for TenantPool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TenantPool")
            .field("layout", &self.0.layout)
            .field("state", &self.0.shelf.r2d2().state())
            .finish_non_exhaustive()
    }
}

/// Opens sessions for r2d2, and tells it which not to keep.
pub(crate) struct Manager {
    url: String,
    layout: Layout,
    /// Whether nothing is kept between transactions.
    stateless: bool,
    /// See [`Session::connect_neutral`].
    refusals: Refusals,
    max_statements: usize,
    gauges: Gauges,
}

impl r2d2::ManageConnection for Manager {
    type Connection = Box<Session>;
    type Error = Error;

    fn connect(&self) -> Result<Box<Session>> {
        let session = if self.stateless {
            Session::connect_stateless(&self.url, &self.layout)?
        } else {
            Session::connect_neutral(&self.url, &self.layout, &self.refusals)?
        };
        let session = Box::new(session.limit_statements(self.max_statements));
        let mut gauges = self.gauges.lock().unwrap_or_else(PoisonError::into_inner);
        gauges.retain(|gauge| gauge.strong_count() > 0);
        gauges.push(Arc::downgrade(session.gauge()));
        Ok(session)
    }

    fn is_valid(&self, _: &mut Box<Session>) -> Result<()> {
        Ok(())
    }

    fn has_broken(&self, session: &mut Box<Session>) -> bool {
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

/// Starts a thread of the pool's own. Where the system has none left, the pool goes on without it: idle
/// sessions are then not looked after, and changes are heard of after `registry_ttl`.
fn spawn(name: &str, work: impl FnOnce() + Send + 'static) {
    let spawned = std::thread::Builder::new().name(name.into()).spawn(work);
    if let Err(error) = spawned {
        tracing::error!(%error, "could not start the thread {name}");
    }
}
