//! What can be wrong, each with its code, its weight and what to do about it.

use std::fmt;

use serde::Serialize;

use crate::names::TenantId;

/// How much a [`Finding`], or one of the [linter's](crate::lint::LintFinding), weighs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Severity {
    /// Something does not work, or is not safe.
    Error,
    /// Something should be looked at.
    Warning,
    /// Something to know of. The doctor finds nothing of this kind.
    Info,
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Error => "error",
            Self::Warning => "warning",
            Self::Info => "info",
        })
    }
}

/// One thing that is not as it should be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Finding {
    /// What is wrong, for programs. It never changes its meaning.
    pub code: &'static str,
    /// How much it weighs.
    pub severity: Severity,
    /// What is wrong, for people.
    pub message: String,
    /// What to do about it.
    pub hint: &'static str,
    /// The tenant that it is about, where there is one.
    pub tenant: Option<TenantId>,
}

/// Everything that was found, in the order of the codes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Checkup {
    /// What is wrong.
    pub findings: Vec<Finding>,
    /// How many tenants were looked at.
    pub tenants: usize,
}

impl Checkup {
    /// Whether nothing is wrong at all.
    #[must_use]
    pub fn is_healthy(&self) -> bool {
        self.findings.is_empty()
    }

    /// Whether something does not work, or is not safe.
    #[must_use]
    pub fn has_errors(&self) -> bool {
        self.findings
            .iter()
            .any(|finding| finding.severity == Severity::Error)
    }

    pub(super) fn add(&mut self, check: &Check, tenant: Option<&TenantId>, message: String) {
        self.findings.push(Finding {
            code: check.code,
            severity: check.severity,
            message,
            hint: check.hint,
            tenant: tenant.cloned(),
        });
    }
}

/// One kind of finding.
#[derive(Debug)]
pub(super) struct Check {
    code: &'static str,
    severity: Severity,
    hint: &'static str,
}

const fn error(code: &'static str, hint: &'static str) -> Check {
    Check {
        code,
        severity: Severity::Error,
        hint,
    }
}

const fn warning(code: &'static str, hint: &'static str) -> Check {
    Check {
        code,
        severity: Severity::Warning,
        hint,
    }
}

pub(super) const REGISTRY_MISSING: Check = error("BH001", "run `boardinghouse init`");
pub(super) const SHARED_MISSING: Check = error(
    "BH002",
    "run `boardinghouse init`, or set the shared schema's name as it is in the database",
);
pub(super) const TEMPLATE_MISSING: Check = error(
    "BH003",
    "run `boardinghouse init`, then `boardinghouse migrate`",
);
pub(super) const EXTRA_MISSING: Check = error(
    "BH004",
    "create the schema, grant USAGE on it, or take it out of the extra schemas",
);
pub(super) const TEMPLATE_HAS_ROWS: Check = warning(
    "BH005",
    "every new tenant gets a copy of them: delete them, unless a migration wrote them for that",
);
pub(super) const TEMPLATE_UNSUPPORTED: Check = error(
    "BH006",
    "change or remove these in a tenant migration: no tenant can be created until then",
);
pub(super) const SCHEMA_MISSING: Check = error(
    "BH007",
    "give the schema its name back, or restore it from a backup; else run `boardinghouse repair`, or delete the tenant",
);
pub(super) const SCHEMA_FORBIDDEN: Check = error(
    "BH008",
    "grant USAGE on the schema, and what the application needs on its tables, to this role",
);
pub(super) const RESERVED: Check = error(
    "BH009",
    "give the tenant another id or schema, or the special role another name",
);
pub(super) const EXTRA_IS_TENANT: Check = error(
    "BH010",
    "take the schema out of the extra schemas: every tenant could read it",
);
pub(super) const TENANT_MIGRATIONS_IN_SHARED: Check = error(
    "BH011",
    "drop these tables from the shared schema, and the versions from its \
     __diesel_schema_migrations; run migrations with `boardinghouse migrate` only",
);
pub(super) const SHADOWED: Check = warning(
    "BH012",
    "rename the table in one of the two: where a tenant lacks it, the shared one is read and written",
);
pub(super) const PENDING: Check = warning("BH013", "run `boardinghouse migrate`");
pub(super) const UNKNOWN_VERSIONS: Check = warning(
    "BH014",
    "look whether the migrations are older than the database, or a migration was deleted",
);
pub(super) const UNFINISHED: Check = warning(
    "BH015",
    "run `boardinghouse provision` for it; where that has failed, the log says why; or delete the tenant",
);
pub(super) const ROLE_SCHEMA: Check = warning(
    "BH016",
    "set a search_path without \"$user\" for the role, or rename the schema: other programs of \
     this role work in that schema without asking for it",
);
pub(super) const SHARED_REFERS_TENANT: Check = error(
    "BH017",
    "drop the foreign key: it holds for one tenant's rows alone, and refer from the tenants' table to \
     the shared one instead",
);
pub(super) const ADDRESS_TWICE: Check = error(
    "BH018",
    "take the address from one of the two: requests for it reach the other alone",
);
