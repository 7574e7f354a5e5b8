//! How a checkout comes about: a turn, a session, what is known of the tenant, and the bind.

use std::{
    ops::{Deref, DerefMut},
    sync::Arc,
    time::Instant,
};

use super::{
    Inner, PathMode, TenantPool,
    known::{self, Key, Record},
    listener,
    shelf::{Conn, Refused, lock},
};
use crate::{
    connection::{SharedConnection, TenantConnection},
    error::{Error, ErrorKind, Result},
    names::SchemaName,
    session::{BindError, Binding, Session},
    sql::Mark,
    tenant::{Tenant, TenantStatus},
};

/// The right to one session of the pool, and the session; both go back when it is dropped.
pub(super) struct Turn {
    pub(super) conn: Option<Conn>,
    /// How often the tenant has been asked for that the session comes back from.
    pub(super) heat: u64,
    pub(super) inner: Arc<Inner>,
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.inner.shelf.give_back(self.conn.take(), self.heat);
    }
}

/// A session on loan from the pool; made fit for the next borrower, or else closed, when it is dropped.
pub(crate) struct PooledSession {
    turn: Turn,
    /// What was believed of the schema when the session was bound.
    record: Arc<Record>,
}

impl Drop for PooledSession {
    fn drop(&mut self) {
        let inner = Arc::clone(&self.turn.inner);
        self.turn.heat = self.record.gets();
        let now = Instant::now();
        if self.was_reshaped() {
            // Whether anything hides behind a name was asked before.
            inner.known.changed(known::ALL);
        }
        // While unwinding the session stays in doubt, and is closed.
        if std::thread::panicking() {
            inner.counters.closed();
            return;
        }
        if inner.max_lifetime.is_some_and(|most| self.age(now) >= most) {
            self.spoiled = true;
            inner.counters.recycled();
            return;
        }
        if !inner.known.still_believes(&self.record, now) {
            // What hides behind a name by now was not asked.
            self.soil();
        }
        let fit = self.finish();
        if !self.is_parked() && !self.is_stateless() {
            inner.counters.cleans();
        }
        if !fit {
            inner.counters.closed();
            tracing::debug!("connection closed on doubt");
        }
    }
}

impl Deref for PooledSession {
    type Target = Session;

    fn deref(&self) -> &Session {
        match &self.turn.conn {
            Some(conn) => conn,
            None => unreachable!("the session is taken when it is dropped"),
        }
    }
}

impl DerefMut for PooledSession {
    fn deref_mut(&mut self) -> &mut Session {
        match &mut self.turn.conn {
            Some(conn) => conn,
            None => unreachable!("the session is taken when it is dropped"),
        }
    }
}

/// What a session is wanted for.
enum Wanted<'a> {
    Tenant(&'a Tenant),
    Shared,
}

impl TenantPool {
    pub(super) fn bound(&self, tenant: &Tenant) -> Result<TenantConnection> {
        let bound = self.try_bound(tenant);
        if let Err(error) = &bound {
            match error.kind() {
                ErrorKind::PoolTimeout | ErrorKind::ConnectionFailed => self.0.counters.timeouts(),
                _ => self.0.counters.refused(),
            }
        }
        bound.map_err(|error| error.with_tenant(tenant.id()))
    }

    fn try_bound(&self, tenant: &Tenant) -> Result<TenantConnection> {
        let layout = &self.0.layout;
        match tenant.incarnation() {
            0 => layout.has_no_role(tenant.schema())?,
            _ => layout.tenant_schema(tenant.schema())?,
        }
        if tenant.status() != TenantStatus::Ready {
            return Err(known::not_ready(tenant.id().as_str(), tenant.status()));
        }
        if tenant.incarnation() != 0 {
            self.start_listening();
        }
        let span = tracing::debug_span!(
            "checkout",
            tenant = tenant.id().as_str(),
            waited_us = tracing::field::Empty
        );
        let (session, record) = span.in_scope(|| self.checkout(&Wanted::Tenant(tenant), &span))?;
        record.got();
        let id = record.id.as_ref().unwrap_or_else(|| tenant.id());
        let epoch = record.epoch.max(tenant.epoch());
        let mut conn = TenantConnection {
            session,
            tenant: tenant.clone().moved(id, &record.schema, epoch),
            span,
        };
        if let Some(hook) = &self.0.on_checkout {
            let tenant = conn.tenant.clone();
            hook(&tenant, &mut conn)?;
        }
        Ok(conn)
    }

