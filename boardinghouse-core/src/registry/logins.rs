//! Logins that are begun at one domain and finished at another.

use std::time::Duration;

use diesel::{
    dsl::now,
    pg::data_types::PgInterval,
    prelude::*,
    sql_types::{Bytea, Interval, Text, Timestamptz},
};

use super::{PgRegistry, members::check_user, not_found};
use crate::{
    error::Result,
    schema::boardinghouse::{logins, tenants},
    tenant::Tenant,
};

impl PgRegistry {
    /// Notes that a user may log in at this tenant, once and for a time, with a token whose digest this is.
    ///
    /// The token is to be as hard to guess as a key, and the digest one of SHA-256. The tenant is this one, also
    /// when it is renamed, and no later one of the same id. Notes that nobody used in time are removed.
    ///
    /// # Errors
    ///
    /// [`InvalidInput`](crate::ErrorKind::InvalidInput) for a user that can be no member,
    /// [`TenantNotFound`](crate::ErrorKind::TenantNotFound) for a tenant that is gone, or is none of the
    /// registry, and those of [`find`](Self::find).
    pub fn add_login(
        &self,
        digest: &[u8; 32],
        tenant: &Tenant,
        user: &str,
        lasts: Duration,
    ) -> Result<()> {
        check_user(user)?;
        let lasts = i64::try_from(lasts.as_micros()).unwrap_or(i64::MAX / 2);
        let lasts = PgInterval::from_microseconds(lasts).into_sql::<Interval>();
        let until = now.into_sql::<Timestamptz>() + lasts;
        let added = self.read("note a login", |conn| {
            diesel::delete(logins::table.filter(logins::expires_at.le(now))).execute(conn)?;
            // From the tenant's row, so that a tenant that is not there is no error of a foreign key.
            diesel::insert_into(logins::table)
                .values(
                    tenants::table
                        .filter(tenants::incarnation.eq(tenant.incarnation()))
                        .select((
                            digest.as_slice().into_sql::<Bytea>(),
                            tenants::incarnation,
                            user.into_sql::<Text>(),
                            until,
                        )),
                )
                .into_columns((
                    logins::digest,
                    logins::incarnation,
                    logins::user_id,
                    logins::expires_at,
                ))
                .execute(conn)
        })?;
        if added == 0 {
            return Err(not_found(tenant.id()));
        }
        Ok(())
    }

    /// Who may log in at this tenant with the token whose digest this is: somebody the first time, and nobody
    /// after that, in whatever process. At another tenant it is nobody, and the token is not used up.
    ///
    /// # Errors
    ///
    /// Those of [`find`](Self::find).
    pub fn take_login(&self, digest: &[u8; 32], tenant: &Tenant) -> Result<Option<String>> {
        self.read("finish a login", |conn| {
            let note = logins::table
                .filter(logins::digest.eq(digest.as_slice()))
                .filter(logins::incarnation.eq(tenant.incarnation()))
                .filter(logins::expires_at.gt(now));
            diesel::delete(note)
                .returning(logins::user_id)
                .get_result(conn)
                .optional()
        })
    }
}
