//! Tenants that the configuration names, and no registry.

pub(crate) mod file;

use std::{
    collections::{HashMap, HashSet},
    path::{Path, PathBuf},
    sync::Arc,
};

use crate::{
    domain::{Address, DomainName, FolderName},
    error::{Error, ErrorKind, Result},
    layout::Layout,
    names::TenantId,
    tenant::{Tenant, TenantStatus},
};

/// A tenant that the configuration names, such as the site of the company itself.
///
/// It has a schema and a path as every tenant has, and migrations of its own; the registry knows nothing of
/// it, and need not be there.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct StaticTenant {
    /// The tenant: always ready, with [incarnation](Tenant::incarnation) 0.
    pub tenant: Tenant,
    /// Where it is found, the primary address first.
    pub addresses: Vec<Address>,
    /// Whether its domains lead to it only where nothing else is found there, so that tenants can live in
    /// folders of them. Its own folders come first all the same.
    pub fallback: bool,
    /// The directory of its migrations.
    pub migrations: Option<PathBuf>,
}

impl StaticTenant {
    /// A tenant that nothing leads to yet, without migrations.
    #[must_use]
    pub fn new(tenant: Tenant) -> Self {
        Self {
            tenant,
            addresses: Vec::new(),
            fallback: false,
            migrations: None,
        }
    }

    /// Adds a domain, or a folder of one, that leads to the tenant. The first one is the primary.
    #[must_use]
    pub fn address(mut self, address: Address) -> Self {
        self.addresses.push(address);
        self
    }

    /// Sets whether its domains come last: see [`fallback`](Self::fallback). Defaults to false.
    #[must_use]
    pub fn as_fallback(mut self, fallback: bool) -> Self {
        self.fallback = fallback;
        self
    }

    /// The address to use in links to the tenant; `None` where it has none.
    #[must_use]
    pub fn primary_address(&self) -> Option<&Address> {
        self.addresses.first()
    }

    /// The URL of a path of the tenant, as [`Address::url`] writes it; `None` where it has no address.
    #[must_use]
    pub fn url(&self, path: &str) -> Option<String> {
        self.primary_address().map(|address| address.url(path))
    }
}

/// All tenants that the configuration names.
///
/// Cheap to clone. No two of them have an id, a schema or an address in common, and none has the schema of
/// another role.
///
/// # Examples
///
/// ```
/// use boardinghouse_core::{Layout, StaticTenants};
///
/// let statics = StaticTenants::from_toml(
///     r#"
///     [static.www]
///     domains = ["example.com", "www.example.com"]
///     fallback = true                  # tenants live in example.com/…
///
///     [static.blog]
///     domains = ["example.com/blog"]   # a folder
///     migrations = "migrations/blog"
///     kind = "site"
///     [static.blog.attributes]
///     theme = "dark"
///     "#,
///     &Layout::default(),
/// )?;
/// let example = "example.com".parse()?;
/// let blog = statics.by_address(&example, Some(&"blog".parse()?)).expect("it is there");
/// assert_eq!(blog.tenant.schema().as_str(), "blog");
/// assert_eq!(blog.tenant.attribute::<String>("theme")?.as_deref(), Some("dark"));
/// assert!(statics.by_address(&example, None).is_none());
/// assert_eq!(statics.fallback_for(&example).map(|www| www.tenant.id().as_str()), Some("www"));
/// # Ok::<(), boardinghouse_core::Error>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct StaticTenants(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    /// In the order of their ids.
    tenants: Vec<StaticTenant>,
    domains: HashMap<DomainName, Places>,
}

/// Who is where on a domain: positions in the list.
#[derive(Debug, Default)]
struct Places {
    whole: Option<usize>,
    fallback: Option<usize>,
    folders: HashMap<FolderName, usize>,
}

