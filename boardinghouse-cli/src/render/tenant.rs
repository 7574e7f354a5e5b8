//! Tenants.

use std::collections::HashMap;

use boardinghouse_core::{Deleted, Domain, ForTenant, MissingSchema, Tenant, TenantId};
use serde::{Serialize, Serializer};
use serde_json::json;

use super::{finished, people::used, plain, table};
use crate::output::Report;

/// A tenant with its domains.
#[derive(Debug, Serialize)]
pub(crate) struct TenantReport {
    #[serde(flatten)]
    pub(crate) tenant: Tenant,
    pub(crate) domains: Vec<Domain>,
    /// How many there are.
    pub(crate) members: i64,
}

impl Report for TenantReport {
    fn human(&self) -> String {
        let Self {
            tenant,
            domains,
            members,
        } = self;
        let adopted = if tenant.is_adopted() {
            " (adopted)"
        } else {
            ""
        };
        let mut table = plain();
        table.add_row(["id", tenant.id().as_str()]);
        table.add_row(["name", tenant.display_name()]);
        table.add_row(["status", tenant.status().as_str()]);
        if let Some(kind) = tenant.kind() {
            table.add_row(["kind", kind]);
        }
        table.add_row(["schema".to_owned(), format!("{}{adopted}", tenant.schema())]);
        for domain in domains {
            let used = match used(domain) {
                "" => String::new(),
                used => format!(" ({used})"),
            };
            table.add_row(["domain".to_owned(), format!("{domain}{used}")]);
        }
        if *members > 0 {
            table.add_row(["members".to_owned(), members.to_string()]);
        }
        for (key, value) in tenant.attributes() {
            table.add_row(["attribute".to_owned(), format!("{key} = {value}")]);
        }
        finished(&table)
    }
}

/// All tenants.
#[derive(Debug, Serialize)]
#[serde(transparent)]
pub(crate) struct TenantList(Vec<Listed>);

#[derive(Debug, Serialize)]
struct Listed {
    #[serde(flatten)]
    tenant: Tenant,
    /// The primary one first.
    domains: Vec<Domain>,
}

impl TenantList {
    pub(crate) fn new(tenants: Vec<Tenant>, domains: Vec<(TenantId, Domain)>) -> Self {
        let mut of: HashMap<TenantId, Vec<Domain>> = HashMap::new();
        for (id, domain) in domains {
            of.entry(id).or_default().push(domain);
        }
        let listed = tenants.into_iter().map(|tenant| Listed {
            domains: of.remove(tenant.id()).unwrap_or_default(),
            tenant,
        });
        Self(listed.collect())
    }
}

impl Report for TenantList {
    /// A column that would be empty is left out.
    fn human(&self) -> String {
        if self.0.is_empty() {
            return "no tenants".to_owned();
        }
        let kinds = self.0.iter().any(|listed| listed.tenant.kind().is_some());
        let domains = self.0.iter().any(|listed| !listed.domains.is_empty());
        let row = |Listed {
                       tenant,
                       domains: of,
                   }: &Listed| {
            let mut row = vec![
                tenant.id().to_string(),
                tenant.display_name().to_owned(),
                tenant.status().to_string(),
            ];
            if kinds {
                row.push(tenant.kind().unwrap_or("-").to_owned());
            }
            row.push(tenant.schema().to_string());
            if domains {
                row.push(match of.as_slice() {
                    [] => "-".to_owned(),
                    [only] => only.to_string(),
                    [primary, more @ ..] => format!("{primary} and {} more", more.len()),
                });
            }
            row
        };
        let header = ["ID", "NAME", "STATUS"].into_iter();
        let header = header.chain(kinds.then_some("KIND")).chain(["SCHEMA"]);
        let mut table = plain();
        table.set_header(header.chain(domains.then_some("DOMAIN")));
        table.add_rows(self.0.iter().map(row));
        finished(&table)
    }
}

/// What became of tenants that had no schema.
#[derive(Debug)]
pub(crate) struct ProvisionReport<'a>(pub(crate) &'a [ForTenant<Tenant>]);

