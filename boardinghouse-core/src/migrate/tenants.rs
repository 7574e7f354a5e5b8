//! The tenants of a run: groups first, then the rest, and whoever joins meanwhile.

use std::{
    collections::{BTreeSet, HashMap, HashSet},
    sync::{Arc, atomic::Ordering::Relaxed},
    time::{Duration, Instant},
};

use diesel::connection::SimpleConnection;

use super::{
    apply::Visit,
    filter::TenantFilter,
    fleet::{self, Pace},
    group::{Group, OnError},
    ledger::{self, Known, LockBudget, LookedUp, Member},
    plan::Target,
    queue::{Item, LOOK, Route},
    report::{Outcome, ReportEntry, RunEvent},
    run::Run,
    set::SetName,
    text::Sharing,
};
use crate::{
    error::{Error, ErrorKind, Result},
    lock, sql,
};

/// How often what was created meanwhile is looked for.
const MOST_ROUNDS: usize = 10;

impl Run<'_> {
    /// Groups in their order, then whoever is in none.
    pub(super) fn visit_groups(&mut self, filter: &TenantFilter) -> Result<()> {
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
        let mut unseen = self.members(filter, &mut seen.clone())?;
        unseen.retain(|member| self.readied(member).is_ok());
        let current: BTreeSet<String> = self.current().into_iter().collect();
        Ok(unseen.iter().any(|member| {
            let set = &self.sets[&self.migrator.set_of_kind(member.kind.as_deref())];
            match &member.known {
                Known::Current => set.steps(&current).map_or(true, |steps| !steps.is_empty()),
                Known::Versions(has) => set.steps(has).map_or(true, |steps| !steps.is_empty()),
                Known::Unknown | Known::Unreadable(_) => true,
            }
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
                std::thread::sleep(left.min(LOOK));
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

    pub(super) fn visit_tenants(&mut self, filter: &TenantFilter) -> Result<()> {
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
        let current: Arc<BTreeSet<String>> = Arc::new(self.current().into_iter().collect());
        // By what they are to have, and what they have.
        let mut routes_of_current = HashMap::new();
        let mut routes = HashMap::new();
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
                Known::Current => {
                    let route = routes_of_current.entry(visit.set.clone());
                    let route = route.or_insert_with_key(|set| self.route(set, &current));
                    (route.clone(), false)
                }
                Known::Versions(versions) => {
                    // Its table of migrations may not be there yet; alone, it is made.
                    let alone = versions.is_empty();
                    let route = routes.entry((visit.set.clone(), versions));
                    let route = route.or_insert_with_key(|(set, has)| self.route(set, has));
                    (route.clone(), alone)
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
        if let Some(reason) = member.why_skipped() {
            return Err(Outcome::Skipped(reason));
        }
        let oid = member.schema_oid.ok_or_else(|| {
            let message = format!("schema {} is missing", member.schema);
            failed(Error::new(ErrorKind::SchemaUnavailable, message))
        })?;
        Ok(Visit {
            target: tenant(member),
            schema: member.schema.clone(),
            set: self.migrator.set_of_kind(member.kind.as_deref()),
            member: Some((member.incarnation, oid)),
        })
    }

    /// The versions of who is up to date, and of no kind that has more.
    pub(super) fn current(&self) -> Vec<String> {
        self.sets[&SetName::Tenants].versions()
    }

    /// The steps of all who have the same, and are to have the same. `None` where they cannot be known: each
    /// then says why.
    fn route(&self, set: &SetName, versions: &Arc<BTreeSet<String>>) -> Option<Arc<Route>> {
        let set = &self.sets[set];
        let steps = set.steps(versions).ok()?;
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
            before: Arc::clone(versions),
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

    /// Notes all tenants that were not seen.
    pub(super) fn skip_tenants(
        &mut self,
        filter: &TenantFilter,
        seen: &HashSet<i64>,
        reason: &str,
    ) {
        let current = self.current();
        // The connection may be lost: what was done is told all the same.
        let members = ledger::members(&mut self.guard().pg, filter, &current).unwrap_or_default();
        for member in members.iter().filter(|m| !seen.contains(&m.incarnation)) {
            self.skip(tenant(member), reason.to_owned());
        }
    }
}

/// A tenant, as it is told of.
pub(super) fn tenant(member: &Member) -> Target {
    Target::Tenant {
        id: member.id.clone(),
        schema: member.schema.clone(),
    }
}
