//! Creating and deleting tenants: registry row and schema in one transaction.

mod create;
mod delete;
mod kinds;
mod pending;
mod ready;
mod repair;
mod turns;

use std::time::Duration;

pub use delete::Deleted;
pub use ready::{ReadyChange, ReadySchemas};

use diesel::{prelude::*, sql_types};

use crate::{
    connection::SharedConnection,
    domain::{Address, DomainName},
    error::{Error, ErrorKind, Result},
    lock,
    names::{SchemaName, TenantId},
    pool::{Subject, TenantPool},
    registry,
    template::KeptPlans,
    tenant::{Tenant, TenantStatus},
};

/// Creates and deletes tenants.
///
/// Cheap to clone, and worth keeping: it keeps the plan into which the template was compiled, for as long as
/// the template stays as it is.
///
/// Where a tenant is of a kind that has [migrations of its own](crate::Migrator::kind), the template is that
/// of its kind, once a migrator has made that.
///
/// # Examples
///
/// ```no_run
/// use boardinghouse_core::{NewTenant, Provisioner, TenantPool};
///
/// let pool = TenantPool::builder().build("postgres://localhost/app")?;
/// let provisioner = Provisioner::new(pool);
/// let acme = provisioner.create(
///     &NewTenant::new("acme".parse()?)
///         .display_name("Acme Inc.")
///         .domain("notes.acme.com".parse()?)
///         .attribute("seats", 25),
/// )?;
/// assert_eq!(acme.schema().as_str(), "acme");
/// # Ok::<(), boardinghouse_core::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Provisioner {
    pub(crate) pool: TenantPool,
    pub(crate) lock_wait: Duration,
    /// The plans that were last used.
    plans: KeptPlans,
}

/// What a tenant is to be like.
#[derive(Clone, Debug)]
pub struct NewTenant {
    id: TenantId,
    display_name: Option<String>,
    attributes: serde_json::Map<String, serde_json::Value>,
    addresses: Vec<Address>,
    kind: Option<String>,
    adopt: Option<SchemaName>,
    copy_of: Option<SchemaName>,
    deferred: bool,
}

impl NewTenant {
    /// A tenant with this id, cloned from the template.
    ///
    /// Not every id that parses can have a schema:
    /// [`Layout::schema_for`](crate::Layout::schema_for) tells without asking the server, so that a
    /// form can be refused before anything is tried. Keep ids such as `www` to yourself by
    /// [`Layout::with_reserved`](crate::Layout::with_reserved).
    #[must_use]
    pub fn new(id: TenantId) -> Self {
        Self {
            id,
            display_name: None,
            attributes: serde_json::Map::new(),
            addresses: Vec::new(),
            kind: None,
            adopt: None,
            copy_of: None,
            deferred: false,
        }
    }

    /// The id.
    #[must_use]
    pub fn id(&self) -> &TenantId {
        &self.id
    }

    /// Sets the name for people. Defaults to the id.
    #[must_use]
    pub fn display_name(mut self, name: impl Into<String>) -> Self {
        self.display_name = Some(name.into());
        self
    }

    /// Adds a host name that leads to the tenant. The first one is the primary.
    #[must_use]
    pub fn domain(self, name: DomainName) -> Self {
        self.address(name.into())
    }

    /// Adds a domain, or a folder of one, that leads to the tenant. The first one is the primary.
    #[must_use]
    pub fn address(mut self, address: Address) -> Self {
        self.addresses.push(address);
        self
    }

    /// Sets what kind of tenant it is: see [`Tenant::kind`]. Defaults to none.
    #[must_use]
    pub fn kind(mut self, kind: impl Into<String>) -> Self {
        self.kind = Some(kind.into());
        self
    }

    /// Sets one attribute.
    #[must_use]
    pub fn attribute(
        mut self,
        name: impl Into<String>,
        value: impl Into<serde_json::Value>,
    ) -> Self {
        self.attributes.insert(name.into(), value.into());
        self
    }

    /// Clones this schema, with all its rows, instead of the template: that of another tenant, or a template
    /// with rows of its own. Ignored where a schema is adopted.
    #[must_use]
    pub fn copy_of(mut self, schema: SchemaName) -> Self {
        self.copy_of = Some(schema);
        self
    }

