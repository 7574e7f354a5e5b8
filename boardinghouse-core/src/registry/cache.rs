//! What is remembered of the registry, so that a request costs no query.

mod changes;
mod store;

use std::{fmt, sync::Arc, time::Duration};

use self::{
    changes::Changes,
    store::{Read, Store},
};
use super::{Members, Membership, PgRegistry, Route};
use crate::{
    domain::{Address, DomainName},
    error::Result,
    names::TenantId,
    pool::{Subject, Watcher},
    tenant::Tenant,
};

/// How many answers of each kind are kept, unless said otherwise.
const CAPACITY: u64 = 50_000;

/// A registry that remembers its answers.
///
/// An answer is kept until the registry's triggers tell of a change, which reaches every process within 0.2
/// seconds as a rule and one at most, and at the longest for a minute; while the pool's listener is not
/// connected, for the pool's [`registry_ttl`](crate::TenantPoolBuilder::registry_ttl). That there is no such
/// tenant is an answer, too. How many are kept is bounded, and what is asked for often is kept rather than
/// what was asked for once: names that somebody makes up push nobody out. Of those who ask for the same at
/// the same time one queries; the others wait for the answer. Errors are not kept.
///
/// Cheap to clone; clones are the same cache. The methods whose names begin with `peek` never block and never
/// query; the others may do both.
///
/// # Examples
///
/// ```no_run
/// use boardinghouse_core::{PgRegistry, RegistryCache, TenantPool};
///
/// let pool = TenantPool::builder().build("postgres://localhost/app")?;
/// let cache = RegistryCache::new(PgRegistry::new(pool));
/// let acme = cache.find(&"acme".parse()?)?; // one query
/// let again = cache.find(&"acme".parse()?)?; // none
/// # Ok::<(), boardinghouse_core::Error>(())
/// ```
#[derive(Clone)]
pub struct RegistryCache(Arc<Inner>);

struct Inner {
    registry: PgRegistry,
    members: Arc<dyn Members>,
    changes: Arc<Changes>,
    tenants: Store<TenantId, Option<Tenant>>,
    addresses: Store<Address, Option<Route>>,
    folders: Store<DomainName, bool>,
    primaries: Store<TenantId, Option<Address>>,
    users: Store<String, Arc<[Membership]>>,
}

/// What a cache did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
#[non_exhaustive]
pub struct CacheStats {
    /// Answers that are kept, roughly.
    pub entries: u64,
    /// How often the registry was asked, since the cache was made.
    pub loads: u64,
}

impl RegistryCache {
    /// A cache for up to 50,000 answers of each kind.
    #[must_use]
    pub fn new(registry: PgRegistry) -> Self {
        let members = Arc::new(registry.clone());
        Self::build(registry, members, CAPACITY)
    }

    /// The same, empty, with users' tenants from somewhere else than `boardinghouse.members`.
    #[must_use]
    pub fn with_members(self, members: impl Members) -> Self {
        let capacity = self.0.tenants.capacity();
        Self::build(self.0.registry.clone(), Arc::new(members), capacity)
    }

    /// The same, empty, for up to so many answers of each kind. About 300 bytes each.
    #[must_use]
    pub fn with_capacity(self, answers: u64) -> Self {
        let members = Arc::clone(&self.0.members);
        Self::build(self.0.registry.clone(), members, answers)
    }

    fn build(registry: PgRegistry, members: Arc<dyn Members>, capacity: u64) -> Self {
        let changes = Arc::new(Changes::default());
        let watcher: Arc<dyn Watcher> = Arc::clone(&changes) as _;
        registry.pool().watch(Arc::downgrade(&watcher));
        Self(Arc::new(Inner {
            tenants: Store::new(capacity),
            addresses: Store::new(capacity),
            folders: Store::new(capacity),
            primaries: Store::new(capacity),
            users: Store::new(capacity),
            registry,
            members,
            changes,
        }))
    }

    /// The registry, which asks the database each time.
    #[must_use]
    pub fn registry(&self) -> &PgRegistry {
        &self.0.registry
    }

    /// What the cache did until now.
    #[must_use]
    pub fn stats(&self) -> CacheStats {
        let Inner {
            tenants,
            addresses,
            folders,
            primaries,
            users,
            ..
        } = &*self.0;
        [
            tenants.stats(),
            addresses.stats(),
            folders.stats(),
            primaries.stats(),
            users.stats(),
        ]
        .into_iter()
        .fold(CacheStats::default(), |sum, of| CacheStats {
            entries: sum.entries + of.entries,
            loads: sum.loads + of.loads,
        })
    }

    /// Forgets what has to do with a tenant, so that the registry is asked anew: for who knows better than what is
    /// remembered.
    pub fn forget(&self, id: &TenantId) {
        let subject = Subject::Tenant(id.to_string());
        self.0.changes.changed(Some(subject));
    }

    /// Forgets everything.
    pub fn clear(&self) {
        self.0.changes.changed(None);
    }

    /// As [`find`](Self::find), where that is known; the outer `None` says that it is not.
    #[must_use]
    pub fn peek(&self, id: &TenantId) -> Option<Option<Tenant>> {
        self.0.tenants.peek(id, &self.0.changes, self.belief())
    }

    /// The tenant with this id, whatever its status; `None` where there is none.
    ///
    /// # Errors
    ///
    /// Those of [`PgRegistry::find`].
    pub fn find(&self, id: &TenantId) -> Result<Option<Tenant>> {
        let Inner {
            registry, changes, ..
        } = &*self.0;
        self.0.tenants.get(id, changes, self.belief(), || {
            Ok(Read::of(
                registry.find(id)?,
                [Subject::Tenant(id.to_string())],
            ))
        })
    }

