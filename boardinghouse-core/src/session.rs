//! Sessions: physical connections that are bound to a schema, and fit for the next borrower.
//!
//! Everything that isolation rests on is here: [`Session::bind`] on the way out, [`Session::finish`] on the
//! way back, and a session that counts as doubtful in between. A doubtful
//! session is closed, never lent again.
//!
//! A borrower who ran nothing but plain selects on schemas that hide nothing ([`crate::plain`]) leaves
//! nothing behind. Such a session is *parked*: it stays on its path, with the lock that says that it uses
//! the schema, until its next bind proves the path anew or [`Session::clean`] takes it off. All others are
//! cleaned at once.

mod binding;
mod finish;
mod startup;
mod statements;
mod transaction;

use std::{
    collections::HashMap,
    fmt,
    sync::Arc,
    time::{Duration, Instant},
};

use diesel::{
    connection::{AnsiTransactionManager, CacheSize, SimpleConnection, TransactionManager},
    pg::{Pg, PgConnection, PgMetadataCache},
    prelude::*,
    query_builder::{QueryFragment, QueryId},
};

pub(crate) use binding::{BindError, Binding};
pub(crate) use startup::Refusals;
pub(crate) use statements::Shape;
use statements::{Statements, Tag};

use crate::{
    gauge::Gauge,
    layout::Layout,
    names::SchemaName,
    scan,
    sql::{self, Mark},
    statement::{Tagged, Text, swap_type_cache},
};

/// For how long a session may stay on its tenant after a checkout, and for how long it may go on from one
/// checkout to the next without letting go of the lock. Until then, who wants to drop or rename the schema
/// waits for it.
pub(crate) const PARKED: Duration = Duration::from_millis(200);

/// What a session has learned while it was bound to a schema.
struct Visited {
    epoch: i64,
    tag: Tag,
    /// The ids of custom types. Those of the schema that the session is bound to are inside Diesel.
    types: PgMetadataCache,
    proof: Option<Proof>,
}

impl Visited {
    fn new(binding: &Binding, tags: &mut u32) -> Self {
        *tags += 1;
        let tag = Tag {
            number: *tags,
            text: sql::tag(&binding.schema, binding.epoch).into(),
        };
        Self {
            epoch: binding.epoch,
            tag,
            types: PgMetadataCache::new(),
            proof: None,
        }
    }
}

/// A prepared proof: its number, and what it claims.
struct Proof {
    number: u32,
    mark: Mark,
    in_use: bool,
    /// See [`Claim::still`](sql::Claim::still).
    still: String,
    /// Whether that was asked, and so is prepared, too.
    looked_again: bool,
}

impl Proof {
    fn is_of(&self, binding: &Binding) -> bool {
        (self.mark, self.in_use) == (binding.mark, binding.in_use)
    }
}

/// One physical connection with what we know about it.
pub(crate) struct Session {
    pub(crate) pg: PgConnection,
    /// Set from the start of a bind until the session is fit for the next borrower.
    lent: bool,
    /// Whether the borrower did something that no clean can undo.
    pub(crate) spoiled: bool,
    /// Whether the borrower did something that can have left something in the session.
    dirty: bool,
    /// Whether the borrower ran text that may have defined something that hides behind a name.
    reshaped: bool,
    /// Whether the borrower put instrumentation of its own on the connection.
    pub(crate) instrumented: bool,
    /// Whether the borrower had the bare `PgConnection`, whose statements carry no tag.
    pub(crate) marked: bool,
    /// Whether the session is still on the path of its last borrower, and uses its schema.
    parked: bool,
    /// When the lock that says so was taken.
    in_use_since: Instant,
    /// Whether nothing is hidden behind the names that the path leads to.
    open: bool,
    /// Whether `RESET` leads to the neutral path and to what Diesel has set.
    resets_to_neutral: bool,
    /// What each transaction begins with, where nothing is kept between them.
    stateless: Option<String>,
    /// The process on the server.
    pid: i32,
    opened: Instant,
    /// The schemas that are on every path.
    extra: Arc<[SchemaName]>,
    /// That of the schema that the session is bound to.
    tag: Tag,
    current: Option<SchemaName>,
    visited: HashMap<SchemaName, Visited>,
    proofs: u32,
    tags: u32,
    statements: Statements,
    gauge: Arc<Gauge>,
}

impl Session {
    fn new(pg: PgConnection, pid: i32, layout: &Layout) -> Self {
        Self {
            pg,
            pid,
            resets_to_neutral: false,
            stateless: None,
            extra: layout.extra().into(),
            opened: Instant::now(),
            lent: false,
            spoiled: false,
            dirty: false,
            reshaped: false,
            instrumented: false,
            marked: false,
            parked: false,
            in_use_since: Instant::now(),
            open: false,
            tag: Tag::default(),
            current: None,
            visited: HashMap::new(),
            proofs: 0,
            tags: 0,
            statements: Statements::default(),
            gauge: Arc::default(),
        }
    }

    /// Sets how many statements may be prepared on the server before they are dropped.
    pub(crate) fn limit_statements(mut self, most: usize) -> Self {
        self.statements.most = most;
        self
    }