    /// Only registers the tenant, as [`Pending`](crate::TenantStatus::Pending): it is not served before
    /// [`Provisioner::provision`] has cloned the template for it, which another process can do.
    #[must_use]
    pub fn deferred(mut self) -> Self {
        self.deferred = true;
        self
    }

    #[cfg(feature = "testing")]
    pub(crate) fn adopts(&self) -> bool {
        self.adopt.is_some()
    }

    /// What of the registry it changes.
    fn subjects(&self) -> impl Iterator<Item = Subject> {
        let domains = self.addresses.iter().map(|a| a.domain.to_string());
        std::iter::once(Subject::Tenant(self.id.to_string())).chain(domains.map(Subject::Domain))
    }

    /// Takes a schema that exists already, as it is, instead of cloning the template. Such a schema
    /// is never dropped.
    #[must_use]
    pub fn adopt(mut self, schema: SchemaName) -> Self {
        self.adopt = Some(schema);
        self
    }
}

impl Provisioner {
    /// A provisioner for the pool's database.
    #[must_use]
    pub fn new(pool: TenantPool) -> Self {
        Self {
            pool,
            lock_wait: Duration::from_secs(30),
            plans: KeptPlans::default(),
        }
    }

    /// Sets how long to wait for a migration of the template, or for another writer of the same
    /// schema, to end. Defaults to 30 seconds.
    #[must_use]
    pub fn lock_wait(mut self, wait: Duration) -> Self {
        self.lock_wait = wait;
        self
    }

    /// Creates a tenant: its row in the registry, its domains, and its schema as a clone of the
    /// template. All of it happens in one transaction, or nothing does.
    ///
    /// Takes a schema that [`keep_ready`](Self::keep_ready) made, where there is one of the tenant's template; else it clones, in
    /// four round trips once the plan is known.
    ///
    /// # Errors
    ///
    /// * [`ErrorKind::ReservedName`] or [`ErrorKind::InvalidName`] when no schema can be named for
    ///   the id; before anything is sent. The former also when the schema that is to be adopted or copied
    ///   has another role, or waits for a tenant. The template can be copied.
    /// * [`ErrorKind::InvalidInput`] for one that is deferred and is to have another schema than a clone of
    ///   the template, and for a display name that is empty.
    /// * [`ErrorKind::TenantExists`] when the id, its schema or a domain belongs to a tenant.
    /// * [`ErrorKind::SchemaExists`] when a schema of that name exists that is no tenant's, and
    ///   [`ErrorKind::SchemaUnavailable`] when one that is to be adopted does not.
    /// * [`ErrorKind::TenantUnavailable`] when the tenant whose schema is to be copied is neither ready nor
    ///   suspended.
    /// * [`ErrorKind::TemplateMissing`] and [`ErrorKind::TemplateUnsupported`].
    /// * [`ErrorKind::Locked`] when the template was being migrated all the time.
    /// * [`ErrorKind::RegistryMissing`], [`ErrorKind::Database`], and the errors of
    ///   [`TenantPool::get_shared`].
    ///
    /// Where it has to wait for a lock, of the template or of a shared table that a foreign key refers to,
    /// it undoes everything after 200 ms and tries again, for as long as [`lock_wait`](Self::lock_wait)
    /// says: whoever waits for a table makes its later writers wait, too.
    pub fn create(&self, new: &NewTenant) -> Result<Tenant> {
        let tenant = self.check(new)?;
        let mut conn = self.pool.get_shared()?;
        let span = tracing::info_span!("create tenant", tenant = %tenant.id());
        let _entered = span.enter();
        let created = match (tenant.is_adopted() || new.deferred, &new.copy_of) {
            (true, _) => conn
                .build_transaction()
                .read_committed()
                .run(|conn| self.create_checked(conn, new, &tenant)),
            (false, Some(source)) => self.copy(&mut conn, source, &new.addresses, &tenant),
            (false, None) => self
                .clone_template(&mut conn, &tenant, |conn, question| {
                    registry::insert_and_look(conn, &tenant, &new.addresses, question).map(Some)
                })
                .map(|created| created.expect("it was registered"))
                .map_err(Error::from),
        };
        for subject in new.subjects() {
            self.pool.changed(subject);
        }
        created.map_err(|error| error.with_tenant(&new.id))
    }

