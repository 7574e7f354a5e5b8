//! Sessions: physical connections that are bound to a schema, and cleaned for the next borrower.
//!
//! Everything that isolation rests on is in this file: [`Session::bind`] on the way out,
//! [`Session::clean`] on the way back, and a session that counts as doubtful in between. A doubtful
//! session is closed, never lent again.

mod transaction;

use std::{collections::HashMap, fmt, sync::Arc};

use diesel::{
    connection::{AnsiTransactionManager, CacheSize, SimpleConnection, TransactionManager},
    pg::{PgConnection, PgMetadataCache},
    prelude::*,
    result::{DatabaseErrorKind, Error as DieselError},
    sql_types,
};

use crate::{
    error::{Error, ErrorKind, Result},
    layout::Layout,
    names::SchemaName,
    sql,
    statement::swap_type_cache,
    tenant::Tenant,
};

/// Where a session is to be put: the whole path, and what its statements are tagged with.
#[derive(Clone, Debug)]
pub(crate) struct Binding {
    schema: SchemaName,
    epoch: i64,
    sql: String,
}

impl Binding {
    /// A path of `schema`, then the `rest`, and the proof that it leads where it should.
    pub(crate) fn new<'a>(
        schema: &'a SchemaName,
        epoch: i64,
        rest: impl IntoIterator<Item = &'a SchemaName>,
    ) -> Self {
        Self {
            schema: schema.clone(),
            epoch,
            sql: sql::bind(schema, rest, false),
        }
    }

    /// As [`new`](Self::new); the session also says that it uses the schema, until it is cleaned.
    pub(crate) fn for_use<'a>(
        tenant: &'a Tenant,
        rest: impl IntoIterator<Item = &'a SchemaName>,
    ) -> Self {
        Self {
            schema: tenant.schema().clone(),
            epoch: tenant.epoch(),
            sql: sql::bind(tenant.schema(), rest, true),
        }
    }

    pub(crate) fn schema(&self) -> &SchemaName {
        &self.schema
    }
}

/// Why a bind failed.
#[derive(Debug)]
pub(crate) enum BindError {
    /// The server closed the connection, or the session was inside somebody's transaction: another
    /// connection may do.
    Stale,
    /// The path did not lead to the schema: it is missing, being dropped, or not the role's to use.
    Unavailable,
    /// Anything else.
    Failed(DieselError),
}

impl BindError {
    /// The error for the caller.
    pub(crate) fn explain(self, binding: &Binding) -> Error {
        let schema = &binding.schema;
        match self {
            Self::Stale => Error::new(
                ErrorKind::ConnectionFailed,
                format!(
                    "the connection was lost, or not idle, when it was bound to schema {schema}"
                ),
            ),
            Self::Unavailable => Error::new(
                ErrorKind::SchemaUnavailable,
                format!(
                    "schema {schema} is missing, is being dropped, or this role has no USAGE \
                     privilege on it"
                ),
            ),
            Self::Failed(error) => {
                Error::database(&format!("bind a connection to schema {schema}"), error)
            }
        }
    }
}

/// One physical connection with what we know about it.
pub(crate) struct Session {
    pub(crate) pg: PgConnection,
    /// Set from the start of a bind until a clean has succeeded.
    lent: bool,
    /// Whether the borrower did something that no clean can undo.
    pub(crate) spoiled: bool,
    /// Whether the borrower put instrumentation of its own on the connection.
    pub(crate) instrumented: bool,
    /// Whether the borrower had the bare `PgConnection`, whose statements carry no tag.
    pub(crate) marked: bool,
    /// What each transaction begins with, where nothing is kept between them.
    stateless: Option<String>,
    /// The process on the server.
    pid: i32,
    /// The schemas that are on every path.
    extra: Arc<[SchemaName]>,
    tag: Arc<str>,
    current: Option<(SchemaName, i64)>,
    /// What was learned about custom types while bound to other schemas, with the epoch it is of.
    types: HashMap<SchemaName, (i64, PgMetadataCache)>,
}

impl Session {
    /// Opens a connection, on a path that sees neither a tenant nor the shared schema.
    pub(crate) fn connect(url: &str, layout: &Layout) -> Result<Self> {
        let mut pg = PgConnection::establish(url).map_err(Error::connect)?;
        let started = pg.batch_execute(sql::START).and_then(|()| {
            let pid = diesel::dsl::sql::<sql_types::Integer>("pg_catalog.pg_backend_pid()");
            diesel::select(pid).get_result(&mut pg)
        });
        let pid = started.map_err(|error| Error::database("prepare a new connection", error))?;
        Ok(Self::new(pg, pid, layout))
    }

    fn new(pg: PgConnection, pid: i32, layout: &Layout) -> Self {
        Self {
            pg,
            pid,
            stateless: None,
            extra: layout.extra().into(),
            lent: false,
            spoiled: false,
            instrumented: false,
            marked: false,
            tag: "".into(),
            current: None,
            types: HashMap::new(),
        }
    }

    /// What every statement begins with.
    pub(crate) fn tag(&self) -> Arc<str> {
        Arc::clone(&self.tag)
    }

    /// Whether the session has been bound to `schema` before.
    pub(crate) fn knows(&self, schema: &SchemaName) -> bool {
        self.current
            .as_ref()
            .is_some_and(|(current, _)| current == schema)
            || self.types.contains_key(schema)
    }

