//! Where tenants are found, changed: always with exactly one primary address, where there is any.

use std::{fmt, time::Duration};

use diesel::{dsl::sql, prelude::*, sql_types};

use super::{
    Domain, PgRegistry, not_found, require,
    rows::{domain_taken, lock_row},
};
use crate::{
    domain::Address,
    error::{Error, ErrorKind, Result},
    lock,
    names::TenantId,
    pool::Subject,
    schema::boardinghouse::domains,
};

/// How long to wait for somebody else who changes the tenant: one that is being deleted, say.
const LOCK_WAIT: Duration = Duration::from_secs(30);

/// How often an address is looked for anew whose tenant is renamed meanwhile.
const MOST_TRIES: usize = 10;

/// What a domain is for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum DomainUse {
    /// It leads to the tenant, as the primary one does.
    #[default]
    Alias,
    /// It is the one to use in links, from now on.
    Primary,
    /// Requests for it are sent on to the primary one.
    Redirect,
}

/// A row, as it is read.
pub(super) type Row = (String, String, bool, bool);

impl From<Row> for Domain {
    fn from((name, folder, is_primary, redirect_to_primary): Row) -> Self {
        Self {
            name,
            folder: Some(folder).filter(|folder| !folder.is_empty()),
            is_primary,
            redirect_to_primary,
        }
    }
}

impl fmt::Display for Domain {
    /// As an [`Address`]: `example.com`, or `example.com/folder`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.folder {
            Some(folder) => f.pad(&format!("{}/{folder}", self.name)),
            None => f.pad(&self.name),
        }
    }
}

/// The addresses on these domains, and whose they are: domain, folder, tenant.
pub(crate) fn holders<'a>(
    conn: &mut PgConnection,
    on: impl IntoIterator<Item = &'a str>,
) -> Result<Vec<(String, String, String)>> {
    domains::table
        .filter(domains::domain.eq_any(on))
        .select((domains::domain, domains::folder, domains::tenant_id))
        .order((domains::domain, domains::folder))
        .load(conn)
        .map_err(|error| Error::database("look for addresses", error))
}

impl PgRegistry {
    /// Makes an address lead to a tenant. The first one of a tenant is its primary one, whatever it is to be
    /// used for.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::TenantNotFound`], [`ErrorKind::TenantExists`] when the address leads to a tenant already,
    /// be it this one, and those of [`find`](Self::find).
    ///
    /// # Examples
    ///
    /// ```no_run
    /// use boardinghouse_core::{DomainUse, PgRegistry, TenantPool};
    ///
    /// let pool = TenantPool::builder().build("postgres://localhost/app")?;
    /// let registry = PgRegistry::new(pool);
    /// let acme = "acme".parse()?;
    /// registry.add_domain(&acme, &"example.com/acme".parse()?, DomainUse::Alias)?;
    /// registry.add_domain(&acme, &"notes.acme.com".parse()?, DomainUse::Primary)?;
    /// registry.set_redirect(&"example.com/acme".parse()?, true)?;
    /// assert_eq!(registry.url(&acme, "/notes")?.as_deref(), Some("//notes.acme.com/notes"));
    /// # Ok::<(), boardinghouse_core::Error>(())
    /// ```
    pub fn add_domain(&self, id: &TenantId, address: &Address, usage: DomainUse) -> Result<Domain> {
        let added = self.change(address, |conn| {
            lock_row(conn, id)?.ok_or_else(|| not_found(id))?;
            let is_primary = usage == DomainUse::Primary || !has_any(conn, id)?;
            if is_primary {
                unset_primary(conn, id)?;
            }
            diesel::insert_into(domains::table)
                .values((
                    domains::domain.eq(address.domain.as_str()),
                    domains::folder.eq(address.folder()),
                    domains::tenant_id.eq(id.as_str()),
                    domains::is_primary.eq(is_primary),
                    domains::redirect_to_primary.eq(!is_primary && usage == DomainUse::Redirect),
                ))
                .on_conflict((domains::domain, domains::folder))
                .do_nothing()
                .returning(COLUMNS)
                .get_result::<Row>(conn)
                .optional()
                .map_err(|error| Error::database("add the domain", error))?
                .map(Domain::from)
                .ok_or_else(|| domain_taken(std::slice::from_ref(address)).with_tenant(id))
                .map(|added| (Some(id.clone()), added))
        });
        Ok(added?.1)
    }

