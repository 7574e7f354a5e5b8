//! What a run would do, found out without writing.

use std::{
    collections::{BTreeSet, HashMap},
    sync::Arc,
};

use diesel::PgConnection;

use super::{
    Migrator,
    goal::Goal,
    group::Group,
    kinds::{self, KindSet},
    ledger::{self, History, Known, read_histories},
    plan::{MigrationPlan, PlannedTarget, Selection, Target},
    set::{Set, SetName, Sets},
    tenants::tenant,
};
use crate::{
    error::{Error, ErrorKind, Result},
    names::SchemaName,
    registry::{self, RegistryState},
};

impl Migrator {
    /// As [`plan`](Self::plan); `distrust` asks the schemas themselves.
    pub(crate) fn plan_by(&self, selection: &Selection, distrust: bool) -> Result<MigrationPlan> {
        let mut sets = self.read_sets()?;
        self.check_goal(selection, &sets)?;
        let mut conn = self.pool.get_shared()?;
        self.take_aim(&mut conn, selection, &mut sets)?;
        let state = registry::state(&mut conn)
            .map_err(|error| Error::database("look for the registry", error))?;
        if let Selection::All | Selection::Tenants = selection
            && state == RegistryState::Current
        {
            self.check_groups(&mut conn)?;
        }
        let own = self.own_targets(&mut conn, selection, state)?;
        let schemas: Vec<SchemaName> = own.iter().map(Target::schema).collect();
        let mut histories = read_histories(&mut conn, &schemas)?;
        let mut targets = Vec::new();
        for (target, schema) in own.into_iter().zip(schemas) {
            let why_not = self.why_not_static(&mut *conn, &target)?;
            let history = histories.remove(&schema);
            let set = self.set_of(&target);
            // The template of a kind is made on the way to the newest version only.
            if matches!(set, SetName::Kind(_)) && history.is_none() && !self.goal.is_newest() {
                continue;
            }
            let mut planned = planned(&sets, &set, target, history);
            if let Some(error) = why_not {
                planned.blocked = Some(error.chain());
            }
            targets.push(planned);
        }
        targets.extend(self.planned_tenants(&mut conn, &sets, selection, state, distrust)?);
        Ok(MigrationPlan {
            targets,
            selection: selection.clone(),
            goal: self.goal.clone(),
        })
    }

    /// What a selection holds that is no tenant.
    fn own_targets(
        &self,
        conn: &mut PgConnection,
        selection: &Selection,
        state: RegistryState,
    ) -> Result<Vec<Target>> {
        let mut own = match selection {
            Selection::All | Selection::Shared => vec![Target::Registry, self.shared_target()],
            _ => Vec::new(),
        };
        own.extend(self.static_targets(selection)?);
        if let Selection::All | Selection::Tenants = selection {
            own.push(self.template_target());
            own.extend(self.kinds.iter().map(KindSet::target));
            if state == RegistryState::Current {
                let named = ledger::named_templates(conn)?.into_iter();
                own.extend(named.map(|schema| Target::Template { schema }));
            }
        }
        if !self.goal.is_newest() {
            own.retain(|target| *target != Target::Registry);
        }
        Ok(own)
    }

