//! From a request to its tenant.

use std::sync::Arc;

use actix_web::{
    HttpResponse,
    dev::ServiceRequest,
    http::{StatusCode, header},
};
use boardinghouse_core::{
    Address, DomainName, ErrorKind, FolderName, Membership, RegistryCache, Route, Tenant, TenantId,
    TenantStatus, User,
};

use crate::{
    accept::prefers_html,
    blocking,
    error::{Cause, Error},
    request::{Incoming, port},
    resolver::{Asked, Resolution, Routing},
    tenancy::Tenancy,
    unknown::Unknown,
};

/// A tenant that a request names, and what else is known of how.
#[derive(Clone, Debug)]
pub(crate) struct Found {
    pub(crate) tenant: Tenant,
    pub(crate) routing: Routing,
    /// The part of the path that belongs to the tenant.
    pub(crate) base: Option<String>,
    /// Where the request is to be sent on to.
    redirect_to: Option<Address>,
    /// What the user is there, where that was asked.
    pub(crate) role: Option<String>,
}

impl Found {
    fn new(tenant: Tenant, routing: Routing) -> Self {
        Self {
            tenant,
            routing,
            base: None,
            redirect_to: None,
            role: None,
        }
    }

    fn at(route: Route, routing: Routing, base: Option<String>) -> Self {
        Self {
            base,
            redirect_to: route.redirect_to,
            ..Self::new(route.tenant, routing)
        }
    }
}

/// What is answered instead of calling a handler.
pub(crate) enum Answer {
    Error(Error),
    Response(Box<HttpResponse>),
}

impl<E: Into<Error>> From<E> for Answer {
    fn from(error: E) -> Self {
        Self::Error(error.into())
    }
}

/// What one resolver makes of a request.
enum Named {
    Nothing,
    Tenant(Box<Found>),
    /// A tenant that does not exist.
    Unknown,
}

impl Tenancy {
    /// The tenant of a request, and who sent it; no tenant where the shared site is to be served.
    pub(crate) async fn find(
        &self,
        request: &ServiceRequest,
    ) -> Result<(Option<Found>, Option<User>), Answer> {
        let inner = self.inner();
        let incoming = Incoming::new(request, &inner.trusted)?;
        let user = self.user_in(&incoming, None)?;
        let Some((mut found, by)) = self.named(&incoming, user.as_ref()).await? else {
            return match &inner.unknown {
                Unknown::Status(status) => {
                    let host = incoming.host();
                    Err(Error::unknown(*status, host, request.path()).into())
                }
                Unknown::SharedSite => Ok((None, user)),
                Unknown::Handler(handler) => {
                    let answer = handler.answer(request.request().clone()).await;
                    Err(Answer::Response(answer.into()))
                }
            };
        };
        let user = self.user_in(&incoming, Some(&found.tenant))?;
        let entered = self.may_enter(&incoming, &mut found, by, user.as_ref());
        let entered = entered.await;
        if let Err(answer) = entered.and_then(|()| self.is_served(request, &found.tenant)) {
            // Who has chosen a tenant that cannot be entered can choose another.
            let was_chosen = by.is_some_and(Asked::needs_access);
            if was_chosen && self.is_chooser(&incoming) {
                return Ok((None, user));
            }
            return Err(answer);
        }
        if let Some(address) = &found.redirect_to {
            return Err(Answer::Response(redirect(request, &found, address).into()));
        }
        Ok((Some(found), user))
    }

    /// Who sent a request, with regard to the tenant that it is for.
    pub(crate) fn user_in(
        &self,
        incoming: &Incoming<'_>,
        tenant: Option<&Tenant>,
    ) -> Result<Option<User>, Error> {
        let Some(users) = &self.inner().users else {
            return Ok(None);
        };
        let user = users.user(incoming).map_err(Cause::User)?;
        Ok(user.filter(|user| match (&user.of_tenant, tenant) {
            (Some(own), Some(tenant)) if own == tenant.id() => users.is_of(incoming, tenant),
            _ => true,
        }))
    }

