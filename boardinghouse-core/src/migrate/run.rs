//! One run over the fleet: the order of things, and what keeps others away meanwhile.

use std::{
    collections::{BTreeSet, HashMap, HashSet},
    sync::{Mutex, MutexGuard, atomic::Ordering::Relaxed},
    time::{Duration, Instant},
};

use diesel::connection::SimpleConnection;

use super::{
    Migrator,
    apply::{Holder, Progress, Visit, Worker, lock_session},
    failure::{Failure, Passing},
    filter::TenantFilter,
    goal::Goal,
    ledger::{self, read_histories},
    plan::{Selection, Target},
    report::{LockUse, MigrationReport, Outcome, ReportEntry, RunEvent},
    set::{Set, Sets},
};
use crate::{
    error::{Error, ErrorKind, Result},
    layout::Layout,
    lock,
    names::SchemaName,
    registry::{self, RegistryState},
    session::Session,
    sql,
    template::Template,
};

/// One run. It holds the migrator's lock until it is dropped.
pub(super) struct Run<'a> {
    pub(super) migrator: &'a Migrator,
    pub(super) sets: &'a Sets,
    pub(super) tell: &'a mut dyn FnMut(&RunEvent<'_>),
    /// Holds the locks. No migration runs here: one could release them, and cleaning a session does.
    pub(super) guard: Mutex<Session>,
    /// What the schemas have that do not belong to tenants.
    /// An error matters only where the schema is visited.
    histories: HashMap<SchemaName, Result<BTreeSet<String>, String>>,
    /// Templates of kinds that cannot be cloned yet.
    pub(super) unfinished: HashSet<SchemaName>,
    pub(super) entries: Vec<ReportEntry>,
    pub(super) warnings: Vec<String>,
    pub(super) stopped: Option<String>,
    /// How many tenants have failed.
    pub(super) failures: usize,
    pub(super) locks: Option<LockUse>,
    /// What to ask for to go on, where that is not the same again.
    pub(super) resume: Option<Goal>,
}

impl<'a> Run<'a> {
    /// A session that keeps other migrators away.
    pub(super) fn lock(migrator: &Migrator) -> Result<Session> {
        migrator.pool.require_sessions()?;
        let mut guard = Session::connect(migrator.pool.url(), migrator.pool.layout())?;
        lock::migrator_for_session(&mut guard.pg, migrator.lock_wait, &migrator.stop)?;
        // It may wait for as long as the run takes.
        guard
            .pg
            .batch_execute(sql::fleet::STAY)
            .map_err(|error| Error::database("prepare the run", error))?;
        Ok(guard)
    }

