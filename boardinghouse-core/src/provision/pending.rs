//! Schemas for tenants that were registered without one.

use diesel::PgConnection;

use super::{Provisioner, create::Failed, ready, schema_exists};
use crate::{
    across::{AcrossReport, ForTenant},
    connection::SharedConnection,
    error::{Error, ErrorKind, Result},
    lock,
    names::TenantId,
    pool::Subject,
    registry,
    tenant::{Tenant, TenantStatus},
};

impl Provisioner {
    /// Gives a tenant that was [deferred](super::NewTenant::deferred) its schema, as
    /// [`create`](Self::create) would have: the clone and the status
    /// [`Ready`](crate::TenantStatus::Ready) in one transaction, or nothing. Does nothing where the tenant has
    /// its schema already, so that any number of processes may do this at once.
    ///
    /// A tenant that cannot be given its schema, because one of that name is there, say, gets the status
    /// [`Failed`](crate::TenantStatus::Failed), and the reason is logged. Call this again to try again. Where
    /// the reason is not the tenant's (a lock, a lost connection, the template), its status stays.
    ///
    /// A row that somebody wrote into the registry by hand is provisioned, too. Where it says that its schema
    /// was there before (`adopted`, which is the default there), and it is, that is taken as it is.
    ///
    /// # Errors
    ///
    /// * [`ErrorKind::TenantNotFound`], and [`ErrorKind::TenantUnavailable`] for one that is being dropped.
    /// * [`ErrorKind::SchemaExists`] when a schema of that name exists that is no tenant's,
    ///   [`ErrorKind::ReservedName`] when the name, or the id, has another role.
    /// * [`ErrorKind::TemplateMissing`] and [`ErrorKind::TemplateUnsupported`].
    /// * [`ErrorKind::Locked`] when the template was being migrated all the time.
    /// * [`ErrorKind::RegistryMissing`], [`ErrorKind::Database`], and the errors of
    ///   [`TenantPool::get_shared`](crate::TenantPool::get_shared).
    ///
    /// # Examples
    ///
    /// ```no_run
    /// use boardinghouse_core::{NewTenant, Provisioner, TenantPool, TenantStatus};
    ///
    /// let provisioner = Provisioner::new(TenantPool::builder().build("postgres://localhost/app")?);
    /// let acme = provisioner.create(&NewTenant::new("acme".parse()?).deferred())?;
    /// assert_eq!(acme.status(), TenantStatus::Pending);
    /// // Later, and elsewhere:
    /// for (tenant, error) in provisioner.provision_pending()?.failures() {
    ///     eprintln!("{}: {}", tenant.id(), error.chain());
    /// }
    /// # Ok::<(), boardinghouse_core::Error>(())
    /// ```
    pub fn provision(&self, id: &TenantId) -> Result<Tenant> {
        let mut conn = self.pool.get_shared()?;
        registry::require(&mut conn)?;
        let tenant = registry::find(&mut conn, id)?.ok_or_else(|| registry::not_found(id))?;
        match tenant.status() {
            TenantStatus::Pending | TenantStatus::Failed => {}
            TenantStatus::Dropping => {
                let message = format!("tenant {id} is being dropped");
                return Err(Error::new(ErrorKind::TenantUnavailable, message).with_tenant(id));
            }
            TenantStatus::Ready | TenantStatus::Suspended => return Ok(tenant),
        }
        let span = tracing::info_span!("provision tenant", tenant = %id);
        let _entered = span.enter();
        let provisioned = self.give_schema(&mut conn, &tenant);
        if let Err(Failed::For(error)) = &provisioned
            && is_the_tenants(error.kind())
        {
            tracing::error!(error = error.chain(), "the tenant cannot be provisioned");
            if let Err(unnoted) = registry::note_failed(&mut conn, &tenant) {
                tracing::error!(error = unnoted.chain(), "its status stays");
            }
        }
        self.pool.changed(Subject::Tenant(id.to_string()));
        provisioned.map_err(|failed| Error::from(failed).with_tenant(id))
    }

    /// As [`provision`](Self::provision), for all tenants whose status is
    /// [`Pending`](crate::TenantStatus::Pending), who came first first. What fails, fails alone; when no
    /// connection can be had, the others are left for the next time. Those that are deleted meanwhile are not
    /// in the report.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::RegistryMissing`], [`ErrorKind::Database`], and the errors of
    /// [`TenantPool::get_shared`](crate::TenantPool::get_shared). What goes wrong with a tenant is in the
    /// report instead.
    pub fn provision_pending(&self) -> Result<AcrossReport<Tenant>> {
        let pending = self.pool.with_shared(|conn| {
            registry::require(conn)?;
            registry::pending(conn)
        })?;
        let mut report = AcrossReport {
            entries: Vec::new(),
            skipped: Vec::new(),
        };
        for tenant in pending {
            let result = self.provision(tenant.id());
            let kind = result.as_ref().err().map(Error::kind);
            if kind == Some(ErrorKind::TenantNotFound) {
                continue;
            }
            report.entries.push(ForTenant { tenant, result });
            if let Some(ErrorKind::ConnectionFailed | ErrorKind::PoolTimeout) = kind {
                break;
            }
        }
        Ok(report)
    }

    fn give_schema(&self, conn: &mut SharedConnection, tenant: &Tenant) -> Result<Tenant, Failed> {
        let (id, layout) = (tenant.id(), self.pool.layout());
        // Of a row that somebody wrote by hand, and of one that is older than the configuration.
        layout.tenant_schema(tenant.schema())?;
        layout.must_not_reserve(id)?;
        ready::must_not_wait(tenant.schema())?;
        if tenant.is_adopted() && schema_exists(conn, tenant.schema())? {
            let adopted: Result<Tenant> = conn.build_transaction().read_committed().run(|conn| {
                let conn: &mut PgConnection = conn;
                lock::bound_waiting(conn, self.lock_wait)?;
                lock::schema_for_transaction(conn, tenant.schema(), self.lock_wait)?;
                let tenant = registry::lock_row_of(conn, tenant)?;
                if tenant.status().has_schema() {
                    return Ok(tenant);
                }
                if ready::is_listed(conn, tenant.schema())? {
                    return Err(ready::waits(tenant.schema()));
                }
                registry::must_not_be_a_template(conn, tenant.schema())?;
                registry::set_status(conn, id, TenantStatus::Ready)
            });
            return Ok(adopted?);
        }
        let registered = self.clone_template(conn, tenant, |conn, question| {
            registry::claim_and_look(conn, tenant, question)
        })?;
        match registered {
            Some(provisioned) => Ok(provisioned),
            // Somebody else has done it meanwhile, or has deleted the tenant.
            None => {
                let tenant = registry::find(conn, id)?.ok_or_else(|| registry::not_found(id))?;
                match tenant.status().has_schema() {
                    true => Ok(tenant),
                    false => {
                        let message = format!("tenant {id} was changed meanwhile: try again");
                        Err(Failed::Busy(Error::new(ErrorKind::Locked, message)))
                    }
                }
            }
        }
    }
}

/// Whether an error is about the tenant, so that trying again as it is would be of no use.
fn is_the_tenants(kind: ErrorKind) -> bool {
    matches!(
        kind,
        ErrorKind::Database
            | ErrorKind::InvalidName
            | ErrorKind::ReservedName
            | ErrorKind::SchemaExists
            | ErrorKind::SchemaUnavailable
    )
}