    /// As [`find_by_address`](Self::find_by_address), where that is known.
    #[must_use]
    pub fn peek_by_address(&self, address: &Address) -> Option<Option<Route>> {
        let Inner {
            addresses, changes, ..
        } = &*self.0;
        addresses.peek(address, changes, self.belief())
    }

    /// Where a domain, or a folder of one, leads; `None` where it leads nowhere.
    ///
    /// # Errors
    ///
    /// Those of [`PgRegistry::find_by_address`].
    pub fn find_by_address(&self, address: &Address) -> Result<Option<Route>> {
        let Inner {
            registry, changes, ..
        } = &*self.0;
        self.0.addresses.get(address, changes, self.belief(), || {
            let route = registry.find_by_address(address)?;
            let mut subjects = vec![Subject::Domain(address.domain.to_string())];
            // A change of its primary domain is a change of the tenant.
            let tenant = route.as_ref().map(|route| route.tenant.id().to_string());
            subjects.extend(tenant.map(Subject::Tenant));
            Ok(Read::of(route, subjects))
        })
    }

    /// As [`has_folders`](Self::has_folders), where that is known.
    #[must_use]
    pub fn peek_has_folders(&self, domain: &DomainName) -> Option<bool> {
        let Inner {
            folders, changes, ..
        } = &*self.0;
        folders.peek(domain, changes, self.belief())
    }

    /// Whether tenants live in folders of a domain: where none does, a path need not be looked up.
    ///
    /// # Errors
    ///
    /// Those of [`PgRegistry::find`].
    pub fn has_folders(&self, domain: &DomainName) -> Result<bool> {
        let Inner {
            registry, changes, ..
        } = &*self.0;
        self.0.folders.get(domain, changes, self.belief(), || {
            Ok(Read::of(
                registry.has_folders(domain)?,
                [Subject::Domain(domain.to_string())],
            ))
        })
    }

    /// As [`primary_address`](Self::primary_address), where that is known.
    #[must_use]
    pub fn peek_primary_address(&self, id: &TenantId) -> Option<Option<Address>> {
        let Inner {
            primaries, changes, ..
        } = &*self.0;
        primaries.peek(id, changes, self.belief())
    }

    /// The address to use in links to a tenant; `None` where it has none.
    ///
    /// # Errors
    ///
    /// Those of [`PgRegistry::primary_address`].
    pub fn primary_address(&self, id: &TenantId) -> Result<Option<Address>> {
        let Inner {
            registry, changes, ..
        } = &*self.0;
        self.0.primaries.get(id, changes, self.belief(), || {
            Ok(Read::of(
                registry.primary_address(id)?,
                [Subject::Tenant(id.to_string())],
            ))
        })
    }

    /// As [`memberships`](Self::memberships), where that is known.
    #[must_use]
    pub fn peek_memberships(&self, user: &str) -> Option<Arc<[Membership]>> {
        let Inner { users, changes, .. } = &*self.0;
        users.peek(user, changes, self.belief_of_members())
    }

    /// The tenants that a user belongs to, whatever their status.
    ///
    /// # Errors
    ///
    /// Those of [`Members::of_user`].
    pub fn memberships(&self, user: &str) -> Result<Arc<[Membership]>> {
        let Inner {
            members, changes, ..
        } = &*self.0;
        let belief = self.belief_of_members();
        self.0.users.get(user, changes, belief, || {
            let memberships: Arc<[_]> = members.of_user(user)?.into();
            let of = memberships.iter().map(|m| m.tenant.id().to_string());
            let mut subjects: Vec<_> = of.map(Subject::Tenant).collect();
            subjects.push(Subject::User(user.to_owned()));
            Ok(Read::of(memberships, subjects))
        })
    }

    /// Whether there was such a tenant when it was last asked for, however long ago that is. It says who is
    /// to be asked about before names that somebody made up, and nothing else. The same goes for the others
    /// whose names begin so. None of them blocks.
    #[must_use]
    pub fn remembers(&self, id: &TenantId) -> bool {
        self.0.tenants.remembers(id, Option::is_some)
    }

    /// As [`remembers`](Self::remembers), of an address that led to a tenant.
    #[must_use]
    pub fn remembers_address(&self, address: &Address) -> bool {
        self.0.addresses.remembers(address, Option::is_some)
    }

    /// As [`remembers`](Self::remembers), of a domain that led to a tenant, or some of whose folders did.
    #[must_use]
    pub fn remembers_domain(&self, domain: &DomainName) -> bool {
        self.0.folders.remembers(domain, |has| *has)
            || self.remembers_address(&Address::from(domain.clone()))
    }

    /// As [`remembers`](Self::remembers), of a user who belonged to a tenant.
    #[must_use]
    pub fn remembers_user(&self, user: &str) -> bool {
        self.0.users.remembers(user, |of| !of.is_empty())
    }

    fn belief(&self) -> Duration {
        self.0.registry.pool().belief()
    }

    fn belief_of_members(&self) -> Duration {
        self.belief().min(self.0.members.max_age())
    }
}

impl From<PgRegistry> for RegistryCache {
    fn from(registry: PgRegistry) -> Self {
        Self::new(registry)
    }
}

impl fmt::Debug for RegistryCache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RegistryCache")
            .field("registry", &self.0.registry)
            .field("stats", &self.stats())
            .finish_non_exhaustive()
    }
}