    fn planned_tenants(
        &self,
        conn: &mut PgConnection,
        sets: &Sets,
        selection: &Selection,
        state: RegistryState,
        distrust: bool,
    ) -> Result<Vec<PlannedTarget>> {
        let Some(filter) = selection.filter() else {
            return Ok(Vec::new());
        };
        if !filter.is_all() {
            registry::require(conn)?;
        }
        match state {
            RegistryState::Missing => return Ok(Vec::new()),
            // It has no ledger; its tenants are asked themselves.
            RegistryState::Older => {
                let tenants = registry::schemas(conn)?;
                let schemas: Vec<SchemaName> = tenants.iter().map(|(_, s)| s.clone()).collect();
                let mut histories = read_histories(conn, &schemas)?;
                return Ok(tenants
                    .into_iter()
                    .map(|(id, schema)| {
                        let has = histories.remove(&schema);
                        planned(sets, &SetName::Tenants, Target::Tenant { id, schema }, has)
                    })
                    .collect());
            }
            RegistryState::Current => {}
        }
        ledger::check_names(conn, &filter)?;
        let current = sets[&SetName::Tenants].versions();
        let mut members = ledger::members(conn, &filter, &current)?;
        ledger::look_up(conn, &mut members, distrust)?;
        let newest: Arc<[String]> = current.clone().into();
        let mut lists = HashMap::new();
        Ok(members
            .into_iter()
            .map(|member| {
                let target = tenant(&member);
                let lists = lists
                    .entry(self.set_of_kind(member.kind.as_deref()))
                    .or_insert_with_key(|set| Lists::new(sets, set));
                let mut planned = match (&member.known, member.schema_oid) {
                    (_, None) => PlannedTarget::missing(target),
                    (Known::Current, _) => lists.planned(target, Arc::clone(&newest)),
                    (Known::Versions(versions), _) => {
                        lists.planned(target, versions.iter().cloned().collect())
                    }
                    (Known::Unknown, _) => lists.planned(target, [].into()),
                    (Known::Unreadable(reason), _) => PlannedTarget {
                        blocked: Some(reason.clone()),
                        ..lists.planned(target, [].into())
                    },
                };
                if let Some(reason) = member.why_skipped() {
                    planned.skip(reason);
                }
                planned
            })
            .collect())
    }

    pub(super) fn check_goal(&self, selection: &Selection, sets: &Sets) -> Result<()> {
        match (&self.goal, selection) {
            (Goal::Newest, _) => Ok(()),
            (Goal::Prune, Selection::All) => [SetName::Shared, SetName::Tenants]
                .iter()
                .try_for_each(|name| self.goal.check(&sets[name])),
            (_, Selection::Static(_)) => self.check_static_goal(selection, sets),
            (_, Selection::All) => Err(Error::new(
                ErrorKind::InvalidInput,
                "this goal is for one set of migrations: choose the tenants, or the shared schema",
            )),
            (goal, Selection::Shared) => goal.check(&sets[&SetName::Shared]),
            (goal, _) => {
                let of_all = goal.check(&sets[&SetName::Tenants]);
                let of_some = |set: SetName| goal.check(&sets[&set]).is_ok();
                match of_all {
                    Err(_) if *goal != Goal::Prune && self.kind_names().any(of_some) => Ok(()),
                    of_all => of_all,
                }
            }
        }
    }

    /// Makes of the goal what each set aims at. Gives back what to ask for to go on with a run that did not
    /// get through. The registry only ever goes forward.
    pub(super) fn take_aim(
        &self,
        conn: &mut PgConnection,
        selection: &Selection,
        sets: &mut Sets,
    ) -> Result<Option<Goal>> {
        // A goal that counts is one for a single set.
        let has = match self.goal.counts() {
            true => self.versions_there(conn, selection, sets)?,
            false => BTreeSet::new(),
        };
        let statics = self.selected_statics(selection)?.into_iter();
        let statics: Vec<SetName> = statics.map(|s| SetName::Static(s.id.clone())).collect();
        let own = match selection {
            Selection::Static(_) => Vec::new(),
            _ => vec![SetName::Shared, SetName::Tenants],
        };
        let kinds = self.kind_names().filter(|_| !own.is_empty());
        for name in own.iter().cloned().chain(kinds).chain(statics) {
            let is_unknown =
                |set: &Set| matches!(name, SetName::Static(_)) && set.entries.is_empty();
            if let Some(set) = sets.get_mut(&name).filter(|set| !is_unknown(set)) {
                set.aim = self.goal.aim(&has);
            }
        }
        Ok(self.goal.rest(&has))
    }

