//! How a pool is configured.

use std::{sync::Arc, time::Duration};

use super::{Connect, Inner, LogErrors, Manager, PathMode, TenantPool};
use crate::{error::Result, layout::Layout, lock::LONGEST_WAIT, session::Session};

/// Configures a [`TenantPool`].
#[derive(Clone, Debug)]
pub struct TenantPoolBuilder {
    layout: Layout,
    path_mode: PathMode,
    max_size: u32,
    min_idle: u32,
    checkout_timeout: Duration,
    idle_timeout: Option<Duration>,
    max_lifetime: Option<Duration>,
    max_tenants_per_connection: usize,
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
            max_tenants_per_connection: 200,
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
    /// keeps what it has read of each tenant's catalog, about 10 kB a table, until it ends. 0 counts
    /// as 1. Defaults to 200.
    #[must_use]
    pub fn max_tenants_per_connection(mut self, tenants: usize) -> Self {
        self.max_tenants_per_connection = tenants.max(1);
        self
    }

    /// Opens the pool. One connection is opened at once, so that a wrong URL shows here.
    ///
    /// Where neither the URL nor the environment sets libpq's `connect_timeout`, it is set to the
    /// checkout timeout, in whole seconds (PostgreSQL manual, 32.1.2 "Parameter Key Words").
    ///
    /// # Errors
    ///
    /// [`ErrorKind::ConnectionFailed`](crate::ErrorKind::ConnectionFailed) when the server cannot be
    /// reached or refuses the credentials.
    pub fn build(self, url: &str) -> Result<TenantPool> {
        drop(self.connect()(&self.bounded(url), &self.layout)?);
        Ok(self.build_unchecked(url))
    }

    /// Opens the pool without a connection, for a process that must start while its database is
    /// down. A wrong URL shows at the first checkout.
    #[must_use]
    pub fn build_unchecked(self, url: &str) -> TenantPool {
        let url = self.bounded(url);
        let pool = r2d2::Pool::builder()
            .max_size(self.max_size)
            .min_idle(Some(self.min_idle.min(self.max_size)))
            .connection_timeout(self.checkout_timeout)
            .idle_timeout(self.idle_timeout)
            .max_lifetime(self.max_lifetime)
            .test_on_check_out(false) // the bind is the test
            .error_handler(Box::new(LogErrors))
            .build_unchecked(Manager {
                url: url.clone(),
                layout: self.layout.clone(),
                connect: self.connect(),
            });
        TenantPool(Arc::new(Inner {
            pool,
            url,
            layout: self.layout,
            path_mode: self.path_mode,
            checkout_timeout: self.checkout_timeout,
            max_tenants_per_connection: self.max_tenants_per_connection,
        }))
    }

    fn connect(&self) -> Connect {
        match self.path_mode {
            PathMode::Transaction => Session::connect_stateless,
            PathMode::TenantThenShared | PathMode::TenantOnly => Session::connect,
        }
    }

    /// The URL with a `connect_timeout`, so that a server that never answers is given up on.
    fn bounded(&self, url: &str) -> String {
        if url.contains("connect_timeout") || std::env::var_os("PGCONNECT_TIMEOUT").is_some() {
            return url.to_owned();
        }
        let before = match (url.contains("://"), url.contains('?')) {
            (true, true) if url.ends_with(['?', '&']) => "",
            (true, true) => "&",
            (true, false) => "?",
            (false, _) => " ",
        };
        // libpq takes 1 for 2.
        let seconds = self.checkout_timeout.as_secs().max(2);
        format!("{url}{before}connect_timeout={seconds}")
    }
}
