//! What a run visits and what it would do there: data, made without writing.

use std::{collections::BTreeMap, fmt, sync::Arc};

use serde::Serialize;

use super::{filter::TenantFilter, goal::Goal};
use crate::{
    layout::Layout,
    names::{SchemaName, TenantId},
};

/// Which part of the fleet a run visits.
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub enum Selection {
    /// Everything: registry, shared schema, static tenants, the template and those of kinds, named templates,
    /// all tenants.
    #[default]
    All,
    /// The registry and the shared schema.
    Shared,
    /// The template and those of kinds, the named templates and all tenants.
    Tenants,
    /// These tenants and nothing else.
    Only(Vec<TenantId>),
    /// The tenants that a filter lets through, in its order, and nothing else.
    Matching(TenantFilter),
    /// These [static tenants](super::Migrator::static_tenant), or all of them where the list is empty, and
    /// nothing else. No registry is needed.
    Static(Vec<TenantId>),
}

impl Selection {
    /// The tenants that are visited; `None` where there are none.
    pub(crate) fn filter(&self) -> Option<TenantFilter> {
        match self {
            Self::All | Self::Tenants => Some(TenantFilter::new()),
            Self::Shared | Self::Static(_) => None,
            Self::Only(ids) => Some(TenantFilter::new().only(ids.iter().cloned())),
            Self::Matching(filter) => Some(filter.clone()),
        }
    }
}

/// One schema that migrations run in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
#[non_exhaustive]
pub enum Target {
    /// The registry's own tables.
    Registry,
    /// The shared schema.
    Shared {
        /// Its name.
        schema: SchemaName,
    },
    /// The schema of a tenant that the configuration names.
    Static {
        /// The tenant.
        id: TenantId,
        /// Its name.
        schema: SchemaName,
    },
    /// The template, that of a kind, or a named one.
    Template {
        /// Its name.
        schema: SchemaName,
    },
    /// A tenant's schema.
    Tenant {
        /// The tenant.
        id: TenantId,
        /// Its name.
        schema: SchemaName,
    },
}

impl Target {
    /// The schema.
    #[must_use]
    pub fn schema(&self) -> SchemaName {
        match self {
            Self::Registry => SchemaName::known(Layout::REGISTRY),
            Self::Shared { schema }
            | Self::Static { schema, .. }
            | Self::Template { schema }
            | Self::Tenant { schema, .. } => schema.clone(),
        }
    }

    /// The tenant, where it is one.
    #[must_use]
    pub fn tenant_id(&self) -> Option<&TenantId> {
        match self {
            Self::Tenant { id, .. } | Self::Static { id, .. } => Some(id),
            _ => None,
        }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Registry => f.pad("registry"),
            Self::Shared { schema } => f.pad(&format!("shared schema {schema}")),
            Self::Static { id, .. } => f.pad(&format!("static tenant {id}")),
            Self::Template { schema } => f.pad(&format!("template {schema}")),
            Self::Tenant { id, .. } => f.pad(&format!("tenant {id}")),
        }
    }
}

/// What a run would do; nothing was written to make it.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct MigrationPlan {
    /// Every schema that the run would visit, in order.
    pub targets: Vec<PlannedTarget>,
    #[serde(skip)]
    pub(super) selection: Selection,
    #[serde(skip)]
    pub(super) goal: Goal,
}

/// One schema of a [`MigrationPlan`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct PlannedTarget {
    /// The schema.
    pub target: Target,
    /// Whether the schema exists.
    pub exists: bool,
    /// The versions that it has, in order.
    #[serde(serialize_with = "list")]
    pub applied: Arc<[String]>,
    /// What would be done, in order: the names of the migrations that would be applied. Where the goal is
    /// another than the newest version, also `revert`, `mark` or `forget` and a name or version.
    pub pending: Vec<String>,
    /// The versions that it has and that none of its migrations has: applied by a newer release, or
    /// by mistake.
    pub unknown: Vec<String>,
    /// Those of [`unknown`](Self::unknown) that another [kind](super::Migrator::kind) of tenants has, and that
    /// kind: the tenant was of it before, or is a copy of one. What they made is still there.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub of_other_kinds: BTreeMap<String, String>,
    /// Why the goal cannot be reached.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub blocked: Option<String>,
    /// Why a run leaves it as it is, such as a tenant that is just being created.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub skipped: Option<String>,
}

fn list<S: serde::Serializer>(list: &Arc<[String]>, to: S) -> Result<S::Ok, S::Error> {
    list.as_ref().serialize(to)
}

impl PlannedTarget {
    /// Whether there is nothing to do, and nothing in the way of it.
    #[must_use]
    pub fn is_done(&self) -> bool {
        let nothing = self.exists && self.pending.is_empty() && self.blocked.is_none();
        nothing || self.skipped.is_some()
    }

    pub(super) fn missing(target: Target) -> Self {
        Self {
            target,
            exists: false,
            applied: [].into(),
            pending: Vec::new(),
            unknown: Vec::new(),
            of_other_kinds: BTreeMap::new(),
            blocked: None,
            skipped: None,
        }
    }

    /// Notes that nothing will be done.
    pub(super) fn skip(&mut self, reason: String) {
        self.pending.clear();
        self.skipped = Some(reason);
    }
}

impl MigrationPlan {
    /// Whether there is nothing to do.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.targets.iter().all(PlannedTarget::is_done)
    }
}