    /// Makes an address lead nowhere. Where it was the primary one of its tenant, the oldest that is left
    /// takes its place. Gives back the tenant that it led to; `None` where it led nowhere.
    ///
    /// # Errors
    ///
    /// Those of [`find`](Self::find).
    pub fn remove_domain(&self, address: &Address) -> Result<Option<TenantId>> {
        let removed = self.change(address, |conn| {
            let Some((id, removed)) = lock_tenant_of(conn, address)? else {
                return Ok((None, ()));
            };
            diesel::delete(domains::table.find((address.domain.as_str(), address.folder())))
                .execute(conn)
                .map_err(|error| Error::database("remove the domain", error))?;
            if removed.is_primary {
                promote_oldest(conn, &id)?;
            }
            Ok((Some(id), ()))
        });
        Ok(removed?.0)
    }

    /// Makes an address the one to use in links to its tenant, and the one that was so one like the others.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::TenantNotFound`] when the address leads nowhere, and those of [`find`](Self::find).
    pub fn set_primary_domain(&self, address: &Address) -> Result<Domain> {
        let primary = self.change(address, |conn| {
            let (id, domain) = lock_tenant_of(conn, address)?.ok_or_else(|| nowhere(address))?;
            if domain.is_primary {
                return Ok((None, domain));
            }
            unset_primary(conn, &id)?;
            Ok((Some(id), set(conn, address, true, false)?))
        });
        Ok(primary?.1)
    }

    /// Sets whether requests for an address are sent on to the primary one of its tenant. The primary one
    /// never is: there it stays `false`, as the answer says.
    ///
    /// # Errors
    ///
    /// Those of [`set_primary_domain`](Self::set_primary_domain).
    pub fn set_redirect(&self, address: &Address, redirect: bool) -> Result<Domain> {
        let changed = self.change(address, |conn| {
            let (_, domain) = lock_tenant_of(conn, address)?.ok_or_else(|| nowhere(address))?;
            let domain = match domain.is_primary {
                true => domain,
                false => set(conn, address, false, redirect)?,
            };
            Ok((None, domain))
        });
        Ok(changed?.1)
    }

    /// The URL of a path of a tenant at its primary address, as [`Address::url`] writes it; `None` where it
    /// has no address, and where there is no such tenant.
    ///
    /// # Errors
    ///
    /// Those of [`find`](Self::find).
    pub fn url(&self, id: &TenantId, path: &str) -> Result<Option<String>> {
        let primary = self.primary_address(id)?;
        Ok(primary.map(|address| address.url(path)))
    }

    /// The host names that lead to tenants, by tenant in the order of their ids, the primary one first.
    ///
    /// # Errors
    ///
    /// Those of [`find`](Self::find).
    pub fn all_domains(&self) -> Result<Vec<(TenantId, Domain)>> {
        let rows = self.read("list the domains", |conn| {
            domains::table
                .order((
                    sql::<sql_types::Text>("tenant_id COLLATE \"C\""),
                    domains::is_primary.desc(),
                    domains::domain,
                    domains::folder,
                ))
                .select((domains::tenant_id, COLUMNS))
                .load::<(String, Row)>(conn)
        })?;
        rows.into_iter()
            .map(|(id, row)| Ok((TenantId::parse(&id)?, row.into())))
            .collect()
    }

