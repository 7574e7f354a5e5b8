//! Tenants.

use boardinghouse_core::{Deleted, Domain, Tenant};
use serde::Serialize;

use super::{finished, plain, table};
use crate::output::Report;

/// A tenant with its domains.
#[derive(Debug, Serialize)]
pub(crate) struct TenantReport {
    #[serde(flatten)]
    pub(crate) tenant: Tenant,
    pub(crate) domains: Vec<Domain>,
}

impl Report for TenantReport {
    fn human(&self) -> String {
        let Self { tenant, domains } = self;
        let adopted = if tenant.is_adopted() {
            " (adopted)"
        } else {
            ""
        };
        let mut table = plain();
        table.add_row(["id", tenant.id().as_str()]);
        table.add_row(["name", tenant.display_name()]);
        table.add_row(["status", tenant.status().as_str()]);
        table.add_row(["schema".to_owned(), format!("{}{adopted}", tenant.schema())]);
        for domain in domains {
            let primary = if domain.is_primary { " (primary)" } else { "" };
            table.add_row(["domain".to_owned(), format!("{}{primary}", domain.name)]);
        }
        for (key, value) in tenant.attributes() {
            table.add_row(["attribute".to_owned(), format!("{key} = {value}")]);
        }
        finished(&table)
    }
}

/// All tenants.
#[derive(Debug, Serialize)]
pub(crate) struct TenantList(pub(crate) Vec<Tenant>);

impl Report for TenantList {
    fn human(&self) -> String {
        if self.0.is_empty() {
            return "no tenants".to_owned();
        }
        let row = |tenant: &Tenant| {
            [
                tenant.id().to_string(),
                tenant.display_name().to_owned(),
                tenant.status().to_string(),
                tenant.schema().to_string(),
            ]
        };
        table(["id", "name", "status", "schema"], self.0.iter().map(row))
    }
}

/// A tenant that is gone.
#[derive(Debug, Serialize)]
#[serde(transparent)]
pub(crate) struct DeletedReport<'a>(pub(crate) &'a Deleted);

impl Report for DeletedReport<'_> {
    fn human(&self) -> String {
        let tenant = &self.0.tenant;
        let schema = match (self.0.schema_dropped, tenant.is_adopted()) {
            (true, _) => "dropped",
            (false, true) => "was adopted and is kept",
            (false, false) => "was gone already",
        };
        format!(
            "deleted tenant {}; schema {} {schema}",
            tenant.id(),
            tenant.schema()
        )
    }
}
