//! `boardinghouse tenant …`

use boardinghouse_core::{ForTenant, MissingSchema, NewTenant, Provisioner, Tenant, TenantId};

use crate::{
    args::{Create, Provision, Repair, TenantCommand},
    confirm::Consent,
    context::Context,
    exit::{Exit, Failure},
    output::Output,
    render::tenant::{
        DeletedReport, MissingReport, ProvisionReport, RepairReport, TenantList, TenantReport,
    },
};

pub(super) fn run(
    context: &Context,
    output: &Output,
    command: TenantCommand,
) -> Result<Exit, Failure> {
    match command {
        TenantCommand::Create(new) => create(context, output, new),
        TenantCommand::List => list(context, output),
        TenantCommand::Show { id } => show(context, output, context.registry()?.get(&id)?),
        TenantCommand::Rename { id, new_id } => rename(context, output, &id, &new_id),
        TenantCommand::Suspend { id } => show(
            context,
            output,
            Provisioner::new(context.pool()?).suspend(&id)?,
        ),
        TenantCommand::Resume { id } => show(
            context,
            output,
            Provisioner::new(context.pool()?).resume(&id)?,
        ),
        TenantCommand::Delete { id } => delete(context, output, &id),
    }
}

fn create(context: &Context, output: &Output, create: Create) -> Result<Exit, Failure> {
    let mut new = NewTenant::new(create.id);
    if let Some(name) = create.name {
        new = new.display_name(name);
    }
    for address in create.domains {
        context.must_not_be_static(&address)?;
        new = new.address(address);
    }
    let kinds = &context.config().kinds;
    if let Some(kind) = create.kind {
        if !kinds.is_empty() && !kinds.contains_key(&kind) {
            output.note(&format!(
                "note: boardinghouse.toml names no migrations of kind {kind}: it gets what all tenants get"
            ));
        }
        new = new.kind(kind);
    }
    for (key, value) in create.attributes {
        new = new.attribute(key, value);
    }
    match create.adopt {
        Some(schema) => {
            context.layout().tenant_schema(&schema)?;
            new = new.adopt(schema);
        }
        // Names are refused before anything is connected to.
        None => drop(context.layout().schema_for(new.id())?),
    }
    let source = match &create.clone {
        Some(tenant) => Some(context.registry()?.get(tenant)?.schema().clone()),
        None => create.template,
    };
    if create.defer {
        new = new.deferred();
    }
    let from_template = source.is_none();
    if let Some(source) = source {
        new = new.copy_of(source);
    }
    let tenant = Provisioner::new(context.pool()?).create(&new)?;
    let adopted = tenant.is_adopted() || !from_template;
    if create.defer {
        let id = tenant.id().clone();
        show(context, output, tenant)?;
        output.note(&format!(
            "note: it has no schema yet, and is not served: run `boardinghouse provision {id}`"
        ));
        return Ok(Exit::Done);
    }
    show(context, output, tenant)?;
    // The tenant is there: what cannot be found out now is no failure.
    if !adopted && output.is_for_people() && context.template_has_tables().is_ok_and(|has| !has) {
        output.note("note: the template has no tables yet: run `boardinghouse migrate`");
    }
    Ok(Exit::Done)
}

pub(super) fn provision(
    context: &Context,
    output: &Output,
    wanted: &Provision,
) -> Result<Exit, Failure> {
    let provisioner = Provisioner::new(context.pool()?);
    let provisioned = if wanted.pending {
        provisioner.provision_pending()?.entries
    } else {
        let registry = context.registry()?;
        // All of them are looked for before anything is done.
        let tenants = wanted.tenants.iter().map(|id| registry.get(id));
        let tenants: Vec<Tenant> = tenants.collect::<Result<_, _>>()?;
        let provision = |tenant: Tenant| {
            let result = provisioner.provision(tenant.id());
            ForTenant::new(tenant, result)
        };
        tenants.into_iter().map(provision).collect()
    };
    output.report(&ProvisionReport(&provisioned))?;
    Ok(match provisioned.iter().all(|entry| entry.result.is_ok()) {
        true => Exit::Done,
        false => Exit::Failed,
    })
}

