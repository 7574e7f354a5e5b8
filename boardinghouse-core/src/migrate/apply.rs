//! Migrates schemas, one at a time or several in one transaction, on a session of its own.

use std::{
    collections::{BTreeSet, HashMap, VecDeque},
    error::Error as StdError,
    sync::Mutex,
    time::{Duration, Instant},
};

use diesel::{
    connection::{AnsiTransactionManager, SimpleConnection, TransactionManager},
    migration::Migration,
    pg::Pg,
    prelude::*,
    result::{DatabaseErrorKind, Error as DieselError},
    sql_types,
};

use super::{
    Hook, Migrator,
    coded::{MigrationContext, TenantMigration},
    diagnose,
    goal::Step,
    ledger::{LockBudget, read_histories},
    plan::Target,
    report::FailedMigration,
    set::{Code, Set, SetName, Sets},
    text::Sharing,
};
use crate::{
    error::{Error, ErrorKind, Result},
    lock,
    names::SchemaName,
    registry,
    session::{Binding, Session},
    sql::{
        self, Claim, Mark,
        fleet::{self, Versions},
    },
};

/// A schema that is to be migrated.
#[derive(Clone, Debug)]
pub(super) struct Visit {
    pub(super) target: Target,
    pub(super) schema: SchemaName,
    /// Of a tenant: by what it is known in the ledger, and the number of its schema.
    pub(super) member: Option<(i64, u32)>,
}

/// How far a visit came.
#[derive(Debug, Default)]
pub(super) struct Progress {
    /// What was done, by name.
    pub(super) done: Vec<String>,
    /// What is left; `None` before that was found out. It is not found out again: some of it may be done.
    pub(super) left: Option<VecDeque<Step>>,
    /// Whether the hook before was run.
    hooked: bool,
}

/// Who keeps others from writing to the schema.
#[derive(Clone, Copy)]
pub(super) enum Holder<'a> {
    /// The run holds the lock in another session.
    Run,
    /// Each transaction takes it. A migration without one has it taken in this session.
    Each(&'a Mutex<Session>),
}

/// Why a schema is not where it should be.
#[derive(Debug)]
pub(super) struct Failure {
    pub(super) error: Error,
    pub(super) details: Option<FailedMigration>,
    pub(super) passing: Passing,
}

/// Whether it may go well the next time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Passing {
    No,
    /// It went well when it was looked into.
    Once,
    /// Somebody held a lock, or the connection was lost.
    Yes,
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        let passing = match error.kind() {
            ErrorKind::ConnectionFailed | ErrorKind::Locked => Passing::Yes,
            _ => Passing::No,
        };
        Self {
            error,
            details: None,
            passing,
        }
    }
}

/// Why a batch was not migrated. Nothing of it was, unless the connection was lost.
#[derive(Debug)]
pub(super) enum BatchFailure {
    /// One of its tenants is at fault, or somebody holds a lock.
    Failed,
    /// Nobody knows whether it was committed.
    Lost,
}

/// Does the work of a run, on one connection.
pub(super) struct Worker<'a> {
    migrator: &'a Migrator,
    sets: &'a Sets,
    /// Cleaned after each migration that can have left something, and replaced when it cannot be.
    session: Option<Session>,
    /// What only the thread that read it can run.
    opaque: HashMap<SetName, Vec<Box<dyn Migration<Pg>>>>,
}

impl<'a> Worker<'a> {
    pub(super) fn new(migrator: &'a Migrator, sets: &'a Sets) -> Self {
        Self {
            migrator,
            sets,
            session: None,
            opaque: HashMap::new(),
        }
    }

    /// Forgets the session, and what it has learned of other schemas. Says whether there was one.
    pub(super) fn forget(&mut self) -> bool {
        self.session.take().is_some()
    }

    /// A clean session. One that cannot be cleaned is replaced.
    pub(super) fn session(&mut self) -> Result<&mut Session> {
        let pool = &self.migrator.pool;
        let cleaned = self.session.take().and_then(|mut session| {
            let fit = !session.is_doubtful() || session.clean();
            fit.then_some(session)
        });
        let session = match cleaned {
            Some(session) => session,
            None => Session::connect(pool.url(), pool.layout())?,
        };
        Ok(self.session.insert(session))
    }

