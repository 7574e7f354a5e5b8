//! Migrates schemas, one at a time, on a session of its own.

use std::{
    collections::{BTreeSet, HashMap, VecDeque},
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use diesel::{
    connection::SimpleConnection, migration::Migration, pg::Pg, prelude::*,
    result::Error as DieselError,
};

use super::{
    Hook, Migrator,
    coded::{MigrationContext, TenantMigration},
    failure::Failure,
    goal::Step,
    ledger::read_histories,
    plan::Target,
    set::{Code, Set, SetName, Sets},
    transaction::{current_transaction, in_transaction},
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
    /// The migrations that it is to have.
    pub(super) set: SetName,
    /// Of a tenant: by what it is known in the ledger, and the number of its schema.
    pub(super) member: Option<(i64, u32)>,
}

impl Visit {
    fn mark(&self) -> Mark {
        Mark {
            schema: self.member.map(|(_, oid)| oid),
            table: None,
        }
    }

    pub(super) fn claim(&self) -> Claim<'_> {
        Claim {
            schema: &self.schema,
            mark: self.mark(),
            in_use: false,
        }
    }
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

/// Does the work of a run, on one connection.
pub(super) struct Worker<'a> {
    pub(super) migrator: &'a Migrator,
    sets: &'a Sets,
    /// Cleaned after each migration that can have left something, and replaced when it cannot be.
    session: Option<Session>,
    /// How many visits the session has seen.
    visits: usize,
    /// What only the thread that read it can run.
    opaque: HashMap<SetName, Vec<Box<dyn Migration<Pg>>>>,
}

impl<'a> Worker<'a> {
    pub(super) fn new(migrator: &'a Migrator, sets: &'a Sets) -> Self {
        Self {
            migrator,
            sets,
            session: None,
            visits: 0,
            opaque: HashMap::new(),
        }
    }

    /// Forgets the session. Says whether it can have learned something of other schemas than the last.
    pub(super) fn forget(&mut self) -> bool {
        self.session = None;
        std::mem::take(&mut self.visits) > 1
    }

    /// A clean session.
    pub(super) fn session(&mut self) -> Result<&mut Session> {
        let session = self.take_session()?;
        Ok(self.session.insert(session))
    }

    /// A clean session. One that cannot be cleaned is replaced.
    fn take_session(&mut self) -> Result<Session> {
        let cleaned = self.session.take().and_then(|mut session| {
            let fit = !session.is_doubtful() || session.clean();
            fit.then_some(session)
        });
        if let Some(session) = cleaned {
            return Ok(session);
        }
        self.visits = 0;
        let pool = &self.migrator.pool;
        Session::connect(pool.url(), pool.layout())
    }

    /// Notes that the session is about to see a schema.
    pub(super) fn count_visit(&mut self) {
        self.visits += 1;
    }

    fn set(&self, visit: &Visit) -> &'a Set {
        self.sets.get(&visit.set).expect("all sets were read")
    }

    fn binding(&self, visit: &Visit) -> Binding {
        Binding::new(&visit.schema, 0, self.migrator.pool.layout().extra()).only(visit.mark())
    }

    /// Takes one schema to the goal. How far it came is in `progress`, also where something failed. What is
    /// written in Rust may panic, and others go on.
    pub(super) fn visit(
        &mut self,
        visit: &Visit,
        holder: Holder<'_>,
        progress: &mut Progress,
    ) -> Result<(), Failure> {
        self.count_visit();
        let visited = AssertUnwindSafe(|| self.go_to(visit, holder, progress));
        catch_unwind(visited).unwrap_or_else(|_| {
            self.forget();
            let message = format!("a migration, or a hook, panicked on {}", visit.target);
            Err(Error::new(ErrorKind::Panicked, message).into())
        })
    }

    fn go_to(
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
        session
            .bind(&binding, Instant::now())
            .map_err(|e| e.explain(&binding))?;
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
        // The migration may have moved the path, as every output of pg_dump does; and triggers may need it.
        let mut text = fleet::go(&visit.schema, self.migrator.pool.layout().extra());
        text += &fleet::note_versions(&visit.schema, versions, None);
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
                let name = &visit.set;
                if !self.opaque.contains_key(name) {
                    let mut migrations = Vec::new();
                    for source in self.migrator.sources(name) {
                        migrations.extend(source.migrations(name)?);
                    }
                    self.opaque.insert(name.clone(), migrations);
                }
                let migration = self.opaque[name]
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
            fleet::limit_waiting(wait) + fleet::HEAR + &fleet::visit(visit.claim(), layout.extra());
        let binding = self.binding(visit);
        let mut session = self.take_session()?;
        session.lend();
        let result = self.runs(visit, set, step).and_then(|runs| {
            if runs.is_code() {
                // What it prepares, and the types that it meets, are this schema's.
                session
                    .bind(&binding, Instant::now())
                    .map_err(|e| e.explain(&binding))?;
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
                    create_history(pg, &visit.schema)?;
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
        let mut session = self.take_session()?;
        let result = self.runs(visit, set, step).and_then(|runs| {
            session
                .bind(&binding, Instant::now())
                .map_err(|e| e.explain(&binding))?;
            session.marked |= runs.is_code();
            if first {
                create_history(&mut session.pg, &visit.schema)?;
            }
            runs.run(&mut session.pg, visit, &shared)?;
            // It is remembered by who we are, whatever it has set.
            session.pg.batch_execute(sql::RESET).map_err(ran)?;
            // Proves the path again, and that the migration left no transaction open.
            session
                .bind_anew(&binding, Instant::now())
                .map_err(|error| error.explain(&binding))?;
            in_transaction(&mut session.pg, |pg| remember(pg, &visit.target, notes))
        });
        self.session = Some(session);
        result
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

/// The session, for a moment.
pub(super) fn lock_session(guard: &Mutex<Session>) -> MutexGuard<'_, Session> {
    guard.lock().unwrap_or_else(PoisonError::into_inner)
}

fn create_history(pg: &mut PgConnection, schema: &SchemaName) -> Result<()> {
    pg.batch_execute(&sql::create_history(schema))
        .map_err(|error| Error::database(&format!("prepare schema {schema}"), error))
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
    pg.batch_execute(&[sql::RESET, ";", notes].concat())
        .map_err(|error| match sql::is_proof(&error) {
            true => Error::new(
                ErrorKind::Migration,
                "the schema's own table __diesel_schema_migrations does not keep what is written into it: \
                 look at its triggers and rules",
            ),
            false => Error::database("remember the migration", error),
        })?;
    // Every tenant reads the shared tables.
    if let Target::Shared { .. } = target {
        registry::advance_all_epochs(pg)
            .map_err(|error| Error::database("advance the tenants' epochs", error))?;
    }
    // It has no row whose trigger would tell of it.
    if let Target::Static { .. } = target {
        pg.batch_execute(fleet::TELL_ALL)
            .map_err(|error| Error::database("tell of the migration", error))?;
    }
    Ok(())
}