    pub(super) fn bound_to_shared(&self) -> Result<SharedConnection> {
        let (session, _) = self.checkout(&Wanted::Shared, &tracing::Span::none())?;
        Ok(SharedConnection {
            session,
            pool: self.clone(),
        })
    }

    fn checkout(
        &self,
        wanted: &Wanted<'_>,
        span: &tracing::Span,
    ) -> Result<(PooledSession, Arc<Record>)> {
        let inner = &self.0;
        let started = Instant::now();
        let deadline = started + inner.checkout_timeout;
        inner.counters.gets();
        let (key, expected, epoch) = match wanted {
            Wanted::Tenant(tenant) => (Key::of(tenant), tenant.schema(), tenant.epoch()),
            Wanted::Shared => {
                let shared = inner.layout.shared();
                (Key::Schema(shared.clone()), shared, 0)
            }
        };
        let (conn, mut now) = inner
            .shelf
            .turn(started, deadline)
            .map_err(|refused| self.explain(refused))?;
        let mut turn = Turn {
            conn,
            heat: 0,
            inner: Arc::clone(inner),
        };
        let mut waited = None;
        // Each idle connection can be dead or inside somebody's transaction, once.
        let mut attempts = self.max_size() + 1;
        // What was believed can turn out to be wrong, once.
        let mut doubted = false;
        // Whether a session was full: then the others that are idle are, too, or it had not been chosen.
        let mut full = false;
        loop {
            let believed = inner.known.find(&key, epoch, now);
            let schema = believed.as_ref().map_or(expected, |record| &record.schema);
            let conn = match turn.conn.take() {
                Some(conn) => conn,
                None if full => inner
                    .shelf
                    .another(deadline)
                    .map_err(|refused| self.explain(refused))?,
                None => inner
                    .shelf
                    .session(schema, deadline)
                    .map_err(|refused| self.explain(refused))?,
            };
            now = Instant::now();
            let waited = *waited.get_or_insert_with(|| now.duration_since(started));
            let session = turn.conn.insert(conn);
            if !session.knows(schema) && session.schemas_seen() >= inner.max_tenants_per_connection
            {
                // A backend never gives back the memory that a tenant's catalog entries took.
                inner.counters.recycled();
                session.spoiled = true;
                turn.conn = None;
                full = true;
                continue;
            }
            let sure = believed.is_none();
            let bound = match believed {
                Some(record) => Ok(record),
                None => {
                    let confirmed = self.confirm(session, &key, wanted);
                    now = Instant::now();
                    confirmed
                }
            };
            let failure = match bound {
                Ok(record) => {
                    let hit = session.is_parked() && session.was_on(&record.schema);
                    match session.bind(&record.binding, now) {
                        Ok(()) => {
                            inner.counters.waited(waited);
                            span.record(
                                "waited_us",
                                u64::try_from(waited.as_micros()).unwrap_or(0),
                            );
                            if hit {
                                inner.counters.hits();
                            } else {
                                inner.counters.binds();
                            }
                            let session = PooledSession {
                                turn,
                                record: Arc::clone(&record),
                            };
                            return Ok((session, record));
                        }
                        Err(error) => NotBound::Session(error, record.binding.clone()),
                    }
                }
                Err(failure) => failure,
            };
            // A session that was not bound may be anywhere.
            session.spoiled = true;
            turn.conn = None;
            now = Instant::now();
            match failure {
                NotBound::Session(BindError::Stale, _) | NotBound::Stale
                    if attempts > 1 && now < deadline =>
                {
                    attempts -= 1;
                    inner.counters.retries();
                }
                NotBound::Session(BindError::Unavailable, _) if !sure && !doubted => {
                    doubted = true;
                    inner.known.doubt(&key);
                }
                NotBound::Session(error, binding) => return Err(error.explain(&binding)),
                NotBound::Stale => {
                    return Err(BindError::Stale.explain(&self.binding(
                        wanted,
                        expected,
                        epoch,
                        Mark::default(),
                    )));
                }
                NotBound::Refused(error) => return Err(error),
            }
        }
    }