    fn set(&self, visit: &Visit) -> &'a Set {
        let name = SetName::of(&visit.target);
        self.sets.get(&name).expect("all sets were read")
    }

    fn binding(&self, visit: &Visit) -> Binding {
        Binding::new(&visit.schema, 0, self.migrator.pool.layout().extra()).only(mark(visit))
    }

    /// Takes one schema to the goal. How far it came is in `progress`, also where something failed.
    pub(super) fn visit(
        &mut self,
        visit: &Visit,
        holder: Holder<'_>,
        progress: &mut Progress,
    ) -> Result<(), Failure> {
        let set = self.set(visit);
        let mut histories =
            read_histories(&mut self.session()?.pg, std::slice::from_ref(&visit.schema))?;
        let history = histories
            .remove(&visit.schema)
            // One that came in its place is not the one that was meant.
            .filter(|history| visit.member.is_none_or(|(_, oid)| oid == history.oid))
            .ok_or_else(|| unavailable(&visit.schema))?;
        let mut versions: BTreeSet<String> = history.versions?.into_iter().collect();
        let left = match &mut progress.left {
            Some(left) => left,
            none => none.insert(set.steps(&versions)?.into()),
        };
        // Whether the last step was committed before the connection was lost, the schema says.
        while let Some(step) = left.front()
            && step.is_done(set, &versions)
        {
            progress.done.push(step.describe(set));
            left.pop_front();
        }
        if left.is_empty() {
            // The ledger said something else, or nothing.
            return Ok(self.note(visit, &versions)?);
        }
        if !std::mem::replace(&mut progress.hooked, true) {
            self.hook(visit, self.migrator.hooks.before.as_deref())
                .inspect_err(|_| progress.hooked = false)?;
        }
        while let Some(step) = progress
            .left
            .as_ref()
            .and_then(|left| left.front())
            .cloned()
        {
            let name = step.describe(set);
            tracing::info!(migration = name, "apply");
            self.step(visit, set, &step, &mut versions, holder)?;
            progress.done.push(name);
            if let Some(left) = &mut progress.left {
                left.pop_front();
            }
        }
        self.hook(visit, self.migrator.hooks.after.as_deref())
    }

    /// Runs what the application wants to be run around the migrations of a schema.
    pub(super) fn hook(&mut self, visit: &Visit, hook: Option<&Hook>) -> Result<(), Failure> {
        let Some(hook) = hook else { return Ok(()) };
        let binding = self.binding(visit);
        let shared = self.migrator.pool.layout().shared().clone();
        let session = self.session()?;
        session.bind(&binding).map_err(|e| e.explain(&binding))?;
        session.marked = true;
        let at = MigrationContext {
            target: &visit.target,
            schema: &visit.schema,
            shared: &shared,
        };
        in_transaction(&mut session.pg, |pg| hook(pg, &at)).map_err(|error| {
            let message = format!("the hook of {} failed", visit.target);
            Failure::from(Error::new(ErrorKind::Migration, message).with_source(error))
        })
    }

    /// Writes into the ledger what a tenant's schema has.
    fn note(&mut self, visit: &Visit, versions: &BTreeSet<String>) -> Result<()> {
        let Some(member) = visit.member else {
            return Ok(());
        };
        let versions: Vec<String> = versions.iter().cloned().collect();
        let text = fleet::note_in_ledger(&[member], &versions, false);
        self.session()?
            .pg
            .batch_execute(&text)
            .map_err(|error| Error::database("write the ledger", error))
    }

    /// Does one step and remembers it: both in one transaction, unless the migration asks for none.
    fn step(
        &mut self,
        visit: &Visit,
        set: &'a Set,
        step: &Step,
        versions: &mut BTreeSet<String>,
        holder: Holder<'_>,
    ) -> Result<(), Failure> {
        let first = versions.is_empty();
        let mut after = versions.clone();
        step.note(set, &mut after);
        let notes = self.notes(visit, versions, &after, step.entry(set).is_some());
        let entry = step.entry(set);
        let begun = Instant::now();
        let done = match entry.filter(|entry| !entry.in_transaction) {
            Some(_) => self.without_transaction(visit, set, step, first, &notes, holder),
            None => self.with_transaction(visit, set, step, first, &notes, holder),
        };
        let waited = begun.elapsed() >= self.migrator.lock_timeout;
        done.map_err(|error| self.explain(visit, set, step, error, waited))?;
        *versions = after;
        Ok(())
    }

    /// What is written when a step is done.
    fn notes(
        &self,
        visit: &Visit,
        before: &BTreeSet<String>,
        after: &BTreeSet<String>,
        changed: bool,
    ) -> String {
        let all = |from: &BTreeSet<String>, without: &BTreeSet<String>| -> Vec<String> {
            from.difference(without).cloned().collect()
        };
        let versions = Versions {
            forgotten: &all(before, after),
            remembered: &all(after, before),
        };
        // By its full name: the migration may have moved the path, as every output of pg_dump does.
        let mut text = fleet::note_versions(&visit.schema, versions, None);
        if let Some(member) = visit.member {
            let after: Vec<String> = after.iter().cloned().collect();
            text += &fleet::note_in_ledger(&[member], &after, changed);
        }
        text
    }

    /// What a step runs. What only this thread can run is read now.
    fn runs(&mut self, visit: &Visit, set: &'a Set, step: &Step) -> Result<Runs<'_>> {
        let (entry, up) = match step {
            Step::Apply(at) => (&set.entries[*at], true),
            Step::TakeBack(at) => (&set.entries[*at], false),
            Step::Mark(_) | Step::Forget(_) => return Ok(Runs::Nothing),
        };
        Ok(match &entry.code {
            Code::Text { .. } => step
                .script(set)
                .map_or(Runs::Nothing, |script| Runs::Text(&script.text)),
            Code::Coded(migration) => match &visit.target {
                Target::Template { .. } if migration.skips_template() => Runs::Nothing,
                _ => Runs::Coded(migration.as_ref(), up),
            },
            Code::Opaque => {
                let name = SetName::of(&visit.target);
                if !self.opaque.contains_key(&name) {
                    let source = self.migrator.source(name).expect("it was read before");
                    self.opaque.insert(name, source.migrations(name)?);
                }
                let migration = self.opaque[&name]
                    .iter()
                    .find(|m| m.name().version().to_string() == entry.version)
                    .ok_or_else(|| {
                        let message = format!("migration {} is gone from its source", entry.name);
                        Error::new(ErrorKind::Migration, message)
                    })?;
                Runs::Opaque(migration.as_ref(), up)
            }
        })
    }

    fn with_transaction(
        &mut self,
        visit: &Visit,
        set: &'a Set,
        step: &Step,
        first: bool,
        notes: &str,
        holder: Holder<'_>,
    ) -> Result<()> {
        let wait = self.migrator.lock_timeout;
        let layout = self.migrator.pool.layout();
        let arrive =
            fleet::limit_waiting(wait) + fleet::HEAR + &fleet::visit(claim(visit), layout.extra());
        let binding = self.binding(visit);
        self.session()?;
        let mut session = self.session.take().expect("it was just made ready");
        session.lend();
        let result = self.runs(visit, set, step).and_then(|runs| {
            if runs.is_code() {
                // What it prepares, and the types that it meets, are this schema's.
                session.bind(&binding).map_err(|e| e.explain(&binding))?;
                session.marked = true;
            }
            in_transaction(&mut session.pg, |pg| {
                if let Holder::Each(_) = holder {
                    lock::schema_for_transaction(pg, &visit.schema, wait)?;
                }
                let transaction = current_transaction(pg)?;
                // What was done to the schema before we got its lock is heard of here.
                pg.batch_execute(&arrive).map_err(|error| {
                    if sql::is_proof(&error) {
                        unavailable(&visit.schema)
                    } else {
                        Error::database(&format!("go to schema {}", visit.schema), error)
                    }
                })?;
                if first {
                    pg.batch_execute(&sql::create_history(&visit.schema))
                        .map_err(|error| {
                            Error::database(&format!("prepare schema {}", visit.schema), error)
                        })?;
                }
                runs.run(pg, visit, layout.shared())?;
                if current_transaction(pg)? != transaction {
                    return Err(Error::new(
                        ErrorKind::Migration,
                        "it ended the transaction that it ran in: take COMMIT and ROLLBACK out, or \
                         set `run_in_transaction = false` in its metadata.toml",
                    ));
                }
                if !matches!(runs, Runs::Nothing) {
                    pg.batch_execute(fleet::FIRE).map_err(ran)?;
                }
                remember(pg, &visit.target, notes)
            })
        });
        self.session = Some(session);
        result
    }

    /// Runs a migration outside of any transaction, and remembers it in one of its own.
    fn without_transaction(
        &mut self,
        visit: &Visit,
        set: &'a Set,
        step: &Step,
        first: bool,
        notes: &str,
        holder: Holder<'_>,
    ) -> Result<()> {
        // Not in the session that runs it, which could release the lock; and not waited for in the
        // server: `CREATE INDEX CONCURRENTLY` waits for whoever has a snapshot.
        let _held = match holder {
            Holder::Run => None,
            Holder::Each(guard) => Some(Held::take(
                guard,
                &visit.schema,
                self.migrator.lock_timeout,
            )?),
        };
        let binding = self.binding(visit);
        let shared = self.migrator.pool.layout().shared().clone();
        self.session()?;
        let mut session = self.session.take().expect("it was just made ready");
        let result = self.runs(visit, set, step).and_then(|runs| {
            session.bind(&binding).map_err(|e| e.explain(&binding))?;
            session.marked |= runs.is_code();
            if first {
                session
                    .pg
                    .batch_execute(&sql::create_history(&visit.schema))
                    .map_err(|error| {
                        Error::database(&format!("prepare schema {}", visit.schema), error)
                    })?;
            }
            runs.run(&mut session.pg, visit, &shared)?;
            // It is remembered by who we are, whatever it has set.
            session.pg.batch_execute(fleet::UNSET).map_err(ran)?;
            // Proves the path again, and that the migration left no transaction open.
            session
                .bind_anew(&binding)
                .map_err(|error| error.explain(&binding))?;
            in_transaction(&mut session.pg, |pg| remember(pg, &visit.target, notes))
        });
        self.session = Some(session);
        result
    }

    /// Puts the migration and the schema into an error, and finds out more about it.
    fn explain(
        &mut self,
        visit: &Visit,
        set: &Set,
        step: &Step,
        error: Error,
        waited: bool,
    ) -> Failure {
        let name = step.describe(set);
        let mut details = FailedMigration {
            migration: step
                .entry(set)
                .map_or_else(|| name.clone(), |entry| entry.name.clone()),
            sqlstate: None,
            statement: None,
        };
        if let ErrorKind::Locked | ErrorKind::ConnectionFailed | ErrorKind::SchemaUnavailable =
            error.kind()
        {
            return error.into();
        }
        let mut passing = Passing::No;
        if let Some(failed) = diesel_error(&error) {
            let known = known_sqlstate(failed);
            let in_transaction = step.entry(set).is_some_and(|entry| entry.in_transaction);
            let script = step.script(set).filter(|_| in_transaction);
            let found = script.and_then(|script| {
                let extra = self.migrator.pool.layout().extra();
                let wait = self.migrator.lock_timeout;
                let session = self.session().ok()?;
                session.lend();
                diagnose::run(&mut session.pg, &visit.schema, extra, &script.text, wait)
            });
            match found {
                // Something is in the way, or was: it went well this time.
                Some(diagnose::Found::Failed(found)) if is_passing(&found.sqlstate) => {
                    passing = Passing::Yes;
                    details.sqlstate = Some(found.sqlstate);
                    details.statement = found.statement;
                }
                Some(diagnose::Found::Nothing) if known.is_none() => passing = Passing::Once,
                // It waited as long as it may, as far as can be told.
                None if known.is_none() && in_transaction && waited => passing = Passing::Yes,
                Some(diagnose::Found::Failed(found))
                    if known.is_none_or(|known| known == found.sqlstate) =>
                {
                    details.sqlstate = Some(found.sqlstate);
                    details.statement = found.statement;
                }
                _ => {}
            }
            details.sqlstate = details.sqlstate.or_else(|| known.map(str::to_owned));
            if details.sqlstate.as_deref().is_some_and(is_passing) {
                passing = Passing::Yes;
            }
        }
        let message = match step {
            Step::TakeBack(at) => {
                format!(
                    "taking migration {} back failed on {}",
                    set.entries[*at].name, visit.target
                )
            }
            _ => format!("migration {name} failed on {}", visit.target),
        };
        Failure {
            error: Error::new(ErrorKind::Migration, message).with_source(error),
            details: Some(details),
            passing,
        }
    }

    /// Migrates several tenants that have the same migrations, and need the same steps, in one transaction
    /// and one message. All of it is done, or nothing.
    pub(super) fn batch(&mut self, batch: &Batch<'_>) -> Result<(), BatchFailure> {
        let message = batch.message(self.migrator);
        let Ok(session) = self.session() else {
            return Err(BatchFailure::Failed);
        };
        let sent = session.run_transaction(&message);
        if batch.soils {
            session.lend();
        }
        sent.map_err(|error| match error {
            DieselError::DatabaseError(
                DatabaseErrorKind::ClosedConnection | DatabaseErrorKind::UnableToSendCommand,
                _,
            ) => {
                self.session = None;
                BatchFailure::Lost
            }
            error => {
                tracing::debug!(error = error.to_string(), "a batch failed");
                BatchFailure::Failed
            }
        })
    }

    /// As [`batch`](Self::batch), but says how many locks it took, for each tenant.
    pub(super) fn measured_batch(&mut self, batch: &Batch<'_>) -> Result<i64, BatchFailure> {
        let message = batch.message_up_to_commit(self.migrator);
        let Ok(session) = self.session() else {
            return Err(BatchFailure::Failed);
        };
        session.lend();
        let measured = in_transaction_by(&mut session.pg, &message, |pg| {
            Ok(LockBudget::read(pg)?.held)
        });
        measured.map_err(|error| match error.kind() {
            ErrorKind::ConnectionFailed => {
                self.session = None;
                BatchFailure::Lost
            }
            _ => BatchFailure::Failed,
        })
    }
}

