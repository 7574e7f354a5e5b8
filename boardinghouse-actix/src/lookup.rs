//! Who has an address, an id or a membership, by the configuration and the registry.

use std::sync::Arc;

use boardinghouse_core::{
    Address, DomainName, ErrorKind, FolderName, Membership, RegistryCache, Route, Tenant, TenantId,
    User,
};

use crate::{
    blocking,
    error::{Cause, Error},
    find::Found,
    resolver::Routing,
    tenancy::Tenancy,
};

/// What can be asked of the registry, and of what is remembered of it.
pub(crate) struct Question<K, T> {
    /// What is known.
    pub(crate) peek: fn(&RegistryCache, &K) -> Option<T>,
    /// The same, asked if need be.
    pub(crate) read: fn(&RegistryCache, &K) -> boardinghouse_core::Result<T>,
    /// Whether it was not made up.
    pub(crate) remembers: fn(&RegistryCache, &K) -> bool,
}

const TENANT: Question<TenantId, Option<Tenant>> = Question {
    peek: RegistryCache::peek,
    read: RegistryCache::find,
    remembers: RegistryCache::remembers,
};

const ROUTE: Question<Address, Option<Route>> = Question {
    peek: RegistryCache::peek_by_address,
    read: RegistryCache::find_by_address,
    remembers: RegistryCache::remembers_address,
};

const HAS_FOLDERS: Question<DomainName, bool> = Question {
    peek: RegistryCache::peek_has_folders,
    read: RegistryCache::has_folders,
    remembers: RegistryCache::remembers_domain,
};

const MEMBERSHIPS: Question<String, Arc<[Membership]>> = Question {
    peek: |cache, user| cache.peek_memberships(user),
    read: |cache, user| cache.memberships(user),
    remembers: |cache, user| cache.remembers_user(user),
};

pub(crate) const PRIMARY: Question<TenantId, Option<Address>> = Question {
    peek: RegistryCache::peek_primary_address,
    read: RegistryCache::primary_address,
    // It is asked of tenants that were found.
    remembers: |_, _| true,
};

impl Tenancy {
    /// The tenant of the configuration whose domain it is, or whose folder of it.
    pub(crate) fn static_at(&self, host: &DomainName, path: &str) -> Option<Found> {
        let statics = &self.inner().statics;
        if let Some(folder) = first_folder(path)
            && let Some(found) = statics.by_address(host, Some(&folder))
        {
            return Some(Found {
                base: Some(format!("/{folder}")),
                ..Found::new(found.tenant.clone(), Routing::Static)
            });
        }
        let found = statics.by_address(host, None)?;
        Some(Found::new(found.tenant.clone(), Routing::Static))
    }

    /// The tenant of a domain, or of a folder of it.
    pub(crate) async fn at_domain(
        &self,
        domain: DomainName,
        path: &str,
        routing: Routing,
    ) -> Result<Option<Found>, Error> {
        let shorter = self.inner().ignore_www.then(|| without_www(&domain));
        let found = self.at_one_domain(domain, path, routing).await?;
        match (found, shorter.flatten()) {
            (None, Some(shorter)) => self.at_one_domain(shorter, path, routing).await,
            (found, _) => Ok(found),
        }
    }

    async fn at_one_domain(
        &self,
        domain: DomainName,
        path: &str,
        routing: Routing,
    ) -> Result<Option<Found>, Error> {
        if let Some(folder) = first_folder(path)
            && self.cached(HAS_FOLDERS, &domain).await?
        {
            let base = format!("/{folder}");
            let address = Address::new(domain.clone(), Some(folder));
            if let Some(route) = self.at_address(address).await? {
                return Ok(Some(Found::at(route, Routing::Folder, Some(base))));
            }
        }
        let route = self.at_address(domain.into()).await?;
        Ok(route.map(|route| Found::at(route, routing, None)))
    }

    async fn at_address(&self, address: Address) -> Result<Option<Route>, Error> {
        let route = self.cached(ROUTE, &address).await?;
        Ok(route.filter(|route| self.can_be_served(&route.tenant)))
    }