    /// The versions that the shared schema has, or the template and the tenants of a selection: tenants can be
    /// ahead of the template, where they were migrated first.
    fn versions_there(
        &self,
        conn: &mut PgConnection,
        selection: &Selection,
        sets: &Sets,
    ) -> Result<BTreeSet<String>> {
        let filter = selection.filter();
        let leader = match (&filter, self.static_targets(selection)?.pop()) {
            (None, Some(only)) => only,
            (None, None) => self.shared_target(),
            (Some(_), _) => self.template_target(),
        };
        let of = |conn: &mut PgConnection, leaders: &[SchemaName]| -> Result<BTreeSet<String>> {
            let histories = read_histories(conn, leaders)?.into_values();
            let versions = histories.filter_map(|history| history.versions.ok());
            Ok(versions.flatten().collect())
        };
        let mut versions = of(conn, &[leader.schema()])?;
        let Some(filter) = filter else {
            return Ok(versions);
        };
        registry::require(conn)?;
        ledger::check_names(conn, &filter)?;
        let mut members = ledger::members(conn, &filter, &[])?;
        ledger::look_up(conn, &mut members, self.reconcile)?;
        let kinds: Vec<&KindSet> = match selection {
            Selection::Tenants => self.kinds.iter().collect(),
            // Of those whose tenants are visited.
            _ => self
                .kinds
                .iter()
                .filter(|set| members.iter().any(|m| m.kind.as_deref() == Some(&set.name)))
                .collect(),
        };
        if !kinds.is_empty() {
            let templates: Vec<SchemaName> = kinds.iter().map(|set| set.template.clone()).collect();
            versions.extend(of(conn, &templates)?);
        }
        for member in members {
            if let Known::Versions(own) = &member.known {
                versions.extend(own.iter().cloned());
            }
        }
        let sets: Vec<&Set> = std::iter::once(SetName::Tenants)
            .chain(kinds.iter().map(|set| set.set_name()))
            .map(|name| &sets[&name])
            .collect();
        versions.retain(|version| sets.iter().any(|set| set.position(version).is_some()));
        Ok(versions)
    }

    /// Refuses groups of tenants that there are none of. The registry must be there.
    pub(super) fn check_groups(&self, conn: &mut PgConnection) -> Result<()> {
        let named = |group: &&Group| group.filter.only.is_some();
        for group in self.groups.iter().filter(named) {
            ledger::check_names(conn, &group.filter).map_err(|error| {
                let message = format!("group {}: {error}", group.name);
                error.reworded(message)
            })?;
        }
        Ok(())
    }
}

/// Of a schema that is no tenant's; `None` where it is missing.
fn planned(sets: &Sets, name: &SetName, target: Target, history: Option<History>) -> PlannedTarget {
    let set = &sets[name];
    // Of a static tenant without migrations nothing is known: what it has is somebody else's.
    let history = match target {
        Target::Static { .. } if set.entries.is_empty() => history.map(|history| History {
            versions: Ok(Vec::new()),
            ..history
        }),
        _ => history,
    };
    match history.map(|history| history.versions) {
        None => {
            // What it will need when it is there.
            let planned = Lists::new(sets, name).planned(target, [].into());
            PlannedTarget {
                exists: false,
                ..planned
            }
        }
        Some(Ok(versions)) => Lists::new(sets, name).planned(target, versions.into()),
        Some(Err(error)) => PlannedTarget {
            blocked: Some(error.chain()),
            ..Lists::new(sets, name).planned(target, [].into())
        },
    }
}

/// What is found out once for all who have the same versions.
struct Lists<'a> {
    sets: &'a Sets,
    set: &'a Set,
    known: HashMap<Arc<[String]>, Arc<PlannedTarget>>,
}

impl<'a> Lists<'a> {
    fn new(sets: &'a Sets, name: &SetName) -> Self {
        Self {
            sets,
            set: &sets[name],
            known: HashMap::new(),
        }
    }

    fn planned(&mut self, target: Target, applied: Arc<[String]>) -> PlannedTarget {
        let set = self.set;
        let known = self.known.entry(Arc::clone(&applied)).or_insert_with(|| {
            let has: BTreeSet<String> = applied.iter().cloned().collect();
            let (pending, blocked) = match set.steps(&has) {
                Ok(steps) => (steps.iter().map(|step| step.describe(set)).collect(), None),
                Err(error) => (Vec::new(), Some(error.chain())),
            };
            let unknown = has.iter().filter(|version| set.position(version).is_none());
            let unknown: Vec<String> = unknown.cloned().collect();
            Arc::new(PlannedTarget {
                target: target.clone(),
                exists: true,
                of_other_kinds: kinds::owners(self.sets, &unknown),
                unknown,
                applied,
                pending,
                blocked,
                skipped: None,
            })
        });
        PlannedTarget {
            target,
            ..known.as_ref().clone()
        }
    }
}