/// Several tenants that need the same steps.
pub(super) struct Batch<'a> {
    set: &'a Set,
    steps: &'a [Step],
    visits: Vec<&'a Visit>,
    /// How many migrations each has.
    count: usize,
    /// What each will have.
    after: Vec<String>,
    versions: (Vec<String>, Vec<String>),
    soils: bool,
}

impl<'a> Batch<'a> {
    pub(super) fn new(
        set: &'a Set,
        steps: &'a [Step],
        before: &BTreeSet<String>,
        visits: Vec<&'a Visit>,
    ) -> Self {
        let mut after = before.clone();
        let (mut forgotten, mut remembered) = (BTreeSet::new(), BTreeSet::new());
        for step in steps {
            let was = after.clone();
            step.note(set, &mut after);
            forgotten.extend(
                was.difference(&after)
                    .filter(|v| before.contains(*v))
                    .cloned(),
            );
            remembered.extend(after.difference(&was).cloned());
        }
        remembered.retain(|version| after.contains(version));
        let soils = steps
            .iter()
            .filter_map(|step| step.script(set))
            .any(|script| script.sharing != Sharing::Freely);
        Self {
            set,
            steps,
            visits,
            count: before.len(),
            after: after.into_iter().collect(),
            versions: (
                forgotten.into_iter().collect(),
                remembered.into_iter().collect(),
            ),
            soils,
        }
    }