    /// As [`create`](Self::create), inside a transaction of the caller, who may still roll it back.
    ///
    /// # Errors
    ///
    /// Those of [`create`](Self::create); what the transaction did before stays.
    /// [`ErrorKind::InvalidInput`] when the connection is of another pool than the provisioner, or
    /// the transaction's isolation level is not READ COMMITTED: an older snapshot could show the
    /// template as it was before a migration.
    pub fn create_in(&self, conn: &mut SharedConnection, new: &NewTenant) -> Result<Tenant> {
        self.pool.require_sessions()?;
        let tenant = self.check(new)?;
        if !conn.pool.is_same(&self.pool) {
            let message = "create_in wants a connection of the provisioner's own pool";
            return Err(Error::new(ErrorKind::InvalidInput, message).with_tenant(&new.id));
        }
        for subject in new.subjects() {
            self.pool.expect_change(&subject);
        }
        // A savepoint: with no transaction around it, a transaction.
        conn.transaction(|conn| self.create_checked(conn, new, &tenant))
            .map_err(|error| {
                // Nothing is to be waited for: who asks for names that are taken must not keep those who have
                // them out of the cache.
                for subject in new.subjects() {
                    self.pool.changed(subject);
                }
                error.with_tenant(&new.id)
            })
    }

    /// Runs `work` in a transaction on the shared schema, whose statements wait for locks no longer than
    /// they may.
    pub(crate) fn in_transaction<T>(
        &self,
        id: &TenantId,
        work: impl FnOnce(&mut PgConnection) -> Result<T>,
    ) -> Result<T> {
        let mut conn = self.pool.get_shared()?;
        registry::require(&mut conn)?;
        let done = conn.build_transaction().read_committed().run(|conn| {
            let conn: &mut PgConnection = conn;
            lock::bound_waiting(conn, self.lock_wait)?;
            work(conn)
        });
        self.pool.changed(Subject::Tenant(id.to_string()));
        done.map_err(|error: Error| error.with_tenant(id))
    }

    /// The tenant as it will be; everything that can be checked without the server is checked.
    fn check(&self, new: &NewTenant) -> Result<Tenant> {
        let layout = self.pool.layout();
        let schema = match &new.adopt {
            Some(schema) => {
                layout
                    .tenant_schema(schema)
                    .and_then(|()| ready::must_not_wait(schema))
                    .map_err(|error| error.with_tenant(&new.id))?;
                schema.clone()
            }
            None => layout.schema_for(&new.id)?,
        };
        if let (Some(source), None) = (&new.copy_of, &new.adopt) {
            self.can_be_copied(source)
                .map_err(|error| error.with_tenant(&new.id))?;
        }
        if new.deferred && (new.adopt.is_some() || new.copy_of.is_some()) {
            let message =
                "a tenant whose schema is adopted, or cloned with rows, cannot be deferred";
            return Err(Error::new(ErrorKind::InvalidInput, message).with_tenant(&new.id));
        }
        let name = new
            .display_name
            .clone()
            .unwrap_or_else(|| new.id.to_string());
        let attributes = serde_json::Value::Object(new.attributes.clone());
        if name.trim().is_empty() || name.contains('\0') || holds_zero_byte(&attributes) {
            return Err(Error::new(
                ErrorKind::InvalidInput,
                "the display name of a tenant must not be empty, and neither it nor an attribute \
                 may hold a zero byte",
            )
            .with_tenant(&new.id));
        }
        let tenant = Tenant::new(new.id.clone(), schema)
            .with_display_name(name)
            .with_attributes(attributes)?
            .with_adopted(new.adopt.is_some())
            .with_status(match new.deferred {
                true => TenantStatus::Pending,
                false => TenantStatus::Ready,
            });
        match &new.kind {
            Some(kind) => tenant.with_kind(kind),
            None => Ok(tenant),
        }
    }

