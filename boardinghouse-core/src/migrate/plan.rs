//! What a run visits and what it would do there: data, made without writing.

use std::fmt;

use serde::Serialize;

use crate::{
    layout::Layout,
    names::{SchemaName, TenantId},
    tenant::Tenant,
};

/// Which part of the fleet a run visits.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Selection {
    /// Everything: registry, shared schema, template, all tenants.
    #[default]
    All,
    /// The registry and the shared schema.
    Shared,
    /// The template and all tenants.
    Tenants,
    /// These tenants and nothing else.
    Only(Vec<TenantId>),
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
    /// The template.
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
    pub(super) fn tenant(tenant: &Tenant) -> Self {
        Self::Tenant {
            id: tenant.id().clone(),
            schema: tenant.schema().clone(),
        }
    }

    /// The schema.
    #[must_use]
    pub fn schema(&self) -> SchemaName {
        match self {
            Self::Registry => SchemaName::known(Layout::REGISTRY),
            Self::Shared { schema } | Self::Template { schema } | Self::Tenant { schema, .. } => {
                schema.clone()
            }
        }
    }

    /// The tenant, where it is one.
    #[must_use]
    pub fn tenant_id(&self) -> Option<&TenantId> {
        match self {
            Self::Tenant { id, .. } => Some(id),
            _ => None,
        }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Registry => f.pad("registry"),
            Self::Shared { schema } => f.pad(&format!("shared schema {schema}")),
            Self::Template { schema } => f.pad(&format!("template {schema}")),
            Self::Tenant { id, .. } => f.pad(&format!("tenant {id}")),
        }
    }
}

/// What a run would do; nothing was written to make it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct MigrationPlan {
    /// Every schema that the run would visit, in order.
    pub targets: Vec<PlannedTarget>,
    #[serde(skip)]
    pub(super) selection: Selection,
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
    pub applied: Vec<String>,
    /// The names of the migrations that it has not, in the order in which they would run.
    pub pending: Vec<String>,
    /// The versions that it has and that none of its migrations has: applied by a newer release, or
    /// by mistake.
    pub unknown: Vec<String>,
}

impl MigrationPlan {
    /// Whether there is nothing to do.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.targets
            .iter()
            .all(|target| target.pending.is_empty() && target.exists)
    }
}

/// One of the sets of migrations.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum SetName {
    Registry,
    Shared,
    Tenants,
}

impl SetName {
    pub(super) const ALL: [Self; 3] = [Self::Registry, Self::Shared, Self::Tenants];

    /// The set that a target is migrated with.
    pub(super) fn of(target: &Target) -> Self {
        match target {
            Target::Registry => Self::Registry,
            Target::Shared { .. } => Self::Shared,
            Target::Template { .. } | Target::Tenant { .. } => Self::Tenants,
        }
    }
}

impl fmt::Display for SetName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Registry => "registry",
            Self::Shared => "shared",
            Self::Tenants => "tenant",
        })
    }
}