    fn message(&self, migrator: &Migrator) -> String {
        self.message_up_to_commit(migrator) + "COMMIT"
    }

    /// Everything but the end of the transaction.
    pub(super) fn message_up_to_commit(&self, migrator: &Migrator) -> String {
        let wait = migrator.batch_lock_timeout();
        let schemas = self.visits.iter().map(|visit| &visit.schema);
        fleet::begin_visits(schemas, wait) + &self.body(migrator)
    }

    /// What is done in each schema, and what is written in the registry.
    pub(super) fn body(&self, migrator: &Migrator) -> String {
        let wait = migrator.batch_lock_timeout();
        let extra = migrator.pool.layout().extra();
        let mut text = String::new();
        let versions = Versions {
            forgotten: &self.versions.0,
            remembered: &self.versions.1,
        };
        let mut changed = false;
        // What only defines is undone if the proof at the end fails. Other text is not let loose before.
        let proof = match self.soils {
            true => String::new(),
            false => fleet::prove(self.visits.iter().filter_map(|visit| {
                let (_, oid) = visit.member?;
                Some((&visit.schema, oid))
            })),
        };
        text += &proof;
        for visit in &self.visits {
            if self.soils {
                text += &fleet::reset_between_visits(wait);
            }
            text += &match visit.member.is_none() || self.soils {
                true => fleet::visit(claim(visit), extra),
                false => fleet::go(&visit.schema, extra),
            };
            if self.count == 0 {
                text += &sql::create_history(&visit.schema);
                text += ";";
            }
            for step in self.steps {
                changed |= step.entry(self.set).is_some();
                if let Some(script) = step.script(self.set) {
                    text += &script.text;
                    // It may end with a comment, or without a semicolon.
                    text += "\n;";
                }
            }
            if self.soils {
                text += fleet::FIRE;
            }
            // What is there already cannot be written again; what is not, could be taken back twice.
            let count = (!versions.forgotten.is_empty()).then_some(self.count);
            text += &fleet::note_versions(&visit.schema, versions, count);
        }
        text += &proof;
        text += &fleet::same_transaction();
        let members: Vec<(i64, u32)> = self.visits.iter().filter_map(|v| v.member).collect();
        if !members.is_empty() {
            text += &fleet::note_in_ledger(&members, &self.after, changed);
        }
        text
    }
}