    /// Fails for a schema that has a role of its own, or none yet.
    fn can_be_copied(&self, source: &SchemaName) -> Result<()> {
        let layout = self.pool.layout();
        let checked = match source == layout.template() {
            true => Ok(()),
            false => layout.tenant_schema(source),
        };
        checked
            .and_then(|()| ready::must_not_wait(source))
            .map_err(|error| {
                let message = format!("schema {source} cannot become a tenant's by copying it");
                Error::new(error.kind(), message).with_source(error)
            })
    }

    fn create_checked(
        &self,
        conn: &mut SharedConnection,
        new: &NewTenant,
        tenant: &Tenant,
    ) -> Result<Tenant> {
        let conn: &mut PgConnection = conn;
        if !sees_what_is_committed(conn)? {
            return Err(Error::new(
                ErrorKind::InvalidInput,
                "a tenant can be created in a READ COMMITTED transaction only",
            ));
        }
        let waiting = lock::bound_waiting(conn, self.lock_wait)?;
        registry::require(conn)?;
        // The row comes first: its unique keys let one of several creators through.
        let created = registry::insert(conn, tenant, &new.addresses)?;
        lock::schema_for_transaction(conn, tenant.schema(), self.lock_wait)?;
        let exists = schema_exists(conn, tenant.schema())?;
        if new.copy_of.is_some() && !tenant.is_adopted() {
            return Err(Error::new(
                ErrorKind::InvalidInput,
                "a schema with rows is cloned in a transaction of its own: use `create`",
            ));
        }
        if tenant.is_adopted() {
            if !exists {
                return Err(nothing_to_adopt(tenant.schema()));
            }
            if ready::is_listed(conn, tenant.schema())? {
                return Err(ready::waits(tenant.schema()));
            }
            registry::must_not_be_a_template(conn, tenant.schema())?;
            lock::restore_waiting(conn, &waiting)?;
            return Ok(created);
        }
        if exists {
            return Err(is_no_tenants(tenant.schema()));
        }
        if new.deferred {
            lock::restore_waiting(conn, &waiting)?;
            return Ok(created);
        }
        for template in self.templates(tenant) {
            lock::schema_shared_for_transaction(conn, &template, self.lock_wait)?;
        }
        let template = self.template_of(conn, tenant)?;
        let plan = self.plans.current(conn, &template)?;
        plan.plan().apply(conn, tenant.schema())?;
        lock::restore_waiting(conn, &waiting)?;
        Ok(created)
    }
}

/// PostgreSQL's text has no zero byte.
fn holds_zero_byte(value: &serde_json::Value) -> bool {
    use serde_json::Value;
    match value {
        Value::String(text) => text.contains('\0'),
        Value::Array(values) => values.iter().any(holds_zero_byte),
        Value::Object(map) => map
            .iter()
            .any(|(name, value)| name.contains('\0') || holds_zero_byte(value)),
        Value::Null | Value::Bool(_) | Value::Number(_) => false,
    }
}

/// Whether each statement of the transaction sees what was committed before it.
fn sees_what_is_committed(conn: &mut PgConnection) -> Result<bool> {
    let level = diesel::dsl::sql::<sql_types::Bool>(
        "pg_catalog.current_setting('transaction_isolation') IN ('read committed', 'read uncommitted')",
    );
    diesel::select(level)
        .get_result(conn)
        .map_err(|error| Error::database("read the isolation level", error))
}

fn is_no_tenants(schema: &SchemaName) -> Error {
    Error::new(
        ErrorKind::SchemaExists,
        format!(
            "schema {schema} exists already and is no tenant's: choose another id, or adopt it"
        ),
    )
}

fn nothing_to_adopt(schema: &SchemaName) -> Error {
    Error::new(
        ErrorKind::SchemaUnavailable,
        format!("schema {schema} cannot be adopted: it does not exist"),
    )
}

pub(crate) fn schema_exists(conn: &mut PgConnection, schema: &SchemaName) -> Result<bool> {
    diesel::select(
        diesel::dsl::sql::<sql_types::Bool>("pg_catalog.to_regnamespace(pg_catalog.quote_ident(")
            .bind::<sql_types::Text, _>(schema.as_str())
            .sql(")) IS NOT NULL"),
    )
    .get_result(conn)
    .map_err(|error| Error::database(&format!("look for schema {schema}"), error))
}
