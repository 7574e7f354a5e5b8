//! How a pool is configured.

use std::{
    fmt,
    sync::{Arc, Mutex},
    time::Duration,
};

use r2d2::ManageConnection as _;

use super::{
    Gauges, Hook, Inner, LogErrors, Manager, PathMode, TenantPool, keeper, known::Knowledge,
    shelf::Shelf, spawn, state::Counters, watchers::Watchers,
};
use crate::{
    connection::TenantConnection,
    conninfo::{sets, with_parameter},
    error::Result,
    layout::Layout,
    lock::LONGEST_WAIT,
    session::Refusals,
    tenant::Tenant,
};

/// Configures a [`TenantPool`].
#[derive(Clone)]
pub struct TenantPoolBuilder {
    layout: Layout,
    path_mode: PathMode,
    max_size: u32,
    min_idle: u32,
    checkout_timeout: Duration,
    idle_timeout: Option<Duration>,
    max_lifetime: Option<Duration>,
    max_tenants_per_connection: usize,
    max_statements_per_connection: usize,
    registry_ttl: Duration,
    listen: Listen,
    on_checkout: Option<Hook>,
}

/// Where the listener connects to.
#[derive(Clone, Debug)]
enum Listen {
    /// To the pool's own URL, unless no notification can come that way.
    Usual,
    To(String),
    Nowhere,
}

impl Default for TenantPoolBuilder {
    fn default() -> Self {
        Self {
            layout: Layout::default(),
            path_mode: PathMode::default(),
            max_size: 10,
            min_idle: 0,
            checkout_timeout: Duration::from_secs(30),
            idle_timeout: Some(Duration::from_secs(10 * 60)),
            max_lifetime: Some(Duration::from_secs(30 * 60)),
            max_tenants_per_connection: 250,
            max_statements_per_connection: 2_000,
            registry_ttl: Duration::from_secs(1),
            listen: Listen::Usual,
            on_checkout: None,
        }
    }
}

impl TenantPoolBuilder {
    /// Sets which schema plays which role. Defaults to [`Layout::default`].
    #[must_use]
    pub fn layout(mut self, layout: Layout) -> Self {
        self.layout = layout;
        self
    }

    /// Sets what else the path of a tenant's checkout holds. Defaults to
    /// [`PathMode::TenantThenShared`].
    #[must_use]
    pub fn path_mode(mut self, mode: PathMode) -> Self {
        self.path_mode = mode;
        self
    }

    /// Sets the most connections that are open at once. Further checkouts wait. 0 counts as 1.
    /// Defaults to 10.
    #[must_use]
    pub fn max_size(mut self, connections: u32) -> Self {
        self.max_size = connections.max(1);
        self
    }

    /// Sets how many idle connections the pool keeps ready. No more than `max_size` are kept.
    /// Defaults to 0: connections are opened when they are first needed.
    #[must_use]
    pub fn min_idle(mut self, connections: u32) -> Self {
        self.min_idle = connections;
        self
    }

    /// Sets how long a checkout waits for a connection, including the time to open one. It does not
    /// limit queries. Defaults to 30 seconds.
    #[must_use]
    pub fn checkout_timeout(mut self, timeout: Duration) -> Self {
        self.checkout_timeout = timeout.clamp(Duration::from_millis(1), LONGEST_WAIT);
        self
    }

    /// Sets after how much idle time a connection is closed; `None` for never. Defaults to 10
    /// minutes.
    #[must_use]
    pub fn idle_timeout(mut self, timeout: Option<Duration>) -> Self {
        self.idle_timeout = timeout.map(|t| t.max(Duration::from_millis(1)));
        self
    }

    /// Sets at what age an idle connection is closed; `None` for never. Defaults to 30 minutes.
    #[must_use]
    pub fn max_lifetime(mut self, lifetime: Option<Duration>) -> Self {
        self.max_lifetime = lifetime.map(|t| t.max(Duration::from_millis(1)));
        self
    }

    /// Sets how many different tenants a connection serves before it is replaced. A server process
    /// keeps what it has read of each tenant's catalog until it ends: see
    /// [`ConnectionLoad`](crate::ConnectionLoad) for how much. 0 counts as 1. Defaults to 250.
    #[must_use]
    pub fn max_tenants_per_connection(mut self, tenants: usize) -> Self {
        self.max_tenants_per_connection = tenants.max(1);
        self
    }

    /// Sets how many statements a connection may have prepared, of all tenants together, before it drops
    /// them. Each takes about 15 kB of the server process. The proofs of the tenants, one or two
    /// each, are among them. 0 counts as 1. Defaults to 2,000.
    #[must_use]
    pub fn max_statements_per_connection(mut self, statements: usize) -> Self {
        self.max_statements_per_connection = statements.max(1);
        self
    }

    /// Sets for how long the pool believes what the registry said of a tenant while it hears no
    /// notifications of it: while the listener's connection is lost, or where there is none. It then asks
    /// again, at the tenant's next checkout, which costs a round trip. Defaults to one second.
    #[must_use]
    pub fn registry_ttl(mut self, ttl: Duration) -> Self {
        self.registry_ttl = ttl;
        self
    }

    /// Sets the URL at which the pool listens for what changes in the registry. One more connection is
    /// opened there, with the first checkout of a tenant, and again whenever it is lost.
    ///
    /// Defaults to the URL of the pool; in [`PathMode::Transaction`] to none, because no notification
    /// comes through a pooler in transaction mode: give the URL of the server itself.
    #[must_use]
    pub fn listen_url(mut self, url: impl Into<String>) -> Self {
        self.listen = Listen::To(url.into());
        self
    }