    /// What the session holds, for others to see.
    pub(crate) fn gauge(&self) -> &Arc<Gauge> {
        &self.gauge
    }

    pub(crate) fn age(&self, now: Instant) -> Duration {
        now.duration_since(self.opened)
    }

    /// Whether the last schema that the session was bound to is `schema`.
    pub(crate) fn was_on(&self, schema: &SchemaName) -> bool {
        self.current.as_ref() == Some(schema)
    }

    /// Whether the session has been bound to `schema` before.
    pub(crate) fn knows(&self, schema: &SchemaName) -> bool {
        self.visited.contains_key(schema)
    }

    /// How many schemas the session has been bound to.
    pub(crate) fn schemas_seen(&self) -> usize {
        self.visited.len()
    }

    /// Whether the session must be closed rather than lent.
    pub(crate) fn is_doubtful(&self) -> bool {
        self.lent || self.spoiled
    }

    /// Notes that whatever runs next may leave anything behind.
    pub(crate) fn lend(&mut self) {
        self.lent = true;
    }

    /// Whether the session still uses the schema of its last borrower.
    pub(crate) fn is_parked(&self) -> bool {
        self.parked
    }

    /// Notes that the borrower did something that can have left something in the session.
    pub(crate) fn soil(&mut self) {
        self.dirty = true;
    }

    /// Notes that the borrower is about to run text.
    pub(crate) fn note_text(&mut self, text: &str) {
        self.dirty = true;
        self.reshaped |= scan::may_define(text);
    }

    /// Notes that the borrower is about to run a statement, and puts the tag on it.
    pub(crate) fn tagged<T: QueryFragment<Pg> + QueryId>(&mut self, query: T) -> Tagged<T> {
        let tag = Arc::clone(&self.tag.text);
        if self.is_stateless() {
            let shape = None;
            return Tagged { tag, shape, query };
        }
        // Diesel asks the statement again, and reports its error; it need not meet the same one.
        let shape = self.statements.shape(&query, &self.tag).ok();
        self.dirty |= shape.as_ref().is_none_or(|shape| !shape.plain);
        self.reshaped |= shape.as_ref().is_none_or(|shape| shape.defines);
        self.gauge.statements(self.statements.prepared());
        Tagged { tag, shape, query }
    }

    /// Whether the borrower ran text that may have defined something; asked once.
    pub(crate) fn was_reshaped(&mut self) -> bool {
        std::mem::take(&mut self.reshaped)
    }

    /// Puts the session on a path and proves that it got there, in one round trip. `now` is read once the
    /// session is taken: from then on it counts for how long the lock is held.
    ///
    /// On error the session is doubtful and must be closed.
    pub(crate) fn bind(&mut self, binding: &Binding, now: Instant) -> Result<(), BindError> {
        if let Some(begin) = self.stateless.clone() {
            return self.begin(&begin, binding);
        }
        self.lent = true;
        let holds_too_many = self.holds_too_many_statements();
        let uses_it =
            std::mem::take(&mut self.parked) && now.duration_since(self.in_use_since) < PARKED;
        let stays = self.was_on(&binding.schema);
        let visited = self
            .visited
            .get_mut(&binding.schema)
            .filter(|visited| stays && visited.epoch == binding.epoch);
        let forget = holds_too_many || (self.marked && visited.is_none());
        if uses_it
            && !forget
            && let Some(proof) = visited.and_then(|visited| visited.proof.as_mut())
            && proof.is_of(binding)
        {
            proof.looked_again = true;
            look_again(&mut self.pg, &proof.still)?;
            self.dirty = false;
            self.open = binding.open;
            return Ok(());
        }
        let mut message = String::with_capacity(256);
        if forget {
            // Statements without a tag were planned for the old tenant; or there are too many.
            message += sql::FORGET_STATEMENTS;
            message += ";";
            self.visited
                .values_mut()
                .for_each(|visited| visited.proof = None);
        }
        message += &binding.sql;
        message += ";";
        self.prove(binding, &mut message);
        self.in_use_since = now;
        if let Err(error) = self.run_outside_transaction(&message) {
            return Err(self.diagnose(error, binding));
        }
        if forget {
            self.pg
                .set_prepared_statement_cache_size(CacheSize::Disabled);
            self.pg
                .set_prepared_statement_cache_size(CacheSize::Unbounded);
            self.marked = false;
            self.statements.forget();
            self.gauge.statements(0);
        }
        self.now_on(binding);
        Ok(())
    }

    /// As [`bind`](Self::bind), where what was prepared on the server may be gone.
    pub(crate) fn bind_anew(&mut self, binding: &Binding, now: Instant) -> Result<(), BindError> {
        self.visited
            .values_mut()
            .for_each(|visited| visited.proof = None);
        self.bind(binding, now)
    }

    /// Proofs that were forgotten with all else do not count, though their schemas are still known: where
    /// they alone are more than the bound, each bind would forget what the one before has prepared.
    fn holds_too_many_statements(&self) -> bool {
        // Counted only where it can matter.
        self.statements.prepared() + 2 * self.visited.len() > self.statements.most && {
            let of_proofs: usize = self
                .visited
                .values()
                .filter_map(|visited| visited.proof.as_ref())
                .map(|proof| 1 + usize::from(proof.looked_again))
                .sum();
            self.statements.prepared() + of_proofs > self.statements.most
        }
    }

