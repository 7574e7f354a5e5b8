//! Work for a tenant that is done later, and elsewhere.

use serde::{Deserialize, Serialize};

use crate::{
    connection::TenantConnection,
    error::{Error, ErrorKind, Result},
    names::TenantId,
    registry::{self as rows, PgRegistry},
    tenant::Tenant,
};

/// A piece of work for one tenant, as it waits in a queue.
///
/// It is made from a [`Tenant`], so there is none without:
///
/// ```compile_fail,E0061
/// let job = boardinghouse_core::TenantJob::new("reports/2026-11.csv");
/// ```
///
/// It is plain data: serialise it with serde for any queue. Whoever runs it looks the tenant up anew,
/// so what happened in the meantime counts: a suspended tenant's job fails, and so does that of a
/// tenant that was deleted, also when another one was created under its id.
///
/// # Examples
///
/// ```no_run
/// use boardinghouse_core::{Error, PgRegistry, TenantJob, TenantPool};
/// use diesel::prelude::*;
///
/// diesel::table! {
///     notes { id -> Integer, body -> Text }
/// }
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let registry = PgRegistry::new(TenantPool::builder().build("postgres://localhost/app")?);
/// let acme = registry.get(&"acme".parse()?)?;
/// let message: String = serde_json::to_string(&TenantJob::new(&acme, "buy milk".to_owned()))?;
///
/// // … in another process:
/// let job: TenantJob<String> = serde_json::from_str(&message)?;
/// job.run(&registry, |conn, text| {
///     diesel::insert_into(notes::table)
///         .values(notes::body.eq(text))
///         .execute(conn)
///         .map_err(Error::from)
/// })?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TenantJob<T> {
    tenant: TenantId,
    /// Which of the tenants that have had this id, one after the other.
    incarnation: i64,
    payload: T,
}

impl<T> TenantJob<T> {
    /// Work of the application's own kind for `tenant`, which must come from the registry.
    #[must_use]
    pub fn new(tenant: &Tenant, payload: T) -> Self {
        Self {
            tenant: tenant.id().clone(),
            incarnation: tenant.incarnation(),
            payload,
        }
    }

    /// Whose work it is.
    #[must_use]
    pub fn tenant(&self) -> &TenantId {
        &self.tenant
    }

    /// What is to be done.
    #[must_use]
    pub fn payload(&self) -> &T {
        &self.payload
    }

    /// Does the work, on a checkout of the tenant as the registry knows it now.
    ///
    /// It can be run again, for instance after a failure.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::TenantNotFound`] when the tenant that the job was made for is gone, even if there
    /// is a new one under its id; [`ErrorKind::InvalidInput`] when it was made for a tenant that is not
    /// from the registry; those of [`PgRegistry::find`], of [`TenantPool::get`](crate::TenantPool::get)
    /// and of `work`.
    pub fn run<R, E: From<Error>>(
        &self,
        registry: &PgRegistry,
        work: impl FnOnce(&mut TenantConnection, &T) -> Result<R, E>,
    ) -> Result<R, E> {
        if self.incarnation == 0 {
            return Err(Error::new(
                ErrorKind::InvalidInput,
                format!(
                    "this job was made for a tenant {} that is not from the registry",
                    self.tenant
                ),
            )
            .with_tenant(&self.tenant)
            .into());
        }
        let tenant = self.checked(registry.get(&self.tenant)?)?;
        let mut conn = registry.pool().get(&tenant)?;
        // Only now is the schema kept from being dropped: the tenant may have been exchanged, or
        // renamed, since it was read.
        let now =
            rows::find(&mut conn, &self.tenant)?.ok_or_else(|| rows::not_found(&self.tenant))?;
        if self.checked(now)?.schema() != tenant.schema() {
            return Err(Error::new(
                ErrorKind::SchemaUnavailable,
                format!("tenant {} was just renamed: run the job again", self.tenant),
            )
            .with_tenant(&self.tenant)
            .into());
        }
        work(&mut conn, &self.payload)
    }

    /// The tenant, if it is the one that the job was made for.
    fn checked(&self, tenant: Tenant) -> Result<Tenant> {
        if tenant.incarnation() == self.incarnation {
            return Ok(tenant);
        }
        Err(Error::new(
            ErrorKind::TenantNotFound,
            format!(
                "the tenant {} that this job was made for is gone; there is another one under its id",
                self.tenant
            ),
        )
        .with_tenant(&self.tenant))
    }
}