    /// Asks the server what is true of what is wanted, and believes it from now on.
    fn confirm(
        &self,
        session: &mut Session,
        key: &Key,
        wanted: &Wanted<'_>,
    ) -> Result<Arc<Record>, NotBound> {
        let inner = &self.0;
        inner.counters.confirmations();
        let read_at = inner.known.changes();
        let rest: Vec<SchemaName> = self.rest(wanted).cloned().collect();
        let in_transaction = self.is_stateless();
        let confirmed = match known::confirm(&mut session.pg, key, &rest, in_transaction) {
            Ok(confirmed) => confirmed,
            Err(BindError::Failed(error)) => {
                return Err(NotBound::Refused(known::not_confirmed(error)));
            }
            Err(_) => return Err(NotBound::Stale),
        };
        let Some(confirmed) = confirmed else {
            inner.known.forget(key);
            return Err(NotBound::Refused(gone(wanted, key)));
        };
        let record = confirmed
            .into_record(|schema, epoch, mark| self.binding(wanted, schema, epoch, mark))
            .map_err(NotBound::Refused)?;
        if let Wanted::Tenant(_) = wanted {
            let layout = &inner.layout;
            match key {
                Key::Schema(_) => layout.has_no_role(&record.schema),
                Key::Registered(_) => layout.tenant_schema(&record.schema),
            }
            .map_err(NotBound::Refused)?;
        }
        Ok(inner.known.keep(key.clone(), record, read_at))
    }

    /// What else is on the path.
    fn rest(&self, wanted: &Wanted<'_>) -> impl Iterator<Item = &SchemaName> {
        let layout = &self.0.layout;
        let shared = match (wanted, self.0.path_mode) {
            (Wanted::Shared, _) | (_, PathMode::TenantOnly) => None,
            (_, PathMode::TenantThenShared | PathMode::Transaction) => Some(layout.shared()),
        };
        shared.into_iter().chain(layout.extra())
    }

    fn binding(&self, wanted: &Wanted<'_>, schema: &SchemaName, epoch: i64, mark: Mark) -> Binding {
        let binding = Binding::new(schema, epoch, self.rest(wanted)).only(mark);
        let binding = match wanted {
            Wanted::Tenant(_) => binding.in_use(),
            Wanted::Shared => binding,
        };
        if self.is_stateless() {
            binding.for_transaction(self.rest(wanted))
        } else {
            binding
        }
    }

    /// Starts the listener, once, unless the pool is to have none.
    pub(super) fn start_listening(&self) {
        let Some(url) = lock(&self.0.listen_at).take() else {
            return;
        };
        let (end, ended) = std::sync::mpsc::channel();
        lock(&self.0.ends).push(end);
        let pool = Arc::downgrade(&self.0);
        super::spawn("boardinghouse-listener", move || {
            listener::run(pool, url, ended)
        });
    }

    fn explain(&self, refused: Refused) -> Error {
        let state = self.state();
        let within = self.0.checkout_timeout;
        if state.connections == 0 {
            let error = Error::new(
                ErrorKind::ConnectionFailed,
                format!("no connection to PostgreSQL could be opened within {within:?}"),
            );
            return match refused {
                // The source has the text of the last failure.
                Refused::NotOpened(source) => error.with_source(source),
                Refused::NoTurn => error,
            };
        }
        Error::new(
            ErrorKind::PoolTimeout,
            format!(
                "no connection became free within {within:?}: {} of at most {} are open, all in use; \
                 raise max_size, or return connections sooner",
                state.connections,
                self.max_size(),
            ),
        )
    }
}

/// Why a session could not be bound.
enum NotBound {
    Session(BindError, Binding),
    /// The session was dead, or not idle.
    Stale,
    Refused(Error),
}

/// The error for what the server does not have.
fn gone(wanted: &Wanted<'_>, key: &Key) -> Error {
    match (wanted, key) {
        (Wanted::Tenant(tenant), Key::Registered(_)) => Error::new(
            ErrorKind::TenantNotFound,
            format!(
                "tenant {} was deleted since it was read from the registry; if there is one of that id \
                 now, it is another",
                tenant.id()
            ),
        ),
        (Wanted::Tenant(tenant), Key::Schema(_)) => known::missing(tenant.schema()),
        (Wanted::Shared, _) => Error::new(
            ErrorKind::SchemaUnavailable,
            "the shared schema is missing: see Layout::with_shared",
        ),
    }
}
