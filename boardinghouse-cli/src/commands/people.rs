//! `boardinghouse domain …` and `boardinghouse member …`

use boardinghouse_core::{Address, DomainUse, Error, ErrorKind, TenantId};

use crate::{
    args::{AddDomain, DomainCommand, MemberCommand},
    confirm::Consent,
    context::Context,
    exit::{Exit, Failure},
    output::Output,
    render::people::{DomainsReport, MembersReport},
};

pub(super) fn domain(
    context: &Context,
    output: &Output,
    command: DomainCommand,
) -> Result<Exit, Failure> {
    let registry = context.registry()?;
    match command {
        DomainCommand::Add(new) => add(context, output, &new),
        DomainCommand::List { tenant: None } => {
            let all = registry.all_domains()?;
            output.report(&DomainsReport::new(all))?;
            Ok(Exit::Done)
        }
        DomainCommand::List { tenant: Some(id) } => show(context, output, &id),
        DomainCommand::Remove { domain } => remove(context, output, &domain),
        DomainCommand::Primary { domain } => {
            registry.set_primary_domain(&domain)?;
            show_tenant_of(context, output, &domain)
        }
        DomainCommand::Redirect { domain, off } => {
            let changed = registry.set_redirect(&domain, !off)?;
            if changed.is_primary && !off {
                output.note("note: it is the primary one, which is never sent on");
            }
            show_tenant_of(context, output, &domain)
        }
    }
}

fn add(context: &Context, output: &Output, new: &AddDomain) -> Result<Exit, Failure> {
    context.must_not_be_static(&new.domain)?;
    let usage = match (new.primary, new.redirect) {
        (true, _) => DomainUse::Primary,
        (false, true) => DomainUse::Redirect,
        (false, false) => DomainUse::Alias,
    };
    let added = context
        .registry()?
        .add_domain(&new.tenant, &new.domain, usage)?;
    if new.redirect && added.is_primary {
        output.note("note: it is the only one, and so the primary one, which is never sent on");
    }
    show(context, output, &new.tenant)
}

fn remove(context: &Context, output: &Output, domain: &Address) -> Result<Exit, Failure> {
    let consent = Consent::required(context.globals())?;
    let nowhere = || {
        let message = format!("domain {domain} leads to no tenant");
        Error::new(ErrorKind::TenantNotFound, message)
    };
    let registry = context.registry()?;
    let route = registry.find_by_address(domain)?.ok_or_else(nowhere)?;
    let id = route.tenant.id();
    let consequence = format!("Domain {domain} then leads to tenant {id} no longer.");
    consent.for_word(&domain.to_string(), &consequence, output)?;
    let id = registry.remove_domain(domain)?.ok_or_else(nowhere)?;
    show(context, output, &id)
}

fn show_tenant_of(context: &Context, output: &Output, domain: &Address) -> Result<Exit, Failure> {
    match context.registry()?.find_by_address(domain)? {
        Some(route) => show(context, output, route.tenant.id()),
        // It was removed meanwhile.
        None => show_none(output),
    }
}

fn show_none(output: &Output) -> Result<Exit, Failure> {
    output.report(&DomainsReport::new(Vec::new()))?;
    Ok(Exit::Done)
}

fn show(context: &Context, output: &Output, id: &TenantId) -> Result<Exit, Failure> {
    let registry = context.registry()?;
    registry.get(id)?;
    let domains = registry.domains(id)?.into_iter();
    let domains = domains.map(|domain| (id.clone(), domain)).collect();
    output.report(&DomainsReport::new(domains))?;
    Ok(Exit::Done)
}

pub(super) fn member(
    context: &Context,
    output: &Output,
    command: MemberCommand,
) -> Result<Exit, Failure> {
    let registry = context.registry()?;
    let report = match command {
        MemberCommand::Add { tenant, user, role } => {
            let members = registry.members(&tenant)?;
            let is_now = members.into_iter().find(|(other, _)| *other == user);
            // Who is a member keeps the role, unless another is said.
            let role = role.or(is_now.map(|(_, role)| role));
            registry.add_member(&user, &tenant, role.as_deref().unwrap_or("member"))?;
            MembersReport::of_tenant(&tenant, registry.members(&tenant)?)
        }
        MemberCommand::List(of) => match (of.tenant, of.user) {
            (Some(tenant), _) => {
                registry.get(&tenant)?;
                MembersReport::of_tenant(&tenant, registry.members(&tenant)?)
            }
            (None, user) => {
                let user = user.unwrap_or_default();
                let memberships = registry.memberships(&user)?;
                MembersReport::of_user(&user, &memberships)
            }
        },
        MemberCommand::Remove { tenant, user } => {
            registry.get(&tenant)?;
            if !registry.remove_member(&user, &tenant)? {
                let message = format!("user {user} is no member of tenant {tenant}");
                return Err(Failure::usage(message));
            }
            MembersReport::of_tenant(&tenant, registry.members(&tenant)?)
        }
    };
    output.report(&report)?;
    Ok(Exit::Done)
}
