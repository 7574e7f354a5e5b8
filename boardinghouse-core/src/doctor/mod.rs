//! Looks a database over: is everything there, does it fit together, can tenants be created.

mod catalog;
mod finding;
mod pooler;
mod statics;

use std::collections::{HashMap, HashSet};

use diesel::PgConnection;

use self::{
    catalog::{Presence, Tables},
    finding::Check,
};
pub use self::{
    finding::{Checkup, Finding, Severity},
    pooler::{ModeVerdict, PoolerCheckup, Verdict},
};
use crate::{
    error::{Error, ErrorKind, Result},
    layout::Layout,
    migrate::{MigrationPlan, Migrator, PlannedTarget, Selection, Target},
    names::{SchemaName, TenantId},
    pool::TenantPool,
    registry::{self, RegistryState},
    session::Session,
    statics::StaticTenants,
    template::Template,
    tenant::{Tenant, TenantStatus},
};

/// Looks a database over. It writes nothing, and no number of tenants makes it slow.
///
/// # Examples
///
/// ```no_run
/// use boardinghouse_core::{Doctor, TenantPool};
///
/// let pool = TenantPool::builder().build("postgres://localhost/app")?;
/// let checkup = Doctor::new(pool).check()?;
/// for finding in &checkup.findings {
///     eprintln!("{} {}: {}", finding.code, finding.severity, finding.message);
/// }
/// assert!(!checkup.has_errors());
/// # Ok::<(), boardinghouse_core::Error>(())
/// ```
#[derive(Debug)]
pub struct Doctor<'a> {
    pool: TenantPool,
    migrator: Option<&'a Migrator>,
    statics: Option<&'a StaticTenants>,
}

impl<'a> Doctor<'a> {
    /// A doctor for the pool's database.
    #[must_use]
    pub fn new(pool: TenantPool) -> Self {
        Self {
            pool,
            migrator: None,
            statics: None,
        }
    }

    /// Sets the migrations that the database should have. Defaults to none: versions are then not
    /// looked at.
    #[must_use]
    pub fn migrations(mut self, migrator: &'a Migrator) -> Self {
        self.migrator = Some(migrator);
        self
    }

    /// Sets the tenants of the configuration, whose addresses and schemas are to be theirs alone. Defaults to
    /// none. Where the [`migrations`](Self::migrations) are theirs alone, too, nothing else needs to be there.
    #[must_use]
    pub fn statics(mut self, statics: &'a StaticTenants) -> Self {
        self.statics = Some(statics);
        self
    }