    /// Works in a transaction that waits for locks no longer than it may. `work` gives back the tenant whose
    /// other addresses are concerned, too.
    fn change<T>(
        &self,
        address: &Address,
        work: impl FnOnce(&mut PgConnection) -> Result<(Option<TenantId>, T)>,
    ) -> Result<(Option<TenantId>, T)> {
        let changed = self.with_shared(|conn| {
            conn.build_transaction().read_committed().run(|conn| {
                let conn: &mut PgConnection = conn;
                require(conn)?;
                lock::bound_waiting(conn, LOCK_WAIT)?;
                work(conn)
            })
        });
        // Also where it is not known whether it was committed.
        let domain = address.domain.to_string();
        self.pool().changed(Subject::Domain(domain));
        if let Ok((Some(id), _)) = &changed {
            self.pool().changed(Subject::Tenant(id.to_string()));
        }
        changed
    }
}

pub(super) const COLUMNS: (
    domains::domain,
    domains::folder,
    domains::is_primary,
    domains::redirect_to_primary,
) = (
    domains::domain,
    domains::folder,
    domains::is_primary,
    domains::redirect_to_primary,
);

/// The tenant to which an address leads, whose domains nobody else changes until the transaction ends.
fn lock_tenant_of(
    conn: &mut PgConnection,
    address: &Address,
) -> Result<Option<(TenantId, Domain)>> {
    let mut locked = None;
    for _ in 0..MOST_TRIES {
        let found = domains::table
            .find((address.domain.as_str(), address.folder()))
            .select((domains::tenant_id, COLUMNS))
            .first::<(String, Row)>(conn)
            .optional()
            .map_err(|error| Error::database("look a domain up", error))?;
        let Some((id, row)) = found else {
            return Ok(None);
        };
        let id = TenantId::parse(&id)?;
        if locked.as_ref() == Some(&id) {
            return Ok(Some((id, row.into())));
        }
        // What was read before the lock may be no longer so: it is read again.
        locked = lock_row(conn, &id)?.map(|_| id);
    }
    Err(Error::new(
        ErrorKind::Locked,
        format!("the tenant of domain {address} was renamed again and again: try again later"),
    ))
}

fn has_any(conn: &mut PgConnection, id: &TenantId) -> Result<bool> {
    diesel::select(diesel::dsl::exists(
        domains::table.filter(domains::tenant_id.eq(id.as_str())),
    ))
    .get_result(conn)
    .map_err(|error| Error::database("look for the tenant's domains", error))
}

fn unset_primary(conn: &mut PgConnection, id: &TenantId) -> Result<()> {
    diesel::update(domains::table)
        .filter(domains::tenant_id.eq(id.as_str()))
        .filter(domains::is_primary)
        .set(domains::is_primary.eq(false))
        .execute(conn)
        .map(drop)
        .map_err(|error| Error::database("unset the primary domain", error))
}

fn promote_oldest(conn: &mut PgConnection, id: &TenantId) -> Result<()> {
    let oldest = domains::table
        .filter(domains::tenant_id.eq(id.as_str()))
        .order((domains::created_at, domains::domain, domains::folder))
        .select((domains::domain, domains::folder))
        .first::<(String, String)>(conn)
        .optional()
        .map_err(|error| Error::database("look for the tenant's domains", error))?;
    match oldest {
        Some((domain, folder)) => {
            set(conn, &Address::read(&domain, &folder)?, true, false).map(drop)
        }
        None => Ok(()),
    }
}

fn set(
    conn: &mut PgConnection,
    address: &Address,
    is_primary: bool,
    redirect: bool,
) -> Result<Domain> {
    diesel::update(domains::table.find((address.domain.as_str(), address.folder())))
        .set((
            domains::is_primary.eq(is_primary),
            domains::redirect_to_primary.eq(redirect),
        ))
        .returning(COLUMNS)
        .get_result::<Row>(conn)
        .map(Domain::from)
        .map_err(|error| Error::database("change the domain", error))
}

fn nowhere(address: &Address) -> Error {
    let message = format!("domain {address} leads to no tenant");
    Error::new(ErrorKind::TenantNotFound, message)
}
