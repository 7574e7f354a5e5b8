//! One run over the fleet: the order of things, and what keeps others away meanwhile.

use std::{
    collections::{BTreeSet, HashMap, HashSet},
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, Mutex, MutexGuard, PoisonError, atomic::Ordering::Relaxed},
    time::{Duration, Instant},
};

use diesel::connection::SimpleConnection;

use super::{
    Group, Migrator, OnError,
    apply::{Failure, Holder, Passing, Progress, Visit, Worker},
    filter::TenantFilter,
    fleet::{self, Pace},
    goal::Goal,
    ledger::{self, Known, LockBudget, LookedUp, Member, read_histories},
    plan::{Selection, Target},
    queue::{Item, LOOK, Route},
    report::{LockUse, MigrationReport, Outcome, ReportEntry, RunEvent},
    set::{Set, SetName, Sets},
    text::Sharing,
};
use crate::{
    error::{Error, ErrorKind, Result},
    layout::Layout,
    lock,
    names::SchemaName,
    registry,
    session::Session,
    sql,
    template::Template,
    tenant::TenantStatus,
};

/// How often what was created meanwhile is looked for.
const MOST_ROUNDS: usize = 10;

/// One run. It holds the migrator's lock until it is dropped.
pub(super) struct Run<'a> {
    pub(super) migrator: &'a Migrator,
    pub(super) sets: &'a Sets,
    tell: &'a mut dyn FnMut(&RunEvent<'_>),
    /// Holds the locks. No migration runs here: one could release them, and cleaning a session does.
    guard: Mutex<Session>,
    /// What the schemas have that do not belong to tenants.
    histories: HashMap<SchemaName, BTreeSet<String>>,
    unreadable: HashMap<SchemaName, String>,
    entries: Vec<ReportEntry>,
    warnings: Vec<String>,
    stopped: Option<String>,
    /// How many tenants have failed.
    failures: usize,
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
            unreadable: HashMap::new(),
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

    fn layout(&self) -> &'a Layout {
        self.migrator.pool.layout()
    }

    pub(super) fn guard(&self) -> MutexGuard<'_, Session> {
        self.guard.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn set(&self, target: &Target) -> &'a Set {
        &self.sets[&SetName::of(target)]
    }

    /// Visits what a selection holds.
    pub(super) fn over(&mut self, selection: &Selection) -> Result<()> {
        self.read_own_histories()?;
        match selection {
            Selection::All => {
                self.create_own_schemas()?;
                let filter = self.migrator.everybody();
                self.migrator.check_groups(&mut self.guard().pg)?;
                if !self.visit_registry() {
                    // Nothing can be known of tenants.
                } else if self.visit_own(self.migrator.shared_target()) {
                    self.templates_then_tenants(&filter)?;
                } else {
                    let reason = "the shared schema could not be migrated";
                    self.skip(self.migrator.template_target(), reason.to_owned());
                    self.skip_tenants(&filter, &HashSet::new(), reason);
                }
            }
            Selection::Shared => {
                self.create_own_schemas()?;
                if self.visit_registry() {
                    self.visit_own(self.migrator.shared_target());
                }
            }
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
        let found = read_histories(&mut self.guard().pg, &own)?;
        for (schema, history) in found {
            match history.versions {
                Ok(versions) => drop(
                    self.histories
                        .insert(schema, versions.into_iter().collect()),
                ),
                // It matters only where the schema is visited.
                Err(error) => drop(self.unreadable.insert(schema, error.chain())),
            }
        }
        Ok(())
    }

    /// Creates the registry's schema, the shared one and the template, where they are missing.
    fn create_own_schemas(&mut self) -> Result<()> {
        let layout = self.layout();
        let registry = SchemaName::known(Layout::REGISTRY);
        for schema in [&registry, layout.shared(), layout.template()] {
            if !self.histories.contains_key(schema) && !self.unreadable.contains_key(schema) {
                self.guard()
                    .pg
                    .batch_execute(&sql::create_schema_if_missing(schema))
                    .map_err(|error| Error::database(&format!("create schema {schema}"), error))?;
                self.histories.insert(schema.clone(), BTreeSet::new());
            }
        }
        Ok(())
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
        if let Some(reason) = self.unreadable.get(&schema) {
            return Err(Error::new(ErrorKind::SchemaUnavailable, reason.clone()).into());
        }
        let has = self.histories.get(&schema).ok_or_else(|| {
            let message = format!("schema {schema} is missing: run `boardinghouse init`");
            Error::new(ErrorKind::SchemaUnavailable, message)
        })?;
        if set.steps(has)?.is_empty() {
            return Ok(());
        }
        let wait = self.migrator.lock_wait;
        lock::schema_for_session(&mut self.guard().pg, &schema, wait, &self.migrator.stop)?;
        let visit = Visit {
            target: target.clone(),
            schema: schema.clone(),
            member: None,
        };
        let mut worker = Worker::new(self.migrator, self.sets);
        let deadline = Instant::now() + wait.min(lock::LONGEST_WAIT);
        let mut pause = Duration::from_millis(20);
        let mut progress = Progress::default();
        let mut tries = 0;
        let migrated = loop {
            let worked = catch_unwind(AssertUnwindSafe(|| {
                worker.visit(&visit, Holder::Run, &mut progress)
            }));
            let result = worked.unwrap_or_else(|_| {
                let message = format!("a migration, or a hook, panicked on {target}");
                Err(Error::new(ErrorKind::Panicked, message).into())
            });
            tries += 1;
            match result {
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
        let released = lock::release_schema(&mut self.guard().pg, &schema);
        migrated?;
        Ok(released?)
    }

    /// Warns when the template, which has just been migrated, cannot be cloned any more. The next
    /// sign-up would be the first to tell.
    fn look_at_template(&mut self) {
        if self
            .entries
            .last()
            .is_none_or(|entry| entry.applied.is_empty())
        {
            return;
        }
        let template = Template::new(self.layout().template().clone());
        let compiled = template.compile(&mut self.guard().pg);
        if let Err(error) = compiled {
            let warning = format!("no tenant can be created any more: {}", error.chain());
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
            self.look_at_template();
            migrated = self.visit_named_templates()?;
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

    /// Notes all tenants that were not seen.
    fn skip_tenants(&mut self, filter: &TenantFilter, seen: &HashSet<i64>, reason: &str) {
        let current = self.current();
        // The connection may be lost: what was done is told all the same.
        let members = ledger::members(&mut self.guard().pg, filter, &current).unwrap_or_default();
        for member in members.iter().filter(|m| !seen.contains(&m.incarnation)) {
            self.skip(tenant(member), reason.to_owned());
        }
    }

    fn visit_named_templates(&mut self) -> Result<bool> {
        let named = ledger::named_templates(&mut self.guard().pg)?;
        if named.is_empty() {
            return Ok(true);
        }
        let found = read_histories(&mut self.guard().pg, &named)?;
        for (schema, history) in found {
            self.histories
                .insert(schema, history.versions?.into_iter().collect());
        }
        let mut migrated = true;
        for schema in named {
            migrated &= self.visit_own(Target::Template { schema });
        }
        Ok(migrated)
    }

    fn interrupted(&mut self) -> bool {
        if self.migrator.stop.load(Relaxed) {
            self.stopped
                .get_or_insert_with(|| "the run was interrupted".into());
        }
        self.stopped.is_some()
    }

    /// Groups in their order, then whoever is in none.
    fn visit_groups(&mut self, filter: &TenantFilter) -> Result<()> {
        let migrator = self.migrator;
        let mut seen = HashSet::new();
        for group in &migrator.groups {
            if self.interrupted() {
                break;
            }
            self.visit_part(&group.filter, Some(group), &mut seen)?;
            if self.stopped.is_none() && self.is_anything_left(filter, &seen)? {
                self.between_groups(group);
            }
        }
        if self.stopped.is_none() {
            return self.visit_tenants_but(filter, &mut seen);
        }
        let reason = self.stopped.clone().unwrap_or_default();
        self.skip_tenants(filter, &seen, &reason);
        Ok(())
    }

    /// Whether some tenant that was not seen yet has something to be done.
    fn is_anything_left(&mut self, filter: &TenantFilter, seen: &HashSet<i64>) -> Result<bool> {
        let set = &self.sets[&SetName::Tenants];
        let mut unseen = self.members(filter, &mut seen.clone())?;
        unseen.retain(|member| self.readied(member).is_ok());
        let current: BTreeSet<String> = self.current().into_iter().collect();
        Ok(unseen.iter().any(|member| match &member.known {
            Known::Current => set.steps(&current).map_or(true, |steps| !steps.is_empty()),
            Known::Versions(has) => set.steps(has).map_or(true, |steps| !steps.is_empty()),
            Known::Unknown | Known::Unreadable(_) => true,
        }))
    }

    /// Lets a group be used for a while, then asks whether to go on.
    fn between_groups(&mut self, group: &Group) {
        if !group.bake.is_zero() {
            (self.tell)(&RunEvent::Baking {
                group: &group.name,
                wait: group.bake,
            });
            let until = Instant::now() + group.bake.min(lock::LONGEST_WAIT);
            let mut asked = Instant::now();
            while !self.migrator.stop.load(Relaxed) {
                let left = until.saturating_duration_since(Instant::now());
                if left.is_zero() {
                    break;
                }
                std::thread::sleep(left.min(Duration::from_secs(1)).min(LOOK));
                if asked.elapsed() >= Duration::from_secs(1) {
                    asked = Instant::now();
                    if !fleet::is_alive(&self.guard) {
                        self.stopped = Some(fleet::LOST.to_owned());
                        return;
                    }
                }
            }
        }
        if !self.interrupted()
            && let Some(gate) = &group.gate
            && let Err(reason) = gate(&group.name)
        {
            self.stopped = Some(format!("after group {}: {reason}", group.name));
        }
    }

    fn visit_tenants(&mut self, filter: &TenantFilter) -> Result<()> {
        let mut seen = HashSet::new();
        self.visit_part(filter, None, &mut seen).map(drop)
    }

    /// Also those that were created meanwhile, as clones of tenants that had not been migrated.
    fn visit_tenants_but(&mut self, filter: &TenantFilter, seen: &mut HashSet<i64>) -> Result<()> {
        for round in 0..MOST_ROUNDS {
            let visited = self.visit_part(filter, None, seen)?;
            if self.stopped.is_some() || round > 0 && visited == 0 {
                break;
            }
        }
        Ok(())
    }

    /// Visits the tenants that a filter lets through and that were not seen yet. Gives back how many had
    /// something to be done.
    fn visit_part(
        &mut self,
        filter: &TenantFilter,
        group: Option<&Group>,
        seen: &mut HashSet<i64>,
    ) -> Result<usize> {
        let members = self.members(filter, seen)?;
        if let Some(group) = group.filter(|_| members.is_empty()) {
            let all = ledger::members(&mut self.guard().pg, filter, &[])?;
            if all.is_empty() {
                let warning = format!("no tenant is in group {}", group.name);
                self.warnings.push(warning);
            }
        }
        let current: BTreeSet<String> = self.current().into_iter().collect();
        let route_of_current = self.route(Arc::new(current));
        let mut routes: HashMap<Arc<BTreeSet<String>>, Option<Arc<Route>>> = HashMap::new();
        let mut items = Vec::new();
        let mut entries: Vec<Option<ReportEntry>> = Vec::with_capacity(members.len());
        for member in members {
            let visit = match self.readied(&member) {
                Ok(visit) => visit,
                Err(outcome) => {
                    entries.push(Some(ReportEntry::unvisited(tenant(&member), outcome)));
                    continue;
                }
            };
            let (route, alone) = match member.known {
                Known::Current => (route_of_current.clone(), false),
                Known::Versions(versions) => {
                    // Its table of migrations may not be there yet; alone, it is made.
                    let alone = versions.is_empty();
                    let route = match routes.get(&versions) {
                        Some(route) => route.clone(),
                        None => {
                            let route = self.route(Arc::clone(&versions));
                            routes.insert(versions, route.clone());
                            route
                        }
                    };
                    (route, alone)
                }
                Known::Unknown => (None, true),
                Known::Unreadable(reason) => {
                    let error = Error::new(ErrorKind::Database, reason).with_tenant(&member.id);
                    let outcome = Outcome::Failed(error);
                    entries.push(Some(ReportEntry::unvisited(visit.target, outcome)));
                    continue;
                }
            };
            if route.as_ref().is_some_and(|route| route.steps.is_empty()) {
                entries.push(Some(ReportEntry::unvisited(visit.target, Outcome::Done)));
                continue;
            }
            items.push(Item::new(entries.len(), visit, route.filter(|_| !alone)));
            entries.push(None);
        }
        if entries.is_empty() {
            return Ok(0);
        }
        (self.tell)(&RunEvent::Tenants {
            group: group.map(|group| group.name.as_str()),
            all: entries.len(),
            behind: items.len(),
        });
        for entry in entries.iter().flatten() {
            (self.tell)(&RunEvent::Done(entry));
            self.failures += usize::from(matches!(entry.outcome, Outcome::Failed(_)));
        }
        let behind = items.len();
        let pace = self.pace(group);
        let most = match pace.on_error {
            OnError::Stop => Some(0),
            OnError::Continue => pace.max_failures,
        };
        if most.is_some_and(|most| self.failures > most) {
            let reason = "a tenant could not be visited".to_owned();
            for item in items {
                let skipped = Outcome::Skipped(reason.clone());
                let entry = ReportEntry::unvisited(item.visit.target, skipped);
                (self.tell)(&RunEvent::Done(&entry));
                entries[item.place] = Some(entry);
            }
            self.stopped = Some(reason);
        } else if behind > 0 {
            let budget = LockBudget::read(&mut self.guard().pg)?;
            let mut failed = 0;
            let tell = &mut *self.tell;
            let finished = fleet::migrate(
                self.migrator,
                self.sets,
                &self.guard,
                budget,
                items,
                pace,
                |place, entry| {
                    tell(&RunEvent::Done(&entry));
                    failed += usize::from(matches!(entry.outcome, Outcome::Failed(_)));
                    entries[place] = Some(entry);
                },
            );
            self.failures += failed;
            if let Some(reason) = finished.stopped {
                let reason = match group {
                    Some(group) => format!("in group {}: {reason}", group.name),
                    None => reason,
                };
                for item in finished.rest {
                    let skipped = Outcome::Skipped(reason.clone());
                    let mut entry = ReportEntry::unvisited(item.visit.target, skipped);
                    entry.applied = item.progress.done;
                    (self.tell)(&RunEvent::Done(&entry));
                    entries[item.place] = Some(entry);
                }
                self.stopped = Some(reason);
            }
        }
        self.entries.extend(entries.into_iter().flatten());
        Ok(behind)
    }

    fn pace(&self, group: Option<&Group>) -> Pace {
        let migrator = self.migrator;
        Pace {
            jobs: group.and_then(|g| g.jobs).unwrap_or(migrator.jobs),
            on_error: match group.and_then(|g| g.on_error) {
                // What is asked of the whole run is asked of each part.
                Some(on_error) if migrator.on_error != OnError::Stop => on_error,
                _ => migrator.on_error,
            },
            max_failures: match (group.and_then(|g| g.max_failures), migrator.max_failures) {
                (Some(group), Some(run)) => Some(group.min(run)),
                (group, run) => group.or(run),
            },
            failed: self.failures,
        }
    }

    /// The tenants that a filter lets through and that were not seen yet, with what they have.
    pub(super) fn members(
        &mut self,
        filter: &TenantFilter,
        seen: &mut HashSet<i64>,
    ) -> Result<Vec<Member>> {
        let current = self.current();
        let mut members = ledger::members(&mut self.guard().pg, filter, &current)?;
        members.retain(|member| seen.insert(member.incarnation));
        let read = ledger::look_up(&mut self.guard().pg, &mut members, self.migrator.reconcile)?;
        self.write_ledger(read)?;
        Ok(members)
    }

    /// Where a tenant is to be visited; what becomes of it otherwise.
    pub(super) fn readied(&self, member: &Member) -> Result<Visit, Outcome> {
        let failed = |error: Error| Outcome::Failed(error.with_tenant(&member.id));
        // A row that somebody wrote by hand.
        self.layout()
            .tenant_schema(&member.schema)
            .map_err(failed)?;
        if !matches!(member.status, TenantStatus::Ready | TenantStatus::Suspended) {
            return Err(Outcome::Skipped(format!("the tenant is {}", member.status)));
        }
        let oid = member.schema_oid.ok_or_else(|| {
            let message = format!("schema {} is missing", member.schema);
            failed(Error::new(ErrorKind::SchemaUnavailable, message))
        })?;
        Ok(Visit {
            target: tenant(member),
            schema: member.schema.clone(),
            member: Some((member.incarnation, oid)),
        })
    }

    /// The versions of who is up to date.
    pub(super) fn current(&self) -> Vec<String> {
        self.sets[&SetName::Tenants].versions()
    }

    /// What a schema has that is no tenant's; `None` where it is missing.
    pub(super) fn history_of(&mut self, schema: &SchemaName) -> Result<Option<BTreeSet<String>>> {
        let found = read_histories(&mut self.guard().pg, std::slice::from_ref(schema))?;
        let history = found.into_values().next();
        history
            .map(|history| Ok(history.versions?.into_iter().collect()))
            .transpose()
    }

    /// The steps of all who have the same. `None` where they cannot be known: each then says why.
    fn route(&self, versions: Arc<BTreeSet<String>>) -> Option<Arc<Route>> {
        let set = &self.sets[&SetName::Tenants];
        let steps = set.steps(&versions).ok()?;
        let shares = !self.migrator.hooks.any()
            && steps.iter().all(|step| match step.entry(set) {
                None => true,
                Some(entry) => {
                    entry.in_transaction
                        && step
                            .script(set)
                            .is_some_and(|script| script.sharing != Sharing::Never)
                }
            });
        Some(Arc::new(Route {
            before: versions,
            steps,
            shares,
        }))
    }

    /// Writes what was read from schemas themselves into the ledger.
    fn write_ledger(&mut self, read: Vec<LookedUp>) -> Result<()> {
        let mut by_versions: HashMap<Vec<String>, Vec<(i64, u32)>> = HashMap::new();
        for LookedUp { member, versions } in read {
            by_versions.entry(versions).or_default().push(member);
        }
        for (versions, members) in by_versions {
            for some in members.chunks(1000) {
                self.guard()
                    .pg
                    .batch_execute(&sql::fleet::note_in_ledger(some, &versions, false))
                    .map_err(|error| Error::database("write the ledger", error))?;
            }
        }
        Ok(())
    }

    /// Notes schemas that are not visited.
    fn skip(&mut self, target: Target, reason: String) {
        self.report(ReportEntry::unvisited(target, Outcome::Skipped(reason)));
    }

    pub(super) fn report(&mut self, entry: ReportEntry) {
        (self.tell)(&RunEvent::Done(&entry));
        self.entries.push(entry);
    }
}

pub(super) fn tenant(member: &Member) -> Target {
    Target::Tenant {
        id: member.id.clone(),
        schema: member.schema.clone(),
    }
}