    pub(super) fn start(
        migrator: &'a Migrator,
        sets: &'a Sets,
        guard: Session,
        tell: &'a mut dyn FnMut(&RunEvent<'_>),
    ) -> Self {
        Self {
            migrator,
            sets,
            tell,
            guard: Mutex::new(guard),
            failures: 0,
            resume: None,
            histories: HashMap::new(),
            unfinished: HashSet::new(),
            entries: Vec::new(),
            warnings: Vec::new(),
            stopped: None,
            locks: None,
        }
    }

    pub(super) fn into_report(self) -> MigrationReport {
        MigrationReport {
            entries: self.entries,
            warnings: self.warnings,
            stopped: self.stopped,
            locks: self.locks,
            resume: self.resume,
        }
    }

    pub(super) fn layout(&self) -> &'a Layout {
        self.migrator.pool.layout()
    }

    pub(super) fn guard(&self) -> MutexGuard<'_, Session> {
        lock_session(&self.guard)
    }

    fn set(&self, target: &Target) -> &'a Set {
        &self.sets[&self.migrator.set_of(target)]
    }

    /// Visits what a selection holds.
    pub(super) fn over(&mut self, selection: &Selection) -> Result<()> {
        self.read_own_histories()?;
        match selection {
            Selection::All => {
                self.create_own_schemas()?;
                let filter = self.migrator.everybody();
                if !self.migrator.groups.is_empty() && self.has_current_registry()? {
                    self.migrator.check_groups(&mut self.guard().pg)?;
                }
                if !self.visit_registry() {
                    // Nothing can be known of tenants.
                } else if self.visit_own(self.migrator.shared_target()) {
                    self.visit_statics(selection)?;
                    self.templates_then_tenants(&filter)?;
                } else {
                    let reason = "the shared schema could not be migrated";
                    self.skip_statics(selection, reason)?;
                    self.skip(self.migrator.template_target(), reason.to_owned());
                    self.skip_kinds(reason);
                    self.skip_tenants(&filter, &HashSet::new(), reason);
                }
            }
            Selection::Shared => {
                self.create_own_schemas()?;
                if self.visit_registry() {
                    self.visit_own(self.migrator.shared_target());
                }
            }
            Selection::Static(_) => self.visit_statics(selection)?,
            Selection::Tenants => {
                registry::require(&mut self.guard().pg)?;
                self.migrator.check_groups(&mut self.guard().pg)?;
                self.templates_then_tenants(&self.migrator.everybody())?;
            }
            Selection::Only(_) | Selection::Matching(_) => {
                let filter = selection.filter().unwrap_or_default();
                registry::require(&mut self.guard().pg)?;
                ledger::check_names(&mut self.guard().pg, &filter)?;
                match self.migrator.atomic {
                    true => self.all_or_none(&filter, false)?,
                    false => self.visit_tenants(&filter)?,
                }
            }
        }
        Ok(())
    }

    fn has_current_registry(&self) -> Result<bool> {
        let state = registry::state(&mut self.guard().pg)
            .map_err(|error| Error::database("look for the registry", error))?;
        Ok(state == RegistryState::Current)
    }

    /// Brings the registry alone to the newest version.
    pub(super) fn init(&mut self) -> Result<()> {
        self.read_own_histories()?;
        self.create_own_schemas()?;
        self.visit_registry();
        Ok(())
    }

    fn read_own_histories(&mut self) -> Result<()> {
        let layout = self.layout();
        let own = [
            SchemaName::known(Layout::REGISTRY),
            layout.shared().clone(),
            layout.template().clone(),
        ];
        self.read_own(&own)
    }

    pub(super) fn read_own(&mut self, schemas: &[SchemaName]) -> Result<()> {
        let found = read_histories(&mut self.guard().pg, schemas)?;
        for (schema, history) in found {
            let versions = history
                .versions
                .map(|versions| versions.into_iter().collect());
            self.histories
                .insert(schema, versions.map_err(|error| error.chain()));
        }
        Ok(())
    }

    /// Whether a schema that is no tenant's was there when it was looked for.
    pub(super) fn is_known(&self, schema: &SchemaName) -> bool {
        self.histories.contains_key(schema)
    }

    /// What a schema has that is no tenant's.
    pub(super) fn has(&self, schema: &SchemaName) -> Result<&BTreeSet<String>> {
        let unavailable = |reason| Error::new(ErrorKind::SchemaUnavailable, reason);
        match self.histories.get(schema) {
            Some(Ok(versions)) => Ok(versions),
            Some(Err(reason)) => Err(unavailable(reason.clone())),
            None => Err(unavailable(format!(
                "schema {schema} is missing: run `boardinghouse init`"
            ))),
        }
    }

    /// Creates the registry's schema, the shared one and the template, where they are missing.
    fn create_own_schemas(&mut self) -> Result<()> {
        let layout = self.layout();
        let registry = SchemaName::known(Layout::REGISTRY);
        for schema in [&registry, layout.shared(), layout.template()] {
            self.create_own_schema(schema)?;
        }
        Ok(())
    }

    /// Creates a schema whose history was read, where it is missing.
    pub(super) fn create_own_schema(&mut self, schema: &SchemaName) -> Result<()> {
        self.create_schema_by(schema, &sql::create_schema_if_missing(schema))
            .map(drop)
    }

    /// As [`create_own_schema`](Self::create_own_schema), by these statements. Says whether it was missing.
    pub(super) fn create_schema_by(&mut self, schema: &SchemaName, create: &str) -> Result<bool> {
        if self.histories.contains_key(schema) {
            return Ok(false);
        }
        self.guard()
            .pg
            .batch_execute(create)
            .map_err(|error| Error::database(&format!("create schema {schema}"), error))?;
        self.histories.insert(schema.clone(), Ok(BTreeSet::new()));
        Ok(true)
    }

    /// The registry only ever goes forward.
    fn visit_registry(&mut self) -> bool {
        let done = self.visit_own(Target::Registry);
        if done && self.migrator.goal != Goal::Newest {
            self.entries.retain(|entry| {
                !matches!(entry.target, Target::Registry) || !entry.applied.is_empty()
            });
        }
        done
    }

    /// Migrates a schema that is no tenant's; says whether it is where it should be.
    pub(super) fn visit_own(&mut self, target: Target) -> bool {
        let begun = Instant::now();
        let mut applied = Vec::new();
        let span = tracing::info_span!("migrate", target = %target);
        let result = span.in_scope(|| self.migrate_own(&target, &mut applied));
        let (outcome, failed) = match result {
            Ok(()) => (Outcome::Done, None),
            Err(failure) => (Outcome::Failed(failure.error), failure.details),
        };
        let done = matches!(outcome, Outcome::Done);
        self.report(ReportEntry {
            target,
            applied,
            outcome,
            failed,
            elapsed: begun.elapsed(),
        });
        done
    }

    fn migrate_own(&mut self, target: &Target, applied: &mut Vec<String>) -> Result<(), Failure> {
        let set = self.set(target);
        let schema = target.schema();
        let has = self.has(&schema)?;
        if set.steps(has)?.is_empty() && !self.finishes(&schema) {
            return Ok(());
        }
        let wait = self.migrator.lock_wait;
        lock::schema_for_session(&mut self.guard().pg, &schema, wait, &self.migrator.stop)?;
        let visit = Visit {
            target: target.clone(),
            schema: schema.clone(),
            set: self.migrator.set_of(target),
            member: None,
        };
        let mut worker = Worker::new(self.migrator, self.sets);
        let deadline = Instant::now() + wait.min(lock::LONGEST_WAIT);
        let mut pause = Duration::from_millis(20);
        let mut progress = Progress::default();
        let mut tries = 0;
        let migrated = loop {
            tries += 1;
            match worker.visit(&visit, Holder::Run, &mut progress) {
                Err(failure)
                    if (failure.passing == Passing::Yes
                        || failure.passing == Passing::Once && tries == 1)
                        && failure.error.kind() != ErrorKind::ConnectionFailed
                        && Instant::now() + pause < deadline
                        && !self.migrator.stop.load(Relaxed) =>
                {
                    tracing::debug!(error = failure.error.chain(), "again");
                    std::thread::sleep(pause);
                    pause = (pause * 2).min(Duration::from_secs(1));
                }
                result => break result,
            }
        };
        *applied = progress.done;
        // Under its lock: whoever waits to clone it finds it finished.
        let migrated = migrated.and_then(|()| Ok(self.finish(&schema)?));
        let released = lock::release_schema(&mut self.guard().pg, &schema);
        migrated?;
        Ok(released?)
    }

    /// Warns when a template, which has just been migrated, cannot be cloned any more. The next
    /// sign-up would be the first to tell.
    pub(super) fn look_at_template(&mut self, schema: &SchemaName) {
        if self
            .entries
            .last()
            .is_none_or(|entry| entry.applied.is_empty())
        {
            return;
        }
        let template = Template::new(schema.clone());
        let compiled = template.compile(&mut self.guard().pg);
        if let Err(error) = compiled {
            let whom = match schema == self.layout().template() {
                true => "no tenant".to_owned(),
                false => format!("no tenant of the kind of {schema}"),
            };
            let warning = format!("{whom} can be created any more: {}", error.chain());
            tracing::warn!("{warning}");
            self.warnings.push(warning);
        }
    }

    /// The tenants are listed when the templates are done: whoever was cloned from them before is in the
    /// list, whoever is cloned later is at the newest version.
    fn templates_then_tenants(&mut self, filter: &TenantFilter) -> Result<()> {
        if self.migrator.atomic {
            return self.all_or_none(filter, true);
        }
        let mut migrated = self.visit_own(self.migrator.template_target());
        if migrated {
            self.look_at_template(self.layout().template());
            migrated = self.visit_kinds()? && self.visit_named_templates()?;
        }
        if migrated && !self.interrupted() {
            return self.visit_groups(filter);
        }
        let reason = self
            .stopped
            .clone()
            .unwrap_or_else(|| "a template could not be migrated".into());
        self.skip_tenants(filter, &HashSet::new(), &reason);
        Ok(())
    }

    fn visit_named_templates(&mut self) -> Result<bool> {
        let named = ledger::named_templates(&mut self.guard().pg)?;
        if named.is_empty() {
            return Ok(true);
        }
        self.read_own(&named)?;
        let mut migrated = true;
        for schema in named {
            migrated &= self.visit_own(Target::Template { schema });
        }
        Ok(migrated)
    }

    pub(super) fn interrupted(&mut self) -> bool {
        if self.migrator.stop.load(Relaxed) {
            self.stopped
                .get_or_insert_with(|| "the run was interrupted".into());
        }
        self.stopped.is_some()
    }

    /// Notes schemas that are not visited.
    pub(super) fn skip(&mut self, target: Target, reason: String) {
        self.report(ReportEntry::unvisited(target, Outcome::Skipped(reason)));
    }

    pub(super) fn report(&mut self, entry: ReportEntry) {
        (self.tell)(&RunEvent::Done(&entry));
        self.entries.push(entry);
    }
}