/// One object a tenant, with what it is now, or why it has failed.
impl Serialize for ProvisionReport<'_> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_seq(self.0.iter().map(|entry| match &entry.result {
            Ok(tenant) => json!({ "tenant": tenant.id(), "status": tenant.status() }),
            Err(error) => json!({
                "tenant": entry.tenant.id(),
                "kind": format!("{:?}", error.kind()),
                "error": error.chain(),
            }),
        }))
    }
}

impl Report for ProvisionReport<'_> {
    fn human(&self) -> String {
        if self.0.is_empty() {
            return "nothing to do".to_owned();
        }
        let row = |entry: &ForTenant<Tenant>| {
            let (result, reason) = match &entry.result {
                Ok(tenant) => (tenant.status().to_string(), String::new()),
                Err(error) => ("failed".to_owned(), error.chain()),
            };
            [entry.tenant.id().to_string(), result, reason]
        };
        table(["tenant", "result", "reason"], self.0.iter().map(row))
    }
}

/// Tenants that were selected.
#[derive(Debug, Serialize)]
#[serde(transparent)]
pub(crate) struct SelectedReport<'a>(pub(crate) &'a [Tenant]);

impl Report for SelectedReport<'_> {
    fn human(&self) -> String {
        if self.0.is_empty() {
            return "no tenants".to_owned();
        }
        let row = |tenant: &Tenant| {
            let (id, schema) = (tenant.id().to_string(), tenant.schema().to_string());
            [id, tenant.status().to_string(), schema]
        };
        table(["id", "status", "schema"], self.0.iter().map(row))
    }
}

/// Tenants whose schemas are missing.
#[derive(Debug, Serialize)]
#[serde(transparent)]
pub(crate) struct MissingReport<'a>(pub(crate) &'a [MissingSchema]);

impl Report for MissingReport<'_> {
    fn human(&self) -> String {
        if self.0.is_empty() {
            return "nothing to do".to_owned();
        }
        let row = |missing: &MissingSchema| {
            let tenant = &missing.tenant;
            let now = match (&missing.now_called, tenant.is_adopted()) {
                (Some(name), _) => format!("it is called {name} now"),
                (None, true) => "it was adopted, and is not made".to_owned(),
                (None, false) => String::new(),
            };
            [tenant.id().to_string(), tenant.schema().to_string(), now]
        };
        table(["tenant", "missing", "note"], self.0.iter().map(row))
    }
}

/// What became of tenants whose schemas were missing, or were thought to be.
#[derive(Debug)]
pub(crate) struct RepairReport<'a>(pub(crate) &'a [ForTenant<Option<Tenant>>]);

/// One object a tenant.
impl Serialize for RepairReport<'_> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_seq(self.0.iter().map(|entry| match &entry.result {
            Ok(repaired) => json!({
                "tenant": entry.tenant.id(),
                "schema": entry.tenant.schema(),
                "repaired": repaired.is_some(),
            }),
            Err(error) => json!({
                "tenant": entry.tenant.id(),
                "schema": entry.tenant.schema(),
                "kind": format!("{:?}", error.kind()),
                "error": error.chain(),
            }),
        }))
    }
}

impl Report for RepairReport<'_> {
    fn human(&self) -> String {
        if self.0.is_empty() {
            return "nothing to do".to_owned();
        }
        let row = |ForTenant { tenant, result, .. }: &ForTenant<Option<Tenant>>| {
            let (result, reason) = match result {
                Ok(Some(_)) => ("repaired", String::new()),
                Ok(None) if tenant.status().has_schema() => ("nothing to do", String::new()),
                Ok(None) => (
                    "nothing to do",
                    format!("it is {}: see `boardinghouse provision`", tenant.status()),
                ),
                Err(error) => ("failed", error.chain()),
            };
            let (id, schema) = (tenant.id().to_string(), tenant.schema().to_string());
            [id, schema, result.to_owned(), reason]
        };
        table(
            ["tenant", "schema", "result", "reason"],
            self.0.iter().map(row),
        )
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
            (false, false) if !tenant.status().has_schema() => "was not made yet",
            (false, false) => "was gone already",
        };
        format!(
            "deleted tenant {}; schema {} {schema}",
            tenant.id(),
            tenant.schema()
        )
    }
}
