//! What was found: data.

use std::fmt;

use serde::Serialize;

use crate::{
    names::{SchemaName, TenantId},
    template::PartKind,
};

/// What [`Drift::check`](super::Drift::check) found.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct DriftReport {
    /// The template.
    pub template: SchemaName,
    /// On how many tenants the report is.
    pub tenants: usize,
    /// How many schemas had to be read in full, because their hash was not the template's nor one that was
    /// known by then.
    pub read_in_full: usize,
    /// The tenants of each structure: those that are as the template first, then the largest group. All of
    /// the fleet, whichever tenants are reported on.
    pub shapes: Vec<ShapeGroup>,
    /// The tenants that are not what they should be.
    pub drifted: Vec<TenantDrift>,
    /// The tenants whose migrations are not those of the template.
    pub other_versions: Vec<OtherVersion>,
    /// The tenants whose schema holds what cannot be compared.
    pub incomparable: Vec<Incomparable>,
    /// The tenants whose schema is not there.
    pub missing: Vec<TenantId>,
}

impl DriftReport {
    /// Whether no tenant has drifted, and each could be compared.
    #[must_use]
    pub fn is_healthy(&self) -> bool {
        self.drifted.is_empty() && self.incomparable.is_empty() && self.missing.is_empty()
    }

    /// Both, of parts of a fleet that are compared with different templates.
    pub(super) fn with(mut self, other: Self) -> Self {
        self.tenants += other.tenants;
        self.read_in_full += other.read_in_full;
        self.shapes.extend(other.shapes);
        self.shapes.sort_by_key(|group| {
            let size = usize::MAX - group.tenants.len();
            (!group.as_the_template, group.kind_template.clone(), size)
        });
        self.drifted.extend(other.drifted);
        self.drifted.sort_by(|a, b| a.tenant.cmp(&b.tenant));
        self.other_versions.extend(other.other_versions);
        self.other_versions.sort_by(|a, b| a.tenant.cmp(&b.tenant));
        self.incomparable.extend(other.incomparable);
        self.incomparable.sort_by(|a, b| a.tenant.cmp(&b.tenant));
        self.missing.extend(other.missing);
        self.missing.sort();
        self
    }
}

/// Tenants of the same structure.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct ShapeGroup {
    /// Whether it is that of the template.
    pub as_the_template: bool,
    /// The template of the tenants' kind, where that is what they are compared with.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kind_template: Option<SchemaName>,
    /// The tenants.
    pub tenants: Vec<TenantId>,
}

/// A tenant that is not what it should be.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct TenantDrift {
    /// The tenant.
    pub tenant: TenantId,
    /// Its schema.
    pub schema: SchemaName,
    /// The schema that it was compared with: the template, or that of a tenant at the same version.
    pub compared_with: SchemaName,
    /// What differs.
    pub differences: Vec<Difference>,
    /// A script that would bring the schema back, in one transaction. What it cannot bring back is a comment
    /// in it. Nothing runs it: read it first, as what is dropped takes its rows along.
    pub repair: String,
}

/// One thing in which a tenant differs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Difference {
    /// How it differs.
    pub change: Change,
    /// What it is.
    pub kind: PartKind,
    /// Its name.
    pub name: String,
    /// What it should be; nothing where it should not be there.
    pub expected: Option<String>,
    /// What it is; nothing where it is not there.
    pub found: Option<String>,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (kind, name) = (self.kind, &self.name);
        match (&self.expected, &self.found) {
            (Some(expected), Some(found)) => {
                write!(f, "changed {kind} {name}: {expected} -> {found}")
            }
            (Some(expected), None) => write!(f, "missing {kind} {name}: {expected}"),
            (None, Some(found)) => write!(f, "added {kind} {name}: {found}"),
            (None, None) => write!(f, "{kind} {name}"),
        }
    }
}

/// How something differs from what it should be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Change {
    /// It is there, and should not be.
    Added,
    /// It should be there, and is not.
    Missing,
    /// It is there, and is something else.
    Changed,
}

/// A tenant whose migrations are not those of the template.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct OtherVersion {
    /// The tenant.
    pub tenant: TenantId,
    /// The versions that the template has and the tenant has not.
    pub lacks: Vec<String>,
    /// The versions that the tenant has and the template has not.
    pub has_more: Vec<String>,
}

/// A tenant whose schema cannot be compared.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct Incomparable {
    /// The tenant.
    pub tenant: TenantId,
    /// Its schema.
    pub schema: SchemaName,
    /// What in it cannot be compared, one thing a line.
    pub reasons: String,
}
