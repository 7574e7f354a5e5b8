//! The static tenants of a run: each with migrations of its own, after the shared schema.

use diesel_migrations::{FileBasedMigrations, MigrationError};

use super::{
    Migrator,
    plan::{Selection, Target},
    report::{Outcome, ReportEntry},
    run::Run,
    set::{SetName, Sets, Source},
};
use crate::{
    error::{Error, ErrorKind, Result},
    names::{SchemaName, TenantId},
    registry::{self, PgQueries, RegistryState},
    statics::StaticTenant,
    tenant::Tenant,
};

/// A static tenant, and where its migrations come from.
pub(super) struct StaticSet {
    pub(super) id: TenantId,
    schema: SchemaName,
    pub(super) source: Option<Source>,
}

impl StaticSet {
    pub(super) fn new(tenant: &Tenant, source: Option<Source>) -> Self {
        Self {
            id: tenant.id().clone(),
            schema: tenant.schema().clone(),
            source,
        }
    }

    /// One whose migrations are files.
    pub(super) fn read(named: &StaticTenant) -> Result<Self> {
        let source = named.migrations.as_deref().map(|dir| {
            FileBasedMigrations::from_path(dir)
                .map(Source::new)
                .map_err(|error| {
                    let message = match &error {
                        MigrationError::UnknownMigrationFormat(entry) => {
                            format!("{} is no migration", entry.display())
                        }
                        _ => format!(
                            "could not read the migrations of static tenant {} in {}",
                            named.tenant.id(),
                            dir.display()
                        ),
                    };
                    Error::new(ErrorKind::InvalidInput, message)
                        .with_tenant(named.tenant.id())
                        .with_source(error)
                })
        });
        Ok(Self::new(&named.tenant, source.transpose()?))
    }

    fn target(&self) -> Target {
        Target::Static {
            id: self.id.clone(),
            schema: self.schema.clone(),
        }
    }
}

impl Migrator {
    pub(super) fn put_static(&mut self, set: StaticSet) {
        self.statics.retain(|other| other.id != set.id);
        self.statics.push(set);
    }

    pub(crate) fn static_ids(&self) -> impl Iterator<Item = &TenantId> {
        self.statics.iter().map(|set| &set.id)
    }

    /// Whether there are migrations of static tenants, and no others.
    pub(crate) fn has_statics_alone(&self) -> bool {
        let others = self.shared.is_some() || self.tenants.is_some() || !self.kinds.is_empty();
        !self.statics.is_empty() && !others
    }

    pub(super) fn static_set(&self, id: &TenantId) -> Option<&StaticSet> {
        self.statics.iter().find(|set| set.id == *id)
    }

    /// The static tenants of a selection.
    pub(super) fn selected_statics(&self, selection: &Selection) -> Result<Vec<&StaticSet>> {
        match selection {
            Selection::Static(ids) if !ids.is_empty() => ids
                .iter()
                .map(|id| {
                    self.static_set(id).ok_or_else(|| {
                        let message = format!("there is no static tenant {id}");
                        Error::new(ErrorKind::TenantNotFound, message).with_tenant(id)
                    })
                })
                .collect(),
            Selection::All | Selection::Static(_) => Ok(self.statics.iter().collect()),
            _ => Ok(Vec::new()),
        }
    }

    pub(super) fn static_targets(&self, selection: &Selection) -> Result<Vec<Target>> {
        let selected = self.selected_statics(selection)?;
        Ok(selected.into_iter().map(StaticSet::target).collect())
    }

    /// Refuses a goal that cannot be that of these static tenants.
    pub(super) fn check_static_goal(&self, selection: &Selection, sets: &Sets) -> Result<()> {
        let selected = self.selected_statics(selection)?;
        if self.goal.counts() && selected.len() > 1 {
            return Err(Error::new(
                ErrorKind::InvalidInput,
                "each static tenant has migrations of its own: choose one of them to take some back",
            ));
        }
        selected
            .into_iter()
            .try_for_each(|set| self.goal.check(&sets[&SetName::Static(set.id.clone())]))
    }

    /// Why nothing is done to the schema of a static tenant.
    pub(super) fn why_not_static<C: PgQueries>(
        &self,
        conn: &mut C,
        target: &Target,
    ) -> Result<Option<Error>> {
        let Target::Static { id, schema } = target else {
            return Ok(None);
        };
        if let Err(error) = self.pool.layout().has_no_role(schema) {
            return Ok(Some(error.with_tenant(id)));
        }
        let state = registry::state(conn)
            .map_err(|error| Error::database("look for the registry", error))?;
        if state == RegistryState::Missing {
            return Ok(None);
        }
        let holder = registry::holder(conn, id, schema)?;
        Ok(holder.map(|(other, own)| {
            let message = format!(
                "static tenant {id} cannot have schema {schema}: the registry has tenant {other}, in schema \
                 {own}"
            );
            Error::new(ErrorKind::TenantExists, message).with_tenant(id)
        }))
    }
}

impl Run<'_> {
    /// What fails, fails alone: nobody depends on a static tenant.
    pub(super) fn visit_statics(&mut self, selection: &Selection) -> Result<()> {
        for target in self.migrator.static_targets(selection)? {
            if self.interrupted() {
                let reason = self.stopped.clone().unwrap_or_default();
                self.skip(target, reason);
                continue;
            }
            let ready = self.ready_static(&target);
            match ready {
                Ok(()) => drop(self.visit_own(target)),
                Err(error) => {
                    self.report(ReportEntry::unvisited(target, Outcome::Failed(error)));
                }
            }
        }
        Ok(())
    }

    /// Creates the schema of a static tenant, where it is missing.
    fn ready_static(&mut self, target: &Target) -> Result<()> {
        let why_not = self.migrator.why_not_static(&mut self.guard().pg, target)?;
        if let Some(error) = why_not {
            return Err(error);
        }
        let schema = target.schema();
        self.read_own(std::slice::from_ref(&schema))?;
        self.create_own_schema(&schema)
    }

    pub(super) fn skip_statics(&mut self, selection: &Selection, reason: &str) -> Result<()> {
        for target in self.migrator.static_targets(selection)? {
            self.skip(target, reason.to_owned());
        }
        Ok(())
    }
}