impl StaticTenants {
    /// These tenants, in a database with this layout. An id that the layout reserves is theirs to take.
    ///
    /// # Errors
    ///
    /// * [`ErrorKind::InvalidInput`] when two have an id, a schema (in whatever case) or an address in
    ///   common, when one is a fallback and has no domain of its own, and for a tenant of the registry or
    ///   one that is not ready.
    /// * [`ErrorKind::ReservedName`] for the schema of another role.
    pub fn new(tenants: impl IntoIterator<Item = StaticTenant>, layout: &Layout) -> Result<Self> {
        let mut tenants: Vec<StaticTenant> = tenants.into_iter().collect();
        tenants.sort_by(|a, b| a.tenant.id().cmp(b.tenant.id()));
        let mut schemas = HashSet::new();
        let mut domains: HashMap<DomainName, Places> = HashMap::new();
        for (at, new) in tenants.iter().enumerate() {
            let id = new.tenant.id();
            let refused =
                |message: String| Err(Error::new(ErrorKind::InvalidInput, message).with_tenant(id));
            layout
                .has_no_role(new.tenant.schema())
                .map_err(|error| error.with_tenant(id))?;
            if new.tenant.incarnation() != 0 || new.tenant.status() != TenantStatus::Ready {
                return refused(format!(
                    "tenant {id} cannot be a static one: it is of the registry, or not ready"
                ));
            }
            if at > 0 && tenants[at - 1].tenant.id() == id {
                return refused(format!("two static tenants are called {id}"));
            }
            if !schemas.insert(new.tenant.schema().as_str().to_lowercase()) {
                let schema = new.tenant.schema();
                return refused(format!("schema {schema} is that of two static tenants"));
            }
            if new.fallback && new.addresses.iter().all(|a| a.folder.is_some()) {
                return refused(format!(
                    "static tenant {id} is a fallback, and has no domain for which it could be one"
                ));
            }
            for address in &new.addresses {
                let places = domains.entry(address.domain.clone()).or_default();
                let taken = match &address.folder {
                    Some(folder) => places.folders.insert(folder.clone(), at).is_some(),
                    None if places.whole.is_some() || places.fallback.is_some() => true,
                    None if new.fallback => places.fallback.replace(at).is_some(),
                    None => places.whole.replace(at).is_some(),
                };
                if taken {
                    return refused(format!("{address} leads to two static tenants, or twice"));
                }
            }
        }
        Ok(Self(Arc::new(Inner { tenants, domains })))
    }

    /// Those of the sections `[static.ID]` of a `boardinghouse.toml`; other sections are not looked at.
    ///
    /// | key | says | default |
    /// |---|---|---|
    /// | `domains` | its addresses: `"example.com"`, `"example.com/blog"` | none |
    /// | `fallback` | see [`StaticTenant::fallback`] | `false` |
    /// | `migrations` | the directory of its migrations | none: its schema is created and left empty |
    /// | `schema` | its schema | as of a tenant with this id |
    /// | `kind` | see [`Tenant::kind`] | none |
    /// | `display_name` | its name for people | the id |
    /// | `attributes` | a table: see [`Tenant::attribute`] | none |
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidInput`] for text that is not that, with the line, and those of
    /// [`new`](Self::new).
    pub fn from_toml(text: &str, layout: &Layout) -> Result<Self> {
        file::parse(text, layout, Path::new(""))
            .map_err(|wrong| wrong.error(|line| format!("line {line}: ")))
    }

    /// As [`from_toml`](Self::from_toml), from a file. The directories of migrations are relative to that of
    /// the file.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidInput`] when the file cannot be read, and those of
    /// [`from_toml`](Self::from_toml).
    pub fn load(path: impl AsRef<Path>, layout: &Layout) -> Result<Self> {
        let path = path.as_ref();
        let text = file::read(path)?;
        let beside = path.parent().unwrap_or(Path::new(""));
        file::parse(&text, layout, beside)
            .map_err(|wrong| wrong.error(|line| format!("{}:{line}: ", path.display())))
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.tenants.is_empty()
    }

    /// All of them, in the order of their ids.
    pub fn iter(&self) -> std::slice::Iter<'_, StaticTenant> {
        self.0.tenants.iter()
    }

    /// The one with this id.
    #[must_use]
    pub fn get(&self, id: &TenantId) -> Option<&StaticTenant> {
        let tenants = &self.0.tenants;
        let at = tenants.binary_search_by(|s| s.tenant.id().cmp(id)).ok()?;
        tenants.get(at)
    }

    /// The one that has this domain, or this folder of it, and nothing but that: a folder that nobody has is
    /// not looked for in the domain itself. Not a domain's [fallback](Self::fallback_for).
    #[must_use]
    pub fn by_address(
        &self,
        domain: &DomainName,
        folder: Option<&FolderName>,
    ) -> Option<&StaticTenant> {
        let places = self.0.domains.get(domain)?;
        let at = match folder {
            Some(folder) => *places.folders.get(folder)?,
            None => places.whole?,
        };
        self.0.tenants.get(at)
    }

    /// The one to which a domain leads where nothing else is found there.
    #[must_use]
    pub fn fallback_for(&self, domain: &DomainName) -> Option<&StaticTenant> {
        self.0.tenants.get(self.0.domains.get(domain)?.fallback?)
    }

    /// Whether one of them lives in a folder of a domain.
    #[must_use]
    pub fn has_folders(&self, domain: &DomainName) -> bool {
        let places = self.0.domains.get(domain);
        places.is_some_and(|places| !places.folders.is_empty())
    }
}

impl<'a> IntoIterator for &'a StaticTenants {
    type Item = &'a StaticTenant;
    type IntoIter = std::slice::Iter<'a, StaticTenant>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

#[cfg(test)]
mod tests;
