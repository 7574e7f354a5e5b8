//! Schemas for tenants whose own have gone missing.

use super::{Provisioner, ready};
use crate::{
    error::{Error, ErrorKind, Result},
    names::TenantId,
    pool::Subject,
    registry::{self, MissingSchema},
    tenant::Tenant,
};

impl Provisioner {
    /// The tenants that are ready or suspended and whose schemas are not there: somebody has dropped them, or
    /// given them other names, behind the registry's back.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::RegistryMissing`],
    /// [`ErrorKind::Database`], and the errors of
    /// [`TenantPool::get_shared`](crate::TenantPool::get_shared).
    pub fn missing_schemas(&self) -> Result<Vec<MissingSchema>> {
        self.pool.with_shared(|conn| {
            registry::require(conn)?;
            registry::without_schema(conn, None)
        })
    }

    /// Gives a tenant whose schema is not there a new one, as [`create`](Self::create) would have: a clone of
    /// the template, *without the rows that the tenant had*. The tenant keeps its status, domains, members and
    /// attributes. `None` where its schema is there, or is to be made by [`provision`](Self::provision): then
    /// nothing is done, so that any number of processes may do this at once.
    ///
    /// Where there is a backup of the schema, bring it back instead.
    ///
    /// # Errors
    ///
    /// * [`ErrorKind::TenantNotFound`].
    /// * [`ErrorKind::SchemaUnavailable`] when the schema only has another
    ///   name now, as far as is known, or was adopted: then it is not ours to make.
    /// * [`ErrorKind::ReservedName`] when the name of its schema, or its id,
    ///   has another role by now.
    /// * [`ErrorKind::TemplateMissing`] and
    ///   [`ErrorKind::TemplateUnsupported`].
    /// * [`ErrorKind::Locked`] when the template was being migrated all the time.
    /// * [`ErrorKind::RegistryMissing`],
    ///   [`ErrorKind::Database`], and the errors of
    ///   [`TenantPool::get_shared`](crate::TenantPool::get_shared).
    ///
    /// # Examples
    ///
    /// ```no_run
    /// use boardinghouse_core::{Provisioner, TenantPool};
    ///
    /// let provisioner = Provisioner::new(TenantPool::builder().build("postgres://localhost/app")?);
    /// for missing in provisioner.missing_schemas()? {
    ///     provisioner.repair(missing.tenant.id())?;
    /// }
    /// # Ok::<(), boardinghouse_core::Error>(())
    /// ```
    pub fn repair(&self, id: &TenantId) -> Result<Option<Tenant>> {
        let layout = self.pool.layout();
        let mut conn = self.pool.get_shared()?;
        registry::require(&mut conn)?;
        if registry::find(&mut conn, id)?.is_none() {
            return Err(registry::not_found(id));
        }
        let Some(missing) = registry::without_schema(&mut conn, Some(id))?.pop() else {
            return Ok(None);
        };
        let tenant = to_be_made(missing).map_err(|error| error.with_tenant(id))?;
        layout
            .tenant_schema(tenant.schema())
            .and_then(|()| layout.must_not_reserve(id))
            .and_then(|()| ready::must_not_wait(tenant.schema()))
            .map_err(|error| error.with_tenant(id))?;
        let span = tracing::info_span!("repair tenant", tenant = %id);
        let _entered = span.enter();
        let repaired = self.clone_template(&mut conn, &tenant, |conn, question| {
            registry::reclaim_and_look(conn, &tenant, question)
        });
        self.pool.changed(Subject::Tenant(id.to_string()));
        let repaired = repaired.map_err(|failed| Error::from(failed).with_tenant(id))?;
        if let Some(tenant) = &repaired {
            tracing::warn!(schema = %tenant.schema(), "the schema was missing: made anew, without rows");
        }
        Ok(repaired)
    }
}

/// The tenant, unless its schema is still somewhere, or nobody's to make.
fn to_be_made(missing: MissingSchema) -> Result<Tenant> {
    let MissingSchema { tenant, now_called } = missing;
    let (id, schema) = (tenant.id(), tenant.schema());
    let message = match now_called {
        Some(name) => format!(
            "the schema of tenant {id} is called {name} now, not {schema}: give it its name back, or drop it"
        ),
        None if tenant.is_adopted() => format!(
            "schema {schema} of tenant {id} was adopted, and is not ours to make: bring it back, or delete the \
             tenant"
        ),
        None => return Ok(tenant),
    };
    Err(Error::new(ErrorKind::SchemaUnavailable, message))
}