    /// Adds the proof of a path to a message that has set it.
    fn prove(&mut self, binding: &Binding, message: &mut String) {
        let visited = visited(&mut self.visited, binding, &mut self.tags);
        let number = match &visited.proof {
            Some(proof) if proof.is_of(binding) => proof.number,
            other => {
                if let Some(old) = other {
                    *message += &sql::forget_proof(old.number);
                    *message += ";";
                }
                self.proofs += 1;
                *message += &binding.claim().prepare_proof(self.proofs);
                *message += ";";
                visited.proof = Some(Proof {
                    number: self.proofs,
                    mark: binding.mark,
                    in_use: binding.in_use,
                    still: binding.claim().still(),
                    looked_again: false,
                });
                self.proofs
            }
        };
        *message += &sql::prove(number);
    }

    /// Tells a path that leads elsewhere from every other failure of a bind. Diesel does not pass on
    /// which error it was, so the question is asked again in a form that it does. Where the answer is
    /// now another, the session is as good as stale.
    fn diagnose(&mut self, error: BindError, binding: &Binding) -> BindError {
        let BindError::Failed(first) = error else {
            return error;
        };
        let message = format!("{};{}", binding.sql, binding.claim().diagnose());
        match self.run_outside_transaction(&message) {
            Err(BindError::Failed(error)) if sql::is_proof(&error) => BindError::Unavailable,
            Err(BindError::Failed(_)) => BindError::Failed(first),
            _ => BindError::Stale,
        }
    }

    /// Makes what is known of types, and the tag of statements, that of the schema.
    fn now_on(&mut self, binding: &Binding) {
        self.dirty = false;
        self.open = binding.open;
        let stays = self.was_on(&binding.schema);
        let visited = visited(&mut self.visited, binding, &mut self.tags);
        let is_known = visited.epoch == binding.epoch;
        if is_known && stays {
            return;
        }
        if !is_known {
            *visited = Visited {
                proof: visited.proof.take(),
                ..Visited::new(binding, &mut self.tags)
            };
        }
        let mut types = std::mem::take(&mut visited.types);
        swap_type_cache(&mut self.pg, &mut types);
        self.tag = visited.tag.clone();
        if stays {
            return;
        }
        if let Some(left) = self.current.replace(binding.schema.clone())
            && let Some(left) = self.visited.get_mut(&left)
        {
            left.types = types;
        }
        self.gauge.tenants(self.visited.len());
    }

    /// Leaves the shared schema out of the path until the session is cleaned, so that migrations of
    /// the borrower cannot fall through to it.
    pub(crate) fn narrow_path(&mut self) -> diesel::QueryResult<()> {
        self.soil();
        let Some(schema) = &self.current else {
            return Ok(());
        };
        let path = sql::set_path(std::iter::once(schema).chain(&*self.extra));
        self.pg.batch_execute(&path)
    }

    /// Sends a message that begins a transaction, and ends it, on a session that is on the neutral path.
    /// After an error nothing of it is left, or the session is doubtful.
    ///
    /// The message must leave nothing behind; [`soil`](Self::soil) where it may.
    pub(crate) fn run_transaction(&mut self, message: &str) -> diesel::QueryResult<()> {
        self.lent = true;
        AnsiTransactionManager::transaction_manager_status_mut(&mut self.pg).set_in_error();
        let sent = self.pg.batch_execute(message);
        let idle = !AnsiTransactionManager::is_broken_transaction_manager(&mut self.pg);
        let ended = idle || self.run_outside_transaction("ROLLBACK").is_ok();
        self.lent = !ended;
        match sent {
            // It did not end what it began.
            Ok(()) if !idle => Err(diesel::result::Error::BrokenTransactionManager),
            sent => sent,
        }
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
        if !idle {
            // Also after an error that left a transaction behind: there was one before.
            return Err(BindError::Stale);
        }
        sent.map_err(BindError::of)
    }
}

/// What a session knows of the schema that a binding is for.
fn visited<'a>(
    all: &'a mut HashMap<SchemaName, Visited>,
    binding: &Binding,
    tags: &mut u32,
) -> &'a mut Visited {
    all.entry(binding.schema.clone())
        .or_insert_with(|| Visited::new(binding, tags))
}

/// Proves that the path still leads to the schema, where the lock was never let go of since that was proven.
/// Nobody can have dropped or renamed it in the meantime but by hand.
fn look_again(pg: &mut PgConnection, still: &str) -> Result<(), BindError> {
    AnsiTransactionManager::transaction_manager_status_mut(pg).set_in_error();
    let found = pg.execute_returning_count(&Text(still));
    if AnsiTransactionManager::is_broken_transaction_manager(pg) {
        return Err(BindError::Stale);
    }
    match found.map_err(BindError::of)? {
        1 => Ok(()),
        _ => Err(BindError::Unavailable),
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