    /// Looks the database over.
    ///
    /// # Errors
    ///
    /// What is wrong is in the [`Checkup`]. An error says that it could not be made:
    /// [`ErrorKind::ConnectionFailed`], [`ErrorKind::Migration`] when the migrations cannot be read,
    /// and [`ErrorKind::Database`], for example when this role may not read the registry.
    pub fn check(&self) -> Result<Checkup> {
        self.pool.require_sessions()?;
        // Not from the pool, whose checkouts fail where the shared schema is missing.
        let mut session = Session::connect(self.pool.url(), self.pool.layout())?;
        let conn = &mut session.pg;
        let mut checkup = Checkup::default();
        let layout = self.pool.layout();
        let own = [layout.shared(), layout.template()].into_iter();
        let of_kinds: Vec<&SchemaName> = match self.migrator {
            Some(migrator) => migrator.kind_templates().collect(),
            None => Vec::new(),
        };
        let own = own.chain(layout.extra()).chain(of_kinds.iter().copied());
        let presence = catalog::presence(conn, &own.collect::<Vec<_>>())?;
        let usable = |schema: &SchemaName| presence.get(schema) == Some(&Presence::Usable);

        let registry = registry::state(conn)
            .map_err(|error| Error::database("look for the registry", error))?;
        // A site of static tenants needs nothing else.
        let alone = registry == RegistryState::Missing
            && presence.get(layout.template()) == Some(&Presence::Missing)
            && self.migrator.is_some_and(Migrator::has_statics_alone);
        let fault = match registry {
            RegistryState::Missing if alone => None,
            RegistryState::Missing => Some("this database has no registry"),
            RegistryState::Older => Some("the registry is older than this program"),
            RegistryState::Current => None,
        };
        if let Some(fault) = fault {
            checkup.add(&finding::REGISTRY_MISSING, None, fault.to_owned());
        }
        own_schemas(layout, &presence, alone, &mut checkup);
        // One of a kind that is missing is told of with the migrations that it lacks.
        for schema in of_kinds.iter().filter(|schema| usable(schema)) {
            template(conn, schema, &mut checkup)?;
        }
        let template = match usable(layout.template()) {
            true => template(conn, layout.template(), &mut checkup)?,
            false => Tables::default(),
        };
        let shared = match usable(layout.shared()) {
            true => catalog::tables(conn, layout.shared())?,
            false => Tables::default(),
        };
        let tenants = match registry {
            RegistryState::Current => tenants(conn, layout, &mut checkup)?,
            RegistryState::Missing | RegistryState::Older => Vec::new(),
        };
        if usable(layout.shared()) {
            foreign_keys(conn, layout, &tenants, &mut checkup)?;
        }
        let mut forbidden = Vec::new();
        if let Some(named) = self.statics {
            forbidden = statics::forbidden(conn, named, &mut checkup)?;
            if registry == RegistryState::Current {
                statics::addresses(conn, named, &mut checkup)?;
            }
        }
        let both = in_both(&template, &shared);
        if let Some(migrator) = self.migrator.filter(|_| usable(layout.shared()))
            && let Some(selection) = whom(migrator, &forbidden)
        {
            versions(
                layout,
                &migrator.plan_by(&selection, true)?,
                &both,
                &mut checkup,
            );
        }
        if !both.is_empty() {
            let shadow = if both.len() == 1 { "shadows" } else { "shadow" };
            let message = format!(
                "{} {shadow} what has the same name in the shared schema {}",
                both.join(", "),
                layout.shared()
            );
            checkup.add(&finding::SHADOWED, None, message);
        }
        if let Some(role) = catalog::role_with_a_schema(conn)? {
            let message = format!(
                "a schema is named like the role {role}, whose default search_path has \"$user\""
            );
            checkup.add(&finding::ROLE_SCHEMA, None, message);
        }
        checkup.findings.sort_by_key(|finding| finding.code);
        Ok(checkup)
    }
}

/// The shared schema, the template and the extra schemas.
fn own_schemas(
    layout: &Layout,
    presence: &HashMap<SchemaName, Presence>,
    alone: bool,
    checkup: &mut Checkup,
) {
    let own = [
        (
            &finding::SHARED_MISSING,
            "the shared schema",
            layout.shared(),
        ),
        (
            &finding::TEMPLATE_MISSING,
            "the template",
            layout.template(),
        ),
    ];
    let extra = layout
        .extra()
        .iter()
        .map(|schema| (&finding::EXTRA_MISSING, "the extra schema", schema));
    for (check, role, schema) in own.into_iter().chain(extra) {
        match presence.get(schema) {
            Some(Presence::Usable) => {}
            Some(Presence::Missing) if alone && schema == layout.template() => {}
            Some(Presence::Forbidden) => checkup.add(
                check,
                None,
                format!("{role} {schema} is there, but this role has no USAGE privilege on it"),
            ),
            Some(Presence::Missing) | None => {
                checkup.add(check, None, format!("{role} {schema} is missing"));
            }
        }
    }
}