pub(super) fn repair(context: &Context, output: &Output, wanted: &Repair) -> Result<Exit, Failure> {
    let registry = context.registry()?;
    // All of them are looked for before anything is done.
    let named = wanted.tenants.iter().map(|id| registry.get(id));
    let named: Vec<Tenant> = named.collect::<Result<_, _>>()?;
    let provisioner = Provisioner::new(context.pool()?);
    let mut missing = provisioner.missing_schemas()?;
    if !named.is_empty() {
        missing.retain(|missing| wanted.tenants.contains(missing.tenant.id()));
    }
    if wanted.dry_run {
        output.report(&MissingReport(&missing))?;
        return Ok(Exit::Done);
    }
    let made: Vec<&TenantId> = missing
        .iter()
        .filter(|missing| missing.now_called.is_none() && !missing.tenant.is_adopted())
        .map(|missing| missing.tenant.id())
        .collect();
    if !made.is_empty() {
        let consequence = format!(
            "These tenants get new schemas, without the rows that they had: {}.",
            names(&made)
        );
        let consent = Consent::required(context.globals()).map_err(|refused| {
            Failure::usage(format!("{consequence} {refused}; --dry-run shows more"))
        })?;
        consent.for_word("repair", &consequence, output)?;
    }
    let others = named.into_iter().filter(|tenant| {
        let is_it = |missing: &MissingSchema| missing.tenant.id() == tenant.id();
        !missing.iter().any(is_it)
    });
    let mut repaired: Vec<_> = others
        .map(|tenant| ForTenant::new(tenant, Ok(None)))
        .collect();
    for MissingSchema { tenant, .. } in missing {
        let result = provisioner.repair(tenant.id());
        repaired.push(ForTenant::new(tenant, result));
    }
    repaired.sort_by(|one, other| one.tenant.id().cmp(other.tenant.id()));
    output.report(&RepairReport(&repaired))?;
    let any = repaired
        .iter()
        .any(|entry| matches!(entry.result, Ok(Some(_))));
    if any && output.is_for_people() && context.template_has_tables().is_ok_and(|has| !has) {
        output.note("note: the template has no tables: run `boardinghouse migrate`");
    }
    Ok(match repaired.iter().all(|entry| entry.result.is_ok()) {
        true => Exit::Done,
        false => Exit::Failed,
    })
}

/// The first few of them.
fn names(ids: &[&TenantId]) -> String {
    const MOST: usize = 10;
    let first = ids.iter().take(MOST).map(ToString::to_string);
    let first = first.collect::<Vec<_>>().join(", ");
    match ids.len().checked_sub(MOST) {
        None | Some(0) => first,
        Some(more) => format!("{first} and {more} more"),
    }
}

fn list(context: &Context, output: &Output) -> Result<Exit, Failure> {
    let registry = context.registry()?;
    let list = TenantList::new(registry.list()?, registry.all_domains()?);
    output.report(&list)?;
    Ok(Exit::Done)
}

fn show(context: &Context, output: &Output, tenant: Tenant) -> Result<Exit, Failure> {
    let registry = context.registry()?;
    let report = TenantReport {
        domains: registry.domains(tenant.id())?,
        members: registry.member_count(tenant.id())?,
        tenant,
    };
    output.report(&report)?;
    Ok(Exit::Done)
}

fn rename(
    context: &Context,
    output: &Output,
    id: &TenantId,
    new_id: &TenantId,
) -> Result<Exit, Failure> {
    // Names are refused before anything is connected to.
    context.layout().schema_for(new_id)?;
    let renamed = Provisioner::new(context.pool()?).rename(id, new_id)?;
    show(context, output, renamed)
}

fn delete(context: &Context, output: &Output, id: &TenantId) -> Result<Exit, Failure> {
    let consent = Consent::required(context.globals())?;
    let tenant = context.registry()?.get(id)?;
    let schema = tenant.schema();
    let consequence = if !tenant.status().has_schema() {
        format!("This deletes tenant {id}, which has no schema yet.")
    } else if tenant.is_adopted() {
        format!("This deletes tenant {id}. Its schema {schema} was adopted and is kept.")
    } else {
        format!("This deletes tenant {id} and drops schema {schema} with all its rows.")
    };
    consent.for_tenant(id, &consequence, output)?;
    // Whoever has the id by now may be another.
    let deleted = Provisioner::new(context.pool()?).delete_this(&tenant)?;
    output.report(&DeletedReport(&deleted))?;
    Ok(Exit::Done)
}
