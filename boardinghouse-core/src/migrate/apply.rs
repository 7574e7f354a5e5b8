//! One run over the fleet: locks, transactions, bookkeeping.

use std::{
    collections::{HashMap, HashSet},
    time::{Duration, Instant},
};

use diesel::{
    connection::{AnsiTransactionManager, SimpleConnection, TransactionManager},
    migration::Migration,
    pg::Pg,
    prelude::*,
    sql_types,
};

use super::{
    Migrator, Sources,
    plan::{SetName, Target},
    report::{MigrationReport, Outcome, ReportEntry},
    version,
};
use crate::{
    error::{Error, ErrorKind, Result},
    layout::Layout,
    lock,
    names::SchemaName,
    provision::schema_exists,
    registry,
    session::{Binding, Session},
    sql,
    template::Template,
    tenant::{Tenant, TenantStatus},
};

/// How many schemas one query asks for their migrations.
const HISTORIES_A_QUERY: usize = 200;

/// One run. It holds the migrator's lock until it is dropped.
pub(super) struct Run<'a> {
    migrator: &'a Migrator,
    sources: Sources,
    progress: &'a mut dyn FnMut(&ReportEntry),
    /// Holds the locks. No migration runs here: one could release them, and cleaning a session does.
    guard: Session,
    /// Does the work. Cleaned after each migration, and replaced when it cannot be.
    worker: Option<Session>,
    entries: Vec<ReportEntry>,
    warnings: Vec<String>,
}

impl<'a> Run<'a> {
    pub(super) fn start(
        migrator: &'a Migrator,
        sources: Sources,
        progress: &'a mut dyn FnMut(&ReportEntry),
    ) -> Result<Self> {
        migrator.pool.require_sessions()?;
        let mut guard = Session::connect(migrator.pool.url(), migrator.pool.layout())?;
        lock::migrator_for_session(&mut guard.pg, migrator.lock_wait)?;
        Ok(Self {
            migrator,
            sources,
            progress,
            guard,
            worker: None,
            entries: Vec::new(),
            warnings: Vec::new(),
        })
    }

    pub(super) fn into_report(self) -> MigrationReport {
        MigrationReport {
            entries: self.entries,
            warnings: self.warnings,
        }
    }

    /// Warns when the template, which has just been migrated, cannot be cloned any more. The next
    /// sign-up would be the first to tell.
    pub(super) fn look_at_template(&mut self) {
        if self
            .entries
            .last()
            .is_none_or(|entry| entry.applied.is_empty())
        {
            return;
        }
        let template = Template::new(self.migrator.pool.layout().template().clone());
        if let Err(error) = template.compile(&mut self.guard.pg) {
            let warning = format!("no tenant can be created any more: {}", error.chain());
            tracing::warn!("{warning}");
            self.warnings.push(warning);
        }
    }

    /// Creates the registry's schema, the shared one and the template, where they are missing.
    pub(super) fn create_own_schemas(&mut self) -> Result<()> {
        let layout = self.migrator.pool.layout();
        let registry = SchemaName::known(Layout::REGISTRY);
        for schema in [&registry, layout.shared(), layout.template()] {
            if !schema_exists(&mut self.guard.pg, schema)? {
                self.guard
                    .pg
                    .batch_execute(&sql::create_schema_if_missing(schema))
                    .map_err(|error| Error::database(&format!("create schema {schema}"), error))?;
            }
        }
        Ok(())
    }

    /// Migrates one schema; says whether it is at the newest version.
    pub(super) fn visit(&mut self, target: Target) -> bool {
        let started = Instant::now();
        let mut applied = Vec::new();
        let span = tracing::info_span!("migrate", target = %target);
        let entered = span.enter();
        let outcome = match self.migrate_locked(&target, &mut applied) {
            Ok(()) => Outcome::Done,
            Err(error) => Outcome::Failed(match target.tenant_id() {
                Some(id) => error.with_tenant(id),
                None => error,
            }),
        };
        drop(entered);
        let done = matches!(outcome, Outcome::Done);
        self.report(ReportEntry {
            target,
            applied,
            outcome,
            elapsed: started.elapsed(),
        });
        done
    }