    /// Opens no connection for listening. What other processes change then takes effect after
    /// [`registry_ttl`](Self::registry_ttl).
    #[must_use]
    pub fn without_listener(mut self) -> Self {
        self.listen = Listen::Nowhere;
        self
    }

    /// Sets what is done with each checkout of a tenant, after it is bound and before the caller gets it:
    /// for instance a setting for row-level security or an audit trigger. The hook's error is the
    /// checkout's; the connection then goes back to the pool. Defaults to nothing.
    ///
    /// In [`PathMode::Transaction`] it runs inside the transaction. What it sets is gone when the
    /// checkout ends.
    ///
    /// # Examples
    ///
    /// ```no_run
    /// use boardinghouse_core::{Result, TenantPool};
    /// use diesel::prelude::*;
    ///
    /// let pool = TenantPool::builder()
    ///     .on_checkout(|tenant, conn| {
    ///         diesel::sql_query("SELECT set_config('app.tenant', $1, false)")
    ///             .bind::<diesel::sql_types::Text, _>(tenant.id().as_str())
    ///             .execute(conn)?;
    ///         Ok(())
    ///     })
    ///     .build("postgres://localhost/app")?;
    /// # Ok::<(), boardinghouse_core::Error>(())
    /// ```
    #[must_use]
    pub fn on_checkout(
        mut self,
        hook: impl Fn(&Tenant, &mut TenantConnection) -> Result<()> + Send + Sync + 'static,
    ) -> Self {
        self.on_checkout = Some(Arc::new(hook));
        self
    }

    /// Opens the pool. One connection is opened at once, so that a wrong URL shows here.
    ///
    /// Where neither the URL nor the environment sets libpq's `connect_timeout`, it is set to the
    /// checkout timeout, in whole seconds (PostgreSQL manual, 32.1.2 "Parameter Key Words"). Where they
    /// name neither `options` nor a service, connections start with `options` that make a path that sees
    /// nothing what `RESET search_path` leads to, and that save the clean three settings; what refuses such
    /// a start, as some poolers do, is asked once more without.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::ConnectionFailed`](crate::ErrorKind::ConnectionFailed) when the server cannot be
    /// reached or refuses the credentials.
    pub fn build(self, url: &str) -> Result<TenantPool> {
        let manager = self.manager(url);
        drop(manager.connect()?);
        Ok(self.open(manager))
    }

    /// Opens the pool without a connection, for a process that must start while its database is
    /// down. A wrong URL shows at the first checkout.
    #[must_use]
    pub fn build_unchecked(self, url: &str) -> TenantPool {
        let manager = self.manager(url);
        self.open(manager)
    }

    fn manager(&self, url: &str) -> Manager {
        Manager {
            url: self.bounded(url),
            layout: self.layout.clone(),
            stateless: self.path_mode == PathMode::Transaction,
            refusals: Refusals::default(),
            max_statements: self.max_statements_per_connection,
            gauges: Gauges::default(),
        }
    }

    fn open(self, manager: Manager) -> TenantPool {
        let url = manager.url.clone();
        let gauges = Arc::clone(&manager.gauges);
        let pool = r2d2::Pool::builder()
            .max_size(self.max_size)
            .min_idle(Some(0)) // the keeper's business
            .connection_timeout(self.checkout_timeout)
            .idle_timeout(self.idle_timeout)
            .max_lifetime(self.max_lifetime)
            .test_on_check_out(false) // the bind is the test
            .error_handler(Box::new(LogErrors))
            .build_unchecked(manager);
        let (end, ended) = std::sync::mpsc::channel();
        let inner = Arc::new(Inner {
            shelf: Shelf::new(pool, self.max_tenants_per_connection),
            known: Knowledge::new(self.registry_ttl),
            watchers: Watchers::default(),
            counters: Counters::default(),
            gauges,
            listen_at: Mutex::new(match self.listen {
                Listen::Usual if self.path_mode == PathMode::Transaction => None,
                Listen::Usual => Some(url.clone()),
                Listen::To(url) => Some(url),
                Listen::Nowhere => None,
            }),
            ends: Mutex::new(vec![end]),
            url,
            layout: self.layout,
            path_mode: self.path_mode,
            checkout_timeout: self.checkout_timeout,
            idle_timeout: self.idle_timeout,
            max_lifetime: self.max_lifetime,
            min_idle: self.min_idle.min(self.max_size),
            max_tenants_per_connection: self.max_tenants_per_connection,
            on_checkout: self.on_checkout,
        });
        let pool = Arc::downgrade(&inner);
        spawn("boardinghouse-keeper", move || keeper::run(pool, ended));
        TenantPool(inner)
    }

    /// The URL with a `connect_timeout`, so that a server that never answers is given up on.
    fn bounded(&self, url: &str) -> String {
        if sets(url, "connect_timeout") || std::env::var_os("PGCONNECT_TIMEOUT").is_some() {
            return url.to_owned();
        }
        // libpq takes 1 for 2.
        let seconds = self.checkout_timeout.as_secs().max(2);
        let parameter = format!("connect_timeout={seconds}");
        with_parameter(url, &parameter, &parameter)
    }
}

impl fmt::Debug for TenantPoolBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TenantPoolBuilder")
            .field("layout", &self.layout)
            .field("path_mode", &self.path_mode)
            .field("max_size", &self.max_size)
            .finish_non_exhaustive()
    }
}