/// What a step runs.
enum Runs<'a> {
    Nothing,
    Text(&'a str),
    Coded(&'a dyn TenantMigration, bool),
    Opaque(&'a dyn Migration<Pg>, bool),
}

impl Runs<'_> {
    fn is_code(&self) -> bool {
        matches!(self, Self::Coded(..) | Self::Opaque(..))
    }

    fn run(&self, pg: &mut PgConnection, visit: &Visit, shared: &SchemaName) -> Result<()> {
        let at = MigrationContext {
            target: &visit.target,
            schema: &visit.schema,
            shared,
        };
        match self {
            Self::Nothing => Ok(()),
            Self::Text(text) => pg.batch_execute(text).map_err(ran),
            Self::Coded(migration, true) => migration.run(pg, &at),
            Self::Coded(migration, false) => migration.revert(pg, &at),
            Self::Opaque(migration, up) => {
                let done = if *up {
                    migration.run(pg)
                } else {
                    migration.revert(pg)
                };
                done.map_err(|error| {
                    Error::new(ErrorKind::Migration, "it failed").with_source(error)
                })
            }
        }
    }
}

fn ran(error: DieselError) -> Error {
    let error = Error::database("run it", error);
    match error.kind() {
        ErrorKind::ConnectionFailed => error,
        // It is told which migration, and where.
        _ => error.reworded("the server refused it"),
    }
}

/// A schema's lock, held in the run's own session.
struct Held<'a> {
    guard: &'a Mutex<Session>,
    schema: &'a SchemaName,
}