    /// Migrates tenants one after the other. One that fails does not keep the others back.
    pub(super) fn visit_tenants(&mut self, tenants: &[Tenant]) {
        for tenant in tenants {
            let target = Target::tenant(tenant);
            // A row that somebody wrote by hand.
            if let Err(error) = self.migrator.pool.layout().tenant_schema(tenant.schema()) {
                self.report(ReportEntry {
                    target,
                    applied: Vec::new(),
                    outcome: Outcome::Failed(error.with_tenant(tenant.id())),
                    elapsed: Duration::ZERO,
                });
                continue;
            }
            match tenant.status() {
                TenantStatus::Ready | TenantStatus::Suspended => {
                    self.visit(target);
                }
                status => {
                    let reason = format!("the tenant is {status}");
                    self.skip(target, reason);
                }
            }
        }
    }

    /// Notes schemas that are not visited.
    pub(super) fn skip(&mut self, target: Target, reason: String) {
        self.report(ReportEntry {
            target,
            applied: Vec::new(),
            outcome: Outcome::Skipped(reason),
            elapsed: Duration::ZERO,
        });
    }

    fn report(&mut self, entry: ReportEntry) {
        (self.progress)(&entry);
        self.entries.push(entry);
    }

    fn migrate_locked(&mut self, target: &Target, applied: &mut Vec<String>) -> Result<()> {
        let schema = target.schema();
        lock::schema_for_session(&mut self.guard.pg, &schema, self.migrator.lock_wait)?;
        let migrated = self.migrate(target, applied);
        lock::release_schema(&mut self.guard.pg, &schema).and(migrated)
    }

    /// A clean session, bound. One that cannot be cleaned is replaced.
    fn bound_worker(&mut self, binding: &Binding) -> Result<&mut Session> {
        let pool = &self.migrator.pool;
        let cleaned = self.worker.take().and_then(|mut worker| {
            let fit = !worker.is_doubtful() || worker.clean();
            fit.then_some(worker)
        });
        let mut worker = match cleaned {
            Some(worker) => worker,
            None => Session::connect(pool.url(), pool.layout())?,
        };
        worker
            .bind(binding)
            .map_err(|error| error.explain(binding))?;
        Ok(self.worker.insert(worker))
    }

    fn migrate(&mut self, target: &Target, applied: &mut Vec<String>) -> Result<()> {
        let migrations = self
            .sources
            .get(&SetName::of(target))
            .cloned()
            .unwrap_or_default();
        let layout = self.migrator.pool.layout();
        let schema = target.schema();
        let binding = Binding::new(&schema, 0, layout.extra());
        let worker = self.bound_worker(&binding)?;
        let known: HashSet<String> = read_histories(&mut worker.pg, std::slice::from_ref(&schema))?
            .remove(&schema)
            .unwrap_or_default()
            .into_iter()
            .collect();
        let mut pending = migrations
            .iter()
            .filter(|m| !known.contains(&version(m.as_ref())))
            .peekable();
        if pending.peek().is_some() && known.is_empty() {
            worker
                .pg
                .batch_execute(&sql::create_history(&schema))
                .map_err(|error| Error::database(&format!("prepare schema {schema}"), error))?;
        }
        for migration in pending {
            let name = migration.name().to_string();
            tracing::info!(migration = name, "apply");
            // The one before may have left anything behind.
            let worker = self.bound_worker(&binding)?;
            apply_one(worker, migration.as_ref(), &binding, target)?;
            applied.push(name);
        }
        Ok(())
    }
}

/// Runs one migration and remembers it: both in one transaction, unless the migration asks for none.
fn apply_one(
    session: &mut Session,
    migration: &dyn Migration<Pg>,
    binding: &Binding,
    target: &Target,
) -> Result<()> {
    let failed = |cause: Box<dyn std::error::Error + Send + Sync>| {
        let message = format!("migration {} failed on {target}", migration.name());
        Error::new(ErrorKind::Migration, message).with_source(cause)
    };
    let around = |error: Error| match error.kind() {
        ErrorKind::Migration | ErrorKind::ConnectionFailed => error,
        _ => failed(error.into()),
    };
    if !migration.metadata().run_in_transaction() {
        migration.run(&mut session.pg).map_err(failed)?;
        // Proves the path again, and that the migration left no transaction open.
        session
            .bind_anew(binding)
            .map_err(|error| around(error.explain(binding)))?;
        return in_transaction(&mut session.pg, |pg| remember(pg, migration, target))
            .map_err(around);
    }
    in_transaction(&mut session.pg, |pg| {
        let transaction = current_transaction(pg)?;
        migration.run(pg).map_err(failed)?;
        if current_transaction(pg)? != transaction {
            return Err(failed(
                "it ended the transaction that it ran in: take COMMIT and ROLLBACK out, or set \
                 `run_in_transaction = false` in its metadata.toml"
                    .into(),
            ));
        }
        // By its full name: the migration may have moved the path, as every output of pg_dump does.
        remember(pg, migration, target)
    })
    .map_err(around)
}

