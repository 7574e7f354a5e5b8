//! Which users belong to which tenants.

use std::time::Duration;

use diesel::prelude::*;

use super::{PgRegistry, not_found, rows::TenantRow};
use crate::{
    error::{Error, ErrorKind, Result},
    names::TenantId,
    pool::Subject,
    schema::boardinghouse::{members, tenants},
    tenant::Tenant,
};

/// The longest id of a user, in bytes.
const LONGEST_USER: usize = 255;

/// The longest name of a role, in bytes.
const LONGEST_ROLE: usize = 63;

/// That a user belongs to a tenant.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
#[non_exhaustive]
pub struct Membership {
    /// The tenant, whatever its status.
    pub tenant: Tenant,
    /// What the user is there, in the application's own words.
    pub role: String,
}

impl Membership {
    /// For sources of memberships other than the registry.
    #[must_use]
    pub fn new(tenant: Tenant, role: impl Into<String>) -> Self {
        Self {
            tenant,
            role: role.into(),
        }
    }
}

/// Says which users belong to which tenants.
///
/// [`PgRegistry`] does, from `boardinghouse.members`. An application that has a table of its own implements
/// it, and gives it to [`RegistryCache::with_members`](super::RegistryCache::with_members).
pub trait Members: Send + Sync + 'static {
    /// The tenants of a user, in the order in which they are to be shown. It may block.
    ///
    /// # Errors
    ///
    /// Any error means that it is not known: nobody is let in.
    fn of_user(&self, user: &str) -> Result<Vec<Membership>>;

    /// For how long an answer may be believed. Defaults to one second.
    ///
    /// An answer is forgotten at once when somebody runs `NOTIFY boardinghouse_members, '<user>'`; a trigger
    /// on the application's table that does so makes longer times safe.
    fn max_age(&self) -> Duration {
        Duration::from_secs(1)
    }
}

impl Members for PgRegistry {
    fn of_user(&self, user: &str) -> Result<Vec<Membership>> {
        self.memberships(user)
    }

    /// As long as other answers of the registry: its triggers tell of every change.
    fn max_age(&self) -> Duration {
        Duration::MAX
    }
}

impl PgRegistry {
    /// The tenants that a user belongs to, whatever their status, in the order of their names for people.
    /// An id that can be no user's belongs to none.
    ///
    /// # Errors
    ///
    /// Those of [`find`](Self::find).
    pub fn memberships(&self, user: &str) -> Result<Vec<Membership>> {
        if check_user(user).is_err() {
            return Ok(Vec::new());
        }
        let rows = self.read("list the tenants of a user", |conn| {
            members::table
                .inner_join(tenants::table)
                .filter(members::user_id.eq(user))
                .order((tenants::display_name, tenants::id))
                .select((TenantRow::as_select(), members::role))
                .load::<(TenantRow, String)>(conn)
        })?;
        rows.into_iter()
            .map(|(tenant, role)| Ok(Membership::new(tenant.try_into()?, role)))
            .collect()
    }

    /// The users that belong to a tenant, and as what, in the order of their ids.
    ///
    /// # Errors
    ///
    /// Those of [`find`](Self::find).
    pub fn members(&self, id: &TenantId) -> Result<Vec<(String, String)>> {
        self.read("list the members of a tenant", |conn| {
            members::table
                .filter(members::tenant_id.eq(id.as_str()))
                .order(members::user_id)
                .select((members::user_id, members::role))
                .load(conn)
        })
    }

    /// How many users belong to a tenant.
    ///
    /// # Errors
    ///
    /// Those of [`find`](Self::find).
    pub fn member_count(&self, id: &TenantId) -> Result<i64> {
        self.read("count the members of a tenant", |conn| {
            members::table
                .filter(members::tenant_id.eq(id.as_str()))
                .count()
                .get_result(conn)
        })
    }

    /// Makes a user a member of a tenant; one who is a member already gets the role.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidInput`] for a user or a role that is empty, too long (255 and 63 bytes) or holds a
    /// zero byte, [`ErrorKind::TenantNotFound`], and those of [`find`](Self::find).
    pub fn add_member(&self, user: &str, id: &TenantId, role: &str) -> Result<()> {
        check_user(user)?;
        check("role", role, LONGEST_ROLE)?;
        let added = self.read("add a member", |conn| {
            // From the tenant's row, so that a tenant that is not there is no error of a foreign key.
            diesel::insert_into(members::table)
                .values(tenants::table.filter(tenants::id.eq(id.as_str())).select((
                    user.into_sql::<diesel::sql_types::Text>(),
                    tenants::id,
                    role.into_sql::<diesel::sql_types::Text>(),
                )))
                .into_columns((members::user_id, members::tenant_id, members::role))
                .on_conflict((members::user_id, members::tenant_id))
                .do_update()
                .set(members::role.eq(role))
                .execute(conn)
        })?;
        if added == 0 {
            return Err(not_found(id));
        }
        self.pool().changed(Subject::User(user.to_owned()));
        Ok(())
    }

    /// Ends a membership. Says whether there was one.
    ///
    /// # Errors
    ///
    /// Those of [`find`](Self::find).
    pub fn remove_member(&self, user: &str, id: &TenantId) -> Result<bool> {
        if check_user(user).is_err() {
            return Ok(false);
        }
        let removed = self.read("remove a member", |conn| {
            diesel::delete(members::table.find((user, id.as_str()))).execute(conn)
        })?;
        self.pool().changed(Subject::User(user.to_owned()));
        Ok(removed > 0)
    }
}

pub(super) fn check_user(user: &str) -> Result<()> {
    check("user", user, LONGEST_USER)
}

fn check(what: &str, text: &str, longest: usize) -> Result<()> {
    if (1..=longest).contains(&text.len()) && !text.contains('\0') {
        return Ok(());
    }
    Err(Error::new(
        ErrorKind::InvalidInput,
        format!("a {what} must have 1 to {longest} bytes, none of them zero"),
    ))
}
