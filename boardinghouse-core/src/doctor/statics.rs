//! What the configuration names, and how it fits to what the registry has.

use std::collections::BTreeSet;

use diesel::PgConnection;

use super::{
    catalog::{self, Presence},
    finding::{self, Checkup},
};
use crate::{
    domain::{Address, DomainName, FolderName},
    error::Result,
    names::TenantId,
    registry,
    statics::{StaticTenant, StaticTenants},
};

/// Those whose schemas this role may not use. One that is missing lacks its migrations, which is told with
/// them.
pub(super) fn forbidden(
    conn: &mut PgConnection,
    statics: &StaticTenants,
    checkup: &mut Checkup,
) -> Result<Vec<TenantId>> {
    let schemas: Vec<_> = statics.iter().map(|own| own.tenant.schema()).collect();
    let presence = catalog::presence(conn, &schemas)?;
    let is_forbidden =
        |own: &&StaticTenant| presence.get(own.tenant.schema()) == Some(&Presence::Forbidden);
    let forbidden = statics.iter().filter(is_forbidden);
    Ok(forbidden
        .map(|own| {
            let (id, schema) = (own.tenant.id(), own.tenant.schema());
            let message = format!("static tenant {id}: this role may not use its schema {schema}");
            checkup.add(&finding::SCHEMA_FORBIDDEN, Some(id), message);
            id.clone()
        })
        .collect())
}

/// Addresses that lead to one of them and, by the registry, to a tenant.
pub(super) fn addresses(
    conn: &mut PgConnection,
    statics: &StaticTenants,
    checkup: &mut Checkup,
) -> Result<()> {
    let addresses = statics.iter().flat_map(|own| &own.addresses);
    let domains: BTreeSet<&str> = addresses.map(|a| a.domain.as_str()).collect();
    if domains.is_empty() {
        return Ok(());
    }
    for (domain, folder, tenant) in registry::holders(conn, domains)? {
        // What no request can name leads nowhere.
        let Ok(domain) = DomainName::parse(&domain) else {
            continue;
        };
        let folder = match folder.as_str() {
            "" => None,
            folder => match FolderName::parse(folder) {
                Ok(folder) => Some(folder),
                Err(_) => continue,
            },
        };
        let first = statics.by_address(&domain, folder.as_ref());
        let last = || statics.fallback_for(&domain).filter(|_| folder.is_none());
        let Some(own) = first.or_else(last) else {
            continue;
        };
        let which = match first {
            Some(_) => "the static one",
            None => "the tenant, because the static one is a fallback",
        };
        let (own, address) = (
            own.tenant.id(),
            Address::new(domain.clone(), folder.clone()),
        );
        let message = format!(
            "{address} is of static tenant {own} and of tenant {tenant}: it leads to {which}"
        );
        checkup.add(
            &finding::ADDRESS_TWICE,
            tenant.parse().ok().as_ref(),
            message,
        );
    }
    Ok(())
}