    pub(crate) async fn tenant(&self, id: TenantId) -> Result<Option<Tenant>, Error> {
        if let Some(found) = self.inner().statics.get(&id) {
            return Ok(Some(found.tenant.clone()));
        }
        let reserved = self.registry().pool().layout().schema_for(&id);
        if reserved.is_err_and(|error| error.kind() == ErrorKind::ReservedName) {
            return Ok(None);
        }
        let tenant = self.cached(TENANT, &id).await?;
        Ok(tenant.filter(|tenant| self.can_be_served(tenant)))
    }

    /// A row that somebody wrote by hand must not make a tenant of the shared schema, nor one that has the id or
    /// the schema of a static tenant, of which the layout need not know.
    pub(crate) fn can_be_served(&self, tenant: &Tenant) -> bool {
        let layout = self.registry().pool().layout();
        if layout.tenant_schema(tenant.schema()).is_err() {
            return false;
        }
        let mut statics = self.inner().statics.iter().map(|own| &own.tenant);
        let is_registered = tenant.incarnation() != 0;
        !is_registered
            || !statics.any(|own| own.id() == tenant.id() || own.schema() == tenant.schema())
    }

    /// What a user is in a tenant; `None` for one who is no member of it.
    pub(crate) async fn role(
        &self,
        user: Option<&User>,
        tenant: &Tenant,
    ) -> Result<Option<String>, Error> {
        let Some(user) = user.filter(|user| user.is_known_to(tenant.id())) else {
            return Ok(None);
        };
        let memberships = self.memberships(user).await?;
        let membership = memberships.iter().find(|m| is_same(&m.tenant, tenant));
        Ok(membership.map(|membership| membership.role.clone()))
    }

    /// The tenants of a user; for one of a tenant's own, that tenant at most.
    pub(crate) async fn memberships(&self, user: &User) -> Result<Arc<[Membership]>, Error> {
        let known = self.cached(MEMBERSHIPS, &user.id).await?;
        if user.of_tenant.is_none() {
            return Ok(known);
        }
        let own = known.iter().filter(|m| user.is_known_to(m.tenant.id()));
        Ok(own.cloned().collect())
    }

    /// What the cache knows; else what the registry says, asked off the worker thread, as soon as there are
    /// not too many who ask.
    pub(crate) async fn cached<K, T>(&self, what: Question<K, T>, key: &K) -> Result<T, Error>
    where
        K: Clone + Send + 'static,
        T: Send + 'static,
    {
        let cache = self.cache();
        if let Some(known) = (what.peek)(cache, key) {
            return Ok(known);
        }
        let queue = &self.inner().queue;
        let asked = async {
            let turn = queue.turn((what.remembers)(cache, key)).await;
            // Somebody may have asked for the same meanwhile.
            if let Some(known) = (what.peek)(cache, key) {
                return Ok(known);
            }
            let key = key.clone();
            self.look_up(move |cache| {
                // Kept until the registry has answered, also where nobody waits for it any more.
                let _turn = turn;
                (what.read)(&cache, &key)
            })
            .await
        };
        queue.at_most(asked).await
    }

    /// Asks the registry, off the worker thread.
    pub(crate) async fn look_up<T: Send + 'static>(
        &self,
        lookup: impl FnOnce(RegistryCache) -> boardinghouse_core::Result<T> + Send + 'static,
    ) -> Result<T, Error> {
        let cache = self.cache().clone();
        let found = blocking::run(move || lookup(cache)).await?;
        found.map_err(|error| Cause::Lookup(error.into()).into())
    }
}

/// Whether a membership is of this tenant, and not of another that had the id before, or has it in the registry
/// where this is a static one. Sources of memberships other than the registry may know the id alone.
pub(crate) fn is_same(member_of: &Tenant, tenant: &Tenant) -> bool {
    let incarnation = member_of.incarnation();
    member_of.id() == tenant.id() && [0, tenant.incarnation()].contains(&incarnation)
}

/// The folder that a path is in, where its first segment can be one.
fn first_folder(path: &str) -> Option<FolderName> {
    let rest = path.strip_prefix('/')?;
    let segment = rest.split_once('/').map_or(rest, |(segment, _)| segment);
    FolderName::parse(segment).ok()
}

/// What is left of a domain without `www.`, where that is a domain still.
pub(crate) fn without_www(domain: &DomainName) -> Option<DomainName> {
    let rest = domain.as_str().strip_prefix("www.")?;
    rest.contains('.').then(|| DomainName::parse(rest).ok())?
}