/// Whether the template is empty and can be cloned; gives its tables.
fn template(conn: &mut PgConnection, schema: &SchemaName, checkup: &mut Checkup) -> Result<Tables> {
    let tables = catalog::tables(conn, schema)?;
    let filled = catalog::tables_with_rows(conn, schema, &tables.tables)?;
    if !filled.is_empty() {
        let message = format!("the template {schema} holds rows in: {}", filled.join(", "));
        checkup.add(&finding::TEMPLATE_HAS_ROWS, None, message);
    }
    match Template::new(schema.clone()).compile(conn) {
        Ok(_) => {}
        Err(error) if error.kind() == ErrorKind::TemplateUnsupported => {
            checkup.add(&finding::TEMPLATE_UNSUPPORTED, None, error.to_string());
        }
        Err(error) => return Err(error),
    }
    Ok(tables)
}

/// Every row of the registry: its schema, its names, its status. Gives the tenants.
fn tenants(conn: &mut PgConnection, layout: &Layout, checkup: &mut Checkup) -> Result<Vec<Tenant>> {
    let tenants = registry::list(conn)?;
    let schemas: Vec<&SchemaName> = tenants.iter().map(Tenant::schema).collect();
    let presence = catalog::presence(conn, &schemas)?;
    let moved: HashMap<TenantId, SchemaName> = registry::without_schema(conn, None)?
        .into_iter()
        .filter_map(|missing| Some((missing.tenant.id().clone(), missing.now_called?)))
        .collect();
    checkup.tenants = tenants.len();
    for tenant in &tenants {
        let presence = presence.get(tenant.schema()).copied();
        for (check, message) in one_tenant(layout, tenant, presence, moved.get(tenant.id())) {
            checkup.add(check, Some(tenant.id()), message);
        }
    }
    Ok(tenants)
}

/// Foreign keys from shared tables to those of a tenant, or of the template.
fn foreign_keys(
    conn: &mut PgConnection,
    layout: &Layout,
    tenants: &[Tenant],
    checkup: &mut Checkup,
) -> Result<()> {
    let whose: HashMap<&str, &TenantId> = tenants
        .iter()
        .map(|tenant| (tenant.schema().as_str(), tenant.id()))
        .collect();
    for key in catalog::leading_out(conn, layout.shared())? {
        let tenant = whose.get(key.target_schema.as_str()).copied();
        let is_template = key.target_schema == layout.template().as_str()
            || layout.is_kind_template(&key.target_schema);
        if tenant.is_none() && !is_template {
            continue;
        }
        let message = format!(
            "the shared table {} has a foreign key, {}, to {} in schema {}",
            key.table, key.name, key.target, key.target_schema
        );
        checkup.add(&finding::SHARED_REFERS_TENANT, tenant, message);
    }
    Ok(())
}

fn one_tenant(
    layout: &Layout,
    tenant: &Tenant,
    presence: Option<Presence>,
    now_called: Option<&SchemaName>,
) -> Vec<(&'static Check, String)> {
    let (id, schema) = (tenant.id(), tenant.schema());
    let mut found = Vec::new();
    if layout.extra().contains(schema) {
        let message = format!("tenant {id} lives in {schema}, an extra schema on every path");
        found.push((&finding::EXTRA_IS_TENANT, message));
    } else if let Err(error) = layout.tenant_schema(schema) {
        found.push((&finding::RESERVED, format!("tenant {id}: {error}")));
    }
    if layout.reserves(id) {
        let message = format!("tenant id {id} is reserved by the configuration");
        found.push((&finding::RESERVED, message));
    }
    match (tenant.status(), presence) {
        (TenantStatus::Ready | TenantStatus::Suspended, Some(Presence::Usable)) => {}
        (TenantStatus::Ready | TenantStatus::Suspended, Some(Presence::Forbidden)) => {
            let message = format!("tenant {id}: this role may not use its schema {schema}");
            found.push((&finding::SCHEMA_FORBIDDEN, message));
        }
        (TenantStatus::Ready | TenantStatus::Suspended, _) => {
            let mut message = format!("tenant {id}: its schema {schema} is missing");
            if let Some(name) = now_called {
                message += &format!("; it is called {name} now");
            }
            found.push((&finding::SCHEMA_MISSING, message));
        }
        (status, _) => found.push((
            &finding::UNFINISHED,
            format!("tenant {id} is {status} and not served"),
        )),
    }
    found
}