    /// The tenant that a request names, and the resolver that says so.
    #[cfg_attr(
        not(feature = "session"),
        expect(unused_variables, reason = "nobody has chosen one")
    )]
    async fn named(
        &self,
        incoming: &Incoming<'_>,
        user: Option<&User>,
    ) -> Result<Option<(Found, Option<&Asked>)>, Answer> {
        let inner = self.inner();
        let mut first: Option<(Found, Option<&Asked>)> = None;
        let host = incoming.host();
        let path = incoming.path();
        if let Some(found) = host.and_then(|host| self.static_at(host, path)) {
            return Ok(Some((found, None)));
        }
        for resolver in &inner.resolvers {
            match self.ask(resolver, incoming).await? {
                Named::Nothing => {}
                Named::Unknown if first.is_some() => return Err(Cause::Conflict.into()),
                Named::Unknown => return Ok(None),
                Named::Tenant(found) => match &first {
                    None => first = Some((*found, Some(resolver))),
                    Some((before, _)) if before.tenant.id() == found.tenant.id() => {}
                    Some(_) => return Err(Cause::Conflict.into()),
                },
            }
            if first.is_some() && !inner.deny_conflicts {
                break;
            }
        }
        if first.is_some() {
            return Ok(first);
        }
        #[cfg(feature = "session")]
        if let Some(tenant) = self.only_tenant(incoming, user).await? {
            return Ok(Some((Found::new(tenant, Routing::Session), None)));
        }
        let shorter = host.filter(|_| inner.ignore_www).and_then(without_www);
        if let Some(found) = shorter.as_ref().and_then(|host| self.static_at(host, path)) {
            return Ok(Some((found, None)));
        }
        let mut hosts = host.into_iter().chain(&shorter);
        let fallback = hosts.find_map(|host| inner.statics.fallback_for(host));
        if let Some(fallback) = fallback {
            let found = Found::new(fallback.tenant.clone(), Routing::Static);
            return Ok(Some((found, None)));
        }
        let Some(id) = &inner.default_tenant else {
            return Ok(None);
        };
        let found = self.tenant(id.clone()).await?;
        Ok(found.map(|tenant| (Found::new(tenant, Routing::Default), None)))
    }

    async fn ask(&self, resolver: &Asked, incoming: &Incoming<'_>) -> Result<Named, Answer> {
        let routing = resolver.routing();
        let (id, base) = match resolver.resolve(incoming).await.map_err(Cause::Lookup)? {
            Resolution::Pass => return Ok(Named::Nothing),
            Resolution::Unknown => return Ok(Named::Unknown),
            Resolution::Refuse(status) => return Err(Cause::Refused(status).into()),
            Resolution::Domain(domain) => {
                let found = self.at_domain(domain, incoming.path(), routing).await?;
                return Ok(found.map_or(Named::Nothing, |found| Named::Tenant(found.into())));
            }
            Resolution::Tenant(id) => (id, None),
            Resolution::Mounted { tenant, base } => (tenant, Some(base)),
        };
        let named = id.clone();
        let tenant = self.tenant(id).await?;
        let tenant = tenant.filter(|tenant| resolver.means(incoming, tenant));
        Ok(match tenant {
            Some(tenant) => Named::Tenant(
                Found {
                    base,
                    ..Found::new(tenant, routing)
                }
                .into(),
            ),
            None if resolver.is_final() => {
                if resolver.needs_access() && routing == Routing::Header {
                    // As where there is no right, so that nobody can find out which tenants there are.
                    return Err(Cause::Forbidden { id: named }.into());
                }
                if resolver.needs_access() {
                    // The user has chosen it once, and it is gone.
                    resolver.forget(incoming);
                    if self.is_chooser(incoming) {
                        return Ok(Named::Nothing);
                    }
                    return Err(self.no_tenant(incoming).into());
                }
                Named::Unknown
            }
            None => Named::Nothing,
        })
    }

    /// The tenant of the configuration whose domain it is, or whose folder of it.
    fn static_at(&self, host: &DomainName, path: &str) -> Option<Found> {
        let statics = &self.inner().statics;
        let folder = first_segment(path).and_then(|s| FolderName::parse(s).ok());
        if let Some(folder) = folder
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
    async fn at_domain(
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
        let folder = first_segment(path).and_then(|segment| FolderName::parse(segment).ok());
        if let Some(folder) = folder
            && self.has_folders(domain.clone()).await?
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

    async fn has_folders(&self, domain: DomainName) -> Result<bool, Error> {
        match self.cache().peek_has_folders(&domain) {
            Some(known) => Ok(known),
            None => self.look_up(move |cache| cache.has_folders(&domain)).await,
        }
    }

    async fn at_address(&self, address: Address) -> Result<Option<Route>, Error> {
        let route = match self.cache().peek_by_address(&address) {
            Some(known) => known,
            None => {
                self.look_up(move |cache| cache.find_by_address(&address))
                    .await?
            }
        };
        let statics = &self.inner().statics;
        Ok(route.filter(|route| {
            self.can_be_served(&route.tenant) && statics.get(route.tenant.id()).is_none()
        }))
    }

    pub(crate) async fn tenant(&self, id: TenantId) -> Result<Option<Tenant>, Error> {
        if let Some(found) = self.inner().statics.get(&id) {
            return Ok(Some(found.tenant.clone()));
        }
        let reserved = self.registry().pool().layout().schema_for(&id);
        if reserved.is_err_and(|error| error.kind() == ErrorKind::ReservedName) {
            return Ok(None);
        }
        let tenant = match self.cache().peek(&id) {
            Some(known) => known,
            None => self.look_up(move |cache| cache.find(&id)).await?,
        };
        Ok(tenant.filter(|tenant| self.can_be_served(tenant)))
    }

    /// A row that somebody wrote by hand must not make a tenant of the shared schema.
    pub(crate) fn can_be_served(&self, tenant: &Tenant) -> bool {
        let layout = self.registry().pool().layout();
        layout.tenant_schema(tenant.schema()).is_ok()
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

    /// Fails where the user named the tenant and may not enter it.
    async fn may_enter(
        &self,
        incoming: &Incoming<'_>,
        found: &mut Found,
        by: Option<&Asked>,
        user: Option<&User>,
    ) -> Result<(), Answer> {
        let inner = self.inner();
        let asked = by.is_some_and(Asked::needs_access);
        let id = found.tenant.id();
        if inner.access.is_some() {
            found.role = self.role(user, id).await?;
        }
        if !asked && !inner.restricted {
            return Ok(());
        }
        let access = inner.access.as_ref().ok_or(Cause::NoAccess)?;
        if access.allows(user, &found.tenant, found.role.as_deref()) {
            return Ok(());
        }
        if let Some(resolver) = by {
            resolver.forget(incoming);
        }
        Err(Cause::Forbidden { id: id.clone() }.into())
    }

    /// What a user is in a tenant; `None` for one who is no member of it.
    pub(crate) async fn role(
        &self,
        user: Option<&User>,
        tenant: &TenantId,
    ) -> Result<Option<String>, Error> {
        let Some(user) = user.filter(|user| user.is_known_to(tenant)) else {
            return Ok(None);
        };
        let memberships = self.memberships(user).await?;
        let membership = memberships.iter().find(|m| m.tenant.id() == tenant);
        Ok(membership.map(|membership| membership.role.clone()))
    }

    /// The tenants of a user; for one of a tenant's own, that tenant at most.
    pub(crate) async fn memberships(&self, user: &User) -> Result<Arc<[Membership]>, Error> {
        let known = match self.cache().peek_memberships(&user.id) {
            Some(known) => known,
            None => {
                let user = user.id.clone();
                self.look_up(move |cache| cache.memberships(&user)).await?
            }
        };
        if user.of_tenant.is_none() {
            return Ok(known);
        }
        let own = known.iter().filter(|m| user.is_known_to(m.tenant.id()));
        Ok(own.cloned().collect())
    }

    /// Fails where the tenant is not ready.
    pub(crate) fn is_served(
        &self,
        request: &ServiceRequest,
        tenant: &Tenant,
    ) -> Result<(), Answer> {
        let status = tenant.status();
        if status == TenantStatus::Ready {
            return Ok(());
        }
        let inner = self.inner();
        let page = inner.status_page.as_ref();
        if let Some(page) = page.and_then(|page| page(request.request(), tenant)) {
            return Err(Answer::Response(page.into()));
        }
        let code = match status {
            TenantStatus::Suspended => inner.suspended,
            _ => StatusCode::SERVICE_UNAVAILABLE,
        };
        let id = tenant.id().clone();
        Err(Cause::NotReady { id, status, code }.into())
    }

    fn is_chooser(&self, incoming: &Incoming<'_>) -> bool {
        self.inner().chooser.as_deref() == Some(incoming.path())
    }

    /// What a request gets that needs a tenant, and for which none was chosen.
    fn no_tenant(&self, incoming: &Incoming<'_>) -> Error {
        let chooser = self.inner().chooser.clone();
        Error::not_chosen(chooser.filter(|_| prefers_html(incoming.headers())))
    }
}

fn first_segment(path: &str) -> Option<&str> {
    let rest = path.strip_prefix('/')?;
    Some(rest.split_once('/').map_or(rest, |(segment, _)| segment))
}

/// What is left of a domain without `www.`, where that is a domain still.
fn without_www(domain: &DomainName) -> Option<DomainName> {
    let rest = domain.as_str().strip_prefix("www.")?;
    rest.contains('.').then(|| DomainName::parse(rest).ok())?
}

/// To the same page at another address of the tenant. It keeps the method (RFC 9110, section 15.4.9).
fn redirect(request: &ServiceRequest, found: &Found, address: &Address) -> HttpResponse {
    let uri = request.uri();
    let path = uri.path();
    let base = found.base.as_deref().unwrap_or_default();
    let path = path.strip_prefix(base).unwrap_or(path);
    let mut to = address.url_on_port(port(request.head()), path);
    if let Some(query) = uri.query() {
        to.push('?');
        to.push_str(query);
    }
    HttpResponse::PermanentRedirect()
        .insert_header((header::LOCATION, to))
        .finish()
}