    /// Whether the session must be closed rather than lent.
    pub(crate) fn is_doubtful(&self) -> bool {
        self.lent || self.spoiled
    }

    /// How many schemas the session has been bound to.
    pub(crate) fn schemas_seen(&self) -> usize {
        self.types.len() + usize::from(self.current.is_some())
    }

    /// Puts the session on a path and proves that it got there, in one round trip.
    ///
    /// On error the session is doubtful and must be closed.
    pub(crate) fn bind(&mut self, binding: &Binding) -> Result<(), BindError> {
        if let Some(begin) = self.stateless.clone() {
            return self.begin(&begin, binding);
        }
        self.lent = true;
        let target = (binding.schema.clone(), binding.epoch);
        let moves = self.current.as_ref() != Some(&target);
        if moves && self.marked {
            // Statements without a tag were planned for the old tenant.
            self.run_outside_transaction(&format!("{};{}", sql::FORGET_STATEMENTS, binding.sql))?;
            self.pg
                .set_prepared_statement_cache_size(CacheSize::Disabled);
            self.pg
                .set_prepared_statement_cache_size(CacheSize::Unbounded);
            self.marked = false;
        } else {
            self.run_outside_transaction(&binding.sql)?;
        }
        self.now_on(binding);
        Ok(())
    }

    /// Makes what is known of types, and the tag of statements, that of the schema.
    fn now_on(&mut self, binding: &Binding) {
        let target = (binding.schema.clone(), binding.epoch);
        if self.current.as_ref() != Some(&target) {
            self.swap_types(target);
            self.tag = sql::tag(&binding.schema, binding.epoch).into();
        }
    }

    /// Makes the session fit for the next borrower and puts it on the neutral path, in one round
    /// trip. Says whether it can be lent again.
    pub(crate) fn clean(&mut self) -> bool {
        let cleaned = if self.spoiled {
            return false;
        } else if self.is_stateless() {
            // The end of its transaction was the clean.
            return !self.lent;
        } else if self.marked {
            // Who had the bare connection can have put another one in its place.
            let message = sql::prove_backend(self.pid) + sql::CLEAN;
            self.run_outside_transaction(&message)
        } else {
            self.run_outside_transaction(sql::CLEAN)
        };
        cleaned.is_ok() && self.settle()
    }

    /// Removes what the borrower left on our side of a session that is clean on the server's.
    fn settle(&mut self) -> bool {
        // What was already received for the borrower's channels waits inside libpq.
        if self
            .pg
            .notifications_iter()
            .any(|notification| notification.is_err())
        {
            return false;
        }
        if std::mem::take(&mut self.instrumented) || self.marked {
            self.pg
                .set_instrumentation(diesel::connection::get_default_instrumentation());
        }
        self.lent = false;
        true
    }

    /// Leaves the shared schema out of the path until the session is cleaned, so that migrations of
    /// the borrower cannot fall through to it.
    pub(crate) fn narrow_path(&mut self) -> diesel::QueryResult<()> {
        let Some((schema, _)) = &self.current else {
            return Ok(());
        };
        let path = sql::set_path(std::iter::once(schema).chain(&*self.extra));
        self.pg.batch_execute(&path)
    }

    /// Whether no transaction is open, by the server's word.
    pub(crate) fn is_idle(&mut self) -> bool {
        self.run_outside_transaction("SELECT 1").is_ok()
    }

    /// Sends one message and proves that no transaction is open after it.
    ///
    /// A `BEGIN` that somebody sent as text is unknown to Diesel. So the transaction manager is told
    /// that it is broken: only the server's word, in the answer, that the session is idle makes it
    /// whole again.
    fn run_outside_transaction(&mut self, message: &str) -> Result<(), BindError> {
        AnsiTransactionManager::transaction_manager_status_mut(&mut self.pg).set_in_error();
        let sent = self.pg.batch_execute(message);
        let idle = !AnsiTransactionManager::is_broken_transaction_manager(&mut self.pg);
        match sent {
            Ok(()) if idle => Ok(()),
            Ok(()) => Err(BindError::Stale),
            Err(DieselError::DatabaseError(
                DatabaseErrorKind::ClosedConnection | DatabaseErrorKind::UnableToSendCommand,
                _,
            )) => Err(BindError::Stale),
            // The error left a transaction behind, so there was one before.
            Err(_) if !idle => Err(BindError::Stale),
            // Only the proof can violate a check constraint: see `sql::bind`.
            Err(DieselError::DatabaseError(DatabaseErrorKind::CheckViolation, _)) => {
                Err(BindError::Unavailable)
            }
            Err(error) => Err(BindError::Failed(error)),
        }
    }

    fn swap_types(&mut self, (schema, epoch): (SchemaName, i64)) {
        let mut cache = match self.types.remove(&schema) {
            Some((known, cache)) if known == epoch => cache,
            _ => PgMetadataCache::new(),
        };
        swap_type_cache(&mut self.pg, &mut cache);
        if let Some((old, old_epoch)) = self.current.take()
            && old != schema
        {
            self.types.insert(old, (old_epoch, cache));
        }
        self.current = Some((schema, epoch));
    }
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session")
            .field("current", &self.current)
            .field("lent", &self.lent)
            .field("spoiled", &self.spoiled)
            .finish_non_exhaustive()
    }
}