impl<'a> Held<'a> {
    fn take(guard: &'a Mutex<Session>, schema: &'a SchemaName, wait: Duration) -> Result<Self> {
        lock::poll_schema_for_session(|| lock_session(guard), schema, wait)?;
        Ok(Self { guard, schema })
    }
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        // A lost connection has released it.
        let _ = lock::release_schema(&mut lock_session(self.guard).pg, self.schema);
    }
}

fn lock_session(guard: &Mutex<Session>) -> std::sync::MutexGuard<'_, Session> {
    guard
        .lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner)
}

fn mark(visit: &Visit) -> Mark {
    Mark {
        schema: visit.member.map(|(_, oid)| oid),
        table: None,
    }
}

fn claim(visit: &Visit) -> Claim<'_> {
    Claim {
        schema: &visit.schema,
        mark: mark(visit),
        in_use: false,
    }
}

fn unavailable(schema: &SchemaName) -> Error {
    Error::new(
        ErrorKind::SchemaUnavailable,
        format!(
            "schema {schema} is missing, was renamed or replaced meanwhile, or this role has no USAGE \
             privilege on it"
        ),
    )
}

/// Writes what was done, and makes what was prepared obsolete.
fn remember(pg: &mut PgConnection, target: &Target, notes: &str) -> Result<()> {
    pg.batch_execute(&(fleet::UNSET.to_owned() + notes))
        .map_err(|error| Error::database("remember the migration", error))?;
    // Every tenant reads the shared tables.
    if let Target::Shared { .. } = target {
        registry::advance_all_epochs(pg)
            .map_err(|error| Error::database("advance the tenants' epochs", error))?;
    }
    Ok(())
}