fn in_both(template: &Tables, shared: &Tables) -> Vec<String> {
    let shared: HashSet<&String> = shared.all().collect();
    let mut both: Vec<String> = template
        .all()
        .filter(|name| shared.contains(name))
        .cloned()
        .collect();
    both.sort_unstable();
    both
}

/// Whose versions are looked at. Where the migrations are those of static tenants, whom this role may not read
/// is left out.
fn whom(migrator: &Migrator, forbidden: &[TenantId]) -> Option<Selection> {
    if !migrator.has_statics_alone() {
        return Some(Selection::All);
    }
    let readable = migrator.static_ids().filter(|id| !forbidden.contains(id));
    let readable: Vec<TenantId> = readable.cloned().collect();
    // An empty selection would be all of them.
    (!readable.is_empty()).then_some(Selection::Static(readable))
}

/// What is pending, and what was applied that nobody knows.
fn versions(layout: &Layout, plan: &MigrationPlan, both: &[String], checkup: &mut Checkup) {
    // Also those that the template lacks: Diesel may have been run before `boardinghouse migrate` was.
    let of_tenants: HashSet<String> = plan
        .targets
        .iter()
        .filter(|planned| matches!(planned.target, Target::Template { .. }))
        .flat_map(|planned| {
            let pending = planned.pending.iter().map(|name| version(name));
            pending.chain(planned.applied.iter().cloned())
        })
        .collect();
    for planned in plan.targets.iter().filter(|planned| !planned.exists) {
        let is_of_kind = |schema: &SchemaName| layout.is_kind_template(schema.as_str());
        match &planned.target {
            Target::Static { .. } => {}
            Target::Template { schema } if is_of_kind(schema) => {}
            _ => continue,
        }
        let message = format!("{}: its schema is missing", planned.target);
        checkup.add(&finding::PENDING, planned.target.tenant_id(), message);
    }
    // What else is missing altogether is told elsewhere.
    for planned in plan.targets.iter().filter(|planned| planned.exists) {
        let PlannedTarget { target, .. } = planned;
        if !planned.pending.is_empty() {
            let message = format!("{target} lacks: {}", planned.pending.join(", "));
            checkup.add(&finding::PENDING, target.tenant_id(), message);
        }
        let is_shared = matches!(target, Target::Shared { .. });
        let (strays, unknown): (Vec<&str>, Vec<&str>) = planned
            .unknown
            .iter()
            .map(String::as_str)
            .partition(|&version| is_shared && of_tenants.contains(version));
        if !strays.is_empty() {
            let tables = match both {
                [] => "not known, because the template has none of their names".to_owned(),
                both => both.join(", "),
            };
            let message = format!(
                "tenant migrations were run in the {target}: {}; tenant tables in shared schema: \
                 {tables}",
                strays.join(", ")
            );
            checkup.add(&finding::TENANT_MIGRATIONS_IN_SHARED, None, message);
        }
        let (others, unknown): (Vec<&str>, Vec<&str>) = unknown
            .into_iter()
            .partition(|&version| planned.of_other_kinds.contains_key(version));
        if !others.is_empty() {
            let kind =
                |version: &&str| format!("{version} of kind {}", planned.of_other_kinds[*version]);
            let message = format!(
                "{target} has versions that are of another kind than it is, and what they made: {}",
                others.iter().map(kind).collect::<Vec<_>>().join(", ")
            );
            checkup.add(&finding::UNKNOWN_VERSIONS, target.tenant_id(), message);
        }
        if !unknown.is_empty() {
            let message = format!(
                "{target} has versions that no migration has: {}",
                unknown.join(", ")
            );
            checkup.add(&finding::UNKNOWN_VERSIONS, target.tenant_id(), message);
        }
    }
}

/// The version in the name of a migration, as Diesel reads it.
fn version(name: &str) -> String {
    let version = name.split('_').next().unwrap_or_default();
    version.replace('-', "")
}
