//! Where tenants are found, and who belongs to them.

use boardinghouse_core::{Domain, Membership, TenantId, TenantStatus};
use serde::Serialize;

use super::table;
use crate::output::Report;

/// Domains, each with its tenant.
#[derive(Debug, Serialize)]
#[serde(transparent)]
pub(crate) struct DomainsReport(Vec<DomainOf>);

#[derive(Debug, Serialize)]
struct DomainOf {
    tenant: TenantId,
    #[serde(flatten)]
    domain: Domain,
}

impl DomainsReport {
    pub(crate) fn new(domains: Vec<(TenantId, Domain)>) -> Self {
        let domains = domains.into_iter();
        Self(
            domains
                .map(|(tenant, domain)| DomainOf { tenant, domain })
                .collect(),
        )
    }
}

impl Report for DomainsReport {
    fn human(&self) -> String {
        if self.0.is_empty() {
            return "no domains".to_owned();
        }
        let row = |DomainOf { tenant, domain }: &DomainOf| {
            [
                tenant.to_string(),
                domain.to_string(),
                used(domain).to_owned(),
            ]
        };
        table(["tenant", "domain", "use"], self.0.iter().map(row))
    }
}

/// What a domain is for, in a word.
pub(super) fn used(domain: &Domain) -> &'static str {
    match (domain.is_primary, domain.redirect_to_primary) {
        (true, _) => "primary",
        (false, true) => "redirect",
        (false, false) => "",
    }
}

/// Users, each with a tenant.
#[derive(Debug, Serialize)]
#[serde(transparent)]
pub(crate) struct MembersReport(Vec<MemberOf>);

#[derive(Debug, Serialize)]
struct MemberOf {
    user: String,
    tenant: TenantId,
    role: String,
    /// Of the tenant, where tenants were asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<TenantStatus>,
}

impl MembersReport {
    pub(crate) fn of_tenant(tenant: &TenantId, members: Vec<(String, String)>) -> Self {
        let member = |(user, role)| MemberOf {
            user,
            tenant: tenant.clone(),
            role,
            status: None,
        };
        Self(members.into_iter().map(member).collect())
    }

    pub(crate) fn of_user(user: &str, memberships: &[Membership]) -> Self {
        let member = |membership: &Membership| MemberOf {
            user: user.to_owned(),
            tenant: membership.tenant.id().clone(),
            role: membership.role.clone(),
            status: Some(membership.tenant.status()),
        };
        Self(memberships.iter().map(member).collect())
    }
}

impl Report for MembersReport {
    fn human(&self) -> String {
        if self.0.is_empty() {
            return "nobody is a member".to_owned();
        }
        let row = |member: &MemberOf| {
            [
                member.user.clone(),
                member.tenant.to_string(),
                member.role.clone(),
            ]
        };
        if self.0.iter().all(|member| member.status.is_none()) {
            return table(["user", "tenant", "role"], self.0.iter().map(row));
        }
        let row = |member: &MemberOf| {
            let [user, tenant, role] = row(member);
            let status = member.status.map_or("", TenantStatus::as_str).to_owned();
            [user, tenant, role, status]
        };
        table(["user", "tenant", "role", "status"], self.0.iter().map(row))
    }
}