/// As [`Connection::transaction`], but the error of `work` is the one that is reported, even where
/// `work` ended the transaction itself and there is nothing to roll back.
pub(super) fn in_transaction<T>(
    pg: &mut PgConnection,
    work: impl FnOnce(&mut PgConnection) -> Result<T>,
) -> Result<T> {
    // Each statement sees what was committed before it got its locks, whatever the default is.
    in_transaction_by(pg, "BEGIN ISOLATION LEVEL READ COMMITTED", work)
}

/// As [`in_transaction`]; the message begins the transaction, and may do more in it.
pub(super) fn in_transaction_by<T>(
    pg: &mut PgConnection,
    message: &str,
    work: impl FnOnce(&mut PgConnection) -> Result<T>,
) -> Result<T> {
    if let Err(error) = AnsiTransactionManager::begin_transaction_sql(pg, message) {
        // The message may have begun it before it failed. If this fails too, the session is found
        // doubtful and is closed.
        let _ = pg.batch_execute("ROLLBACK");
        return Err(Error::database("begin a transaction", error));
    }
    match work(pg) {
        Ok(value) => {
            AnsiTransactionManager::commit_transaction(pg)
                .map_err(|error| Error::database("commit the migration", error))?;
            Ok(value)
        }
        Err(error) => {
            let _ = AnsiTransactionManager::rollback_transaction(pg);
            Err(error)
        }
    }
}

fn current_transaction(pg: &mut PgConnection) -> Result<i64> {
    diesel::select(diesel::dsl::sql::<sql_types::BigInt>(
        "pg_catalog.txid_current()",
    ))
    .get_result(pg)
    .map_err(|error| Error::database("look at the transaction", error))
}

/// What the server said, however deep it is wrapped.
fn diesel_error(error: &Error) -> Option<&DieselError> {
    let mut cause: Option<&(dyn StdError + 'static)> = Some(error);
    while let Some(error) = cause {
        if let Some(found) = error.downcast_ref::<DieselError>() {
            return Some(found);
        }
        cause = error.source();
    }
    None
}

/// The SQLSTATE of the kinds of errors that Diesel tells apart (PostgreSQL manual, appendix A "PostgreSQL
/// Error Codes").
fn known_sqlstate(error: &DieselError) -> Option<&'static str> {
    let DieselError::DatabaseError(kind, _) = error else {
        return None;
    };
    Some(match kind {
        DatabaseErrorKind::UniqueViolation => "23505",
        DatabaseErrorKind::ForeignKeyViolation => "23503",
        DatabaseErrorKind::NotNullViolation => "23502",
        DatabaseErrorKind::CheckViolation => "23514",
        DatabaseErrorKind::SerializationFailure => "40001",
        DatabaseErrorKind::ReadOnlyTransaction => "25006",
        _ => return None,
    })
}

/// `lock_not_available`, `deadlock_detected`, `serialization_failure`.
fn is_passing(sqlstate: &str) -> bool {
    ["55P03", "40P01", "40001"].contains(&sqlstate)
}
