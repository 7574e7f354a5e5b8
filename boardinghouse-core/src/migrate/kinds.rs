//! Kinds of tenants that have migrations besides those of all tenants, and a template each.

use std::{collections::BTreeMap, sync::Arc};

use diesel::connection::SimpleConnection;

use super::{
    Migrator,
    plan::Target,
    run::Run,
    set::{SetName, Sets, Source},
};
use crate::{
    error::{Error, Result},
    kinds,
    names::SchemaName,
    sql,
};

/// A kind, and where its migrations come from.
pub(super) struct KindSet {
    pub(super) name: Arc<str>,
    pub(super) template: SchemaName,
    pub(super) source: Source,
}

impl KindSet {
    pub(super) fn target(&self) -> Target {
        Target::Template {
            schema: self.template.clone(),
        }
    }

    pub(super) fn set_name(&self) -> SetName {
        SetName::Kind(Arc::clone(&self.name))
    }
}

impl Migrator {
    /// In the order of their names, in which their templates are visited.
    pub(super) fn put_kind(&mut self, set: KindSet) {
        self.kinds.retain(|other| other.name != set.name);
        self.kinds.push(set);
        self.kinds.sort_unstable_by(|a, b| a.name.cmp(&b.name));
    }

    pub(super) fn kind_set(&self, kind: &str) -> Option<&KindSet> {
        self.kinds.iter().find(|set| *set.name == *kind)
    }

    pub(super) fn kind_names(&self) -> impl Iterator<Item = SetName> {
        self.kinds.iter().map(KindSet::set_name)
    }

    /// The templates of the kinds that have migrations.
    pub(crate) fn kind_templates(&self) -> impl Iterator<Item = &SchemaName> {
        self.kinds.iter().map(|set| &set.template)
    }

    /// The set that a tenant of this kind is migrated with.
    pub(super) fn set_of_kind(&self, kind: Option<&str>) -> SetName {
        kind.and_then(|kind| self.kind_set(kind))
            .map_or(SetName::Tenants, KindSet::set_name)
    }

    /// The set that a schema is migrated with which is no tenant's of the registry.
    pub(super) fn set_of(&self, target: &Target) -> SetName {
        match target {
            Target::Registry => SetName::Registry,
            Target::Shared { .. } => SetName::Shared,
            Target::Static { id, .. } => SetName::Static(id.clone()),
            Target::Template { schema } => {
                let kind = self.kinds.iter().find(|set| set.template == *schema);
                kind.map_or(SetName::Tenants, KindSet::set_name)
            }
            Target::Tenant { .. } => SetName::Tenants,
        }
    }
}

/// Which kind has each of these versions, of those that one has.
pub(super) fn owners(sets: &Sets, versions: &[String]) -> BTreeMap<String, String> {
    let kind_of = |version: &String| {
        let owners = sets.iter().filter_map(|(name, set)| match name {
            SetName::Kind(kind) => set.position(version).map(|_| kind),
            _ => None,
        });
        let first = owners.min()?;
        Some((version.clone(), first.to_string()))
    };
    versions.iter().filter_map(kind_of).collect()
}

impl<'a> Run<'a> {
    /// Says whether all of them are where they should be.
    pub(super) fn visit_kinds(&mut self) -> Result<bool> {
        let mut migrated = true;
        for kind in self.ready_kinds()? {
            let done = self.visit_own(kind.target());
            if done {
                self.look_at_template(&kind.template);
            }
            migrated &= done;
        }
        Ok(migrated)
    }

    /// The kinds whose templates are there. On the way to the newest version they are created where they are
    /// missing: as ones that nobody clones until they are finished, as that is what their tenants got before.
    pub(super) fn ready_kinds(&mut self) -> Result<Vec<&'a KindSet>> {
        let migrator = self.migrator;
        if migrator.kinds.is_empty() {
            return Ok(Vec::new());
        }
        let templates: Vec<SchemaName> = migrator.kind_templates().cloned().collect();
        self.read_own(&templates)?;
        let finished = kinds::finished(&mut self.guard().pg, &templates)?;
        let unfinished =
            |template: &&SchemaName| self.is_known(template) && !finished.contains(*template);
        self.unfinished = templates.iter().filter(unfinished).cloned().collect();
        if !migrator.goal.is_newest() {
            let there = |kind: &&KindSet| self.is_known(&kind.template);
            return Ok(migrator.kinds.iter().filter(there).collect());
        }
        for kind in &migrator.kinds {
            let create = sql::create_unfinished_schema(&kind.template);
            if self.create_schema_by(&kind.template, &create)? {
                self.unfinished.insert(kind.template.clone());
            }
        }
        Ok(migrator.kinds.iter().collect())
    }

    /// Whether a schema, when it has what it lacks, can be cloned for the first time.
    pub(super) fn finishes(&self, schema: &SchemaName) -> bool {
        self.migrator.goal.is_newest() && self.unfinished.contains(schema)
    }

    /// Lets a schema be cloned that could not be before.
    pub(super) fn finish(&mut self, schema: &SchemaName) -> Result<()> {
        if !self.finishes(schema) {
            return Ok(());
        }
        self.guard()
            .pg
            .batch_execute(&sql::finish_schema(schema))
            .map_err(|error| Error::database(&format!("finish schema {schema}"), error))?;
        self.unfinished.remove(schema);
        Ok(())
    }

    /// What finishes all that there are to be finished.
    pub(super) fn finish_all(&self) -> String {
        let mut all: Vec<&SchemaName> = self.unfinished.iter().collect();
        all.retain(|schema| self.finishes(schema));
        all.sort_unstable();
        all.into_iter().map(sql::finish_schema).collect()
    }

    pub(super) fn skip_kinds(&mut self, reason: &str) {
        for kind in &self.migrator.kinds {
            self.skip(kind.target(), reason.to_owned());
        }
    }
}