/// As [`Connection::transaction`], but the error of `work` is the one that is reported, even where
/// `work` ended the transaction itself and there is nothing to roll back.
fn in_transaction<T>(
    pg: &mut PgConnection,
    work: impl FnOnce(&mut PgConnection) -> Result<T>,
) -> Result<T> {
    AnsiTransactionManager::begin_transaction(pg)
        .map_err(|error| Error::database("begin a transaction", error))?;
    match work(pg) {
        Ok(value) => {
            AnsiTransactionManager::commit_transaction(pg)
                .map_err(|error| Error::database("commit the migration", error))?;
            Ok(value)
        }
        Err(error) => {
            // If this fails too, the session is found doubtful and is closed.
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

fn remember(pg: &mut PgConnection, migration: &dyn Migration<Pg>, target: &Target) -> Result<()> {
    diesel::sql_query(sql::remember_migration(&target.schema()))
        .bind::<sql_types::Text, _>(version(migration))
        .execute(pg)
        .map_err(|error| Error::database("remember the migration", error))?;
    let advanced = match target {
        Target::Tenant { schema, .. } => registry::advance_epoch(pg, schema),
        // Every tenant reads the shared tables.
        Target::Shared { .. } => registry::advance_all_epochs(pg),
        Target::Registry | Target::Template { .. } => Ok(0),
    };
    advanced
        .map(drop)
        .map_err(|error| Error::database("advance the tenants' epochs", error))
}

#[derive(QueryableByName)]
struct Existence {
    #[diesel(sql_type = sql_types::Text)]
    schema_name: String,
    #[diesel(sql_type = sql_types::Bool)]
    has_history: bool,
}

#[derive(QueryableByName)]
struct HistoryRow {
    #[diesel(sql_type = sql_types::Text)]
    schema_name: String,
    #[diesel(sql_type = sql_types::Text)]
    version: String,
}

/// The versions that schemas have, in order. A schema that does not exist is left out. Nothing is
/// created for it, which Diesel's own harness would do.
pub(super) fn read_histories(
    pg: &mut PgConnection,
    schemas: &[SchemaName],
) -> Result<HashMap<SchemaName, Vec<String>>> {
    let failed = |error| Error::database("read which migrations are applied", error);
    let names: Vec<&str> = schemas.iter().map(SchemaName::as_str).collect();
    let existing: Vec<Existence> = diesel::sql_query(
        "SELECT name AS schema_name, \
         pg_catalog.to_regclass(pg_catalog.quote_ident(name) || '.__diesel_schema_migrations') \
             IS NOT NULL AS has_history \
         FROM pg_catalog.unnest($1) AS name \
         WHERE pg_catalog.to_regnamespace(pg_catalog.quote_ident(name)) IS NOT NULL",
    )
    .bind::<sql_types::Array<sql_types::Text>, _>(names)
    .load(pg)
    .map_err(failed)?;
    let known: HashMap<&str, &SchemaName> = schemas.iter().map(|s| (s.as_str(), s)).collect();
    let mut histories = HashMap::new();
    let mut with_history = Vec::new();
    for row in &existing {
        if let Some(&schema) = known.get(row.schema_name.as_str()) {
            histories.insert(schema.clone(), Vec::new());
            if row.has_history {
                with_history.push(schema);
            }
        }
    }
    for some in with_history.chunks(HISTORIES_A_QUERY) {
        let rows: Vec<HistoryRow> = diesel::sql_query(sql::histories(some.iter().copied()))
            .load(pg)
            .map_err(failed)?;
        for row in rows {
            if let Some(versions) = known
                .get(row.schema_name.as_str())
                .and_then(|schema| histories.get_mut(*schema))
            {
                versions.push(row.version);
            }
        }
    }
    histories
        .values_mut()
        .for_each(|versions| versions.sort_unstable());
    Ok(histories)
}
