//! From a request to its tenant.

use actix_web::{
    HttpRequest, HttpResponse,
    dev::ServiceRequest,
    http::{
        StatusCode,
        header::{self, HeaderName},
    },
};
use boardinghouse_core::{Address, Route, Tenant, TenantStatus, User};

use crate::{
    accept::prefers_html,
    error::{Cause, Error},
    lookup::without_www,
    mount::with_query,
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
    pub(crate) redirect_to: Option<Address>,
    /// What the user is there, where that was asked.
    pub(crate) role: Option<String>,
    /// The header that named it.
    pub(crate) named_in: Option<HeaderName>,
}

impl Found {
    pub(crate) fn new(tenant: Tenant, routing: Routing) -> Self {
        Self {
            tenant,
            routing,
            base: None,
            redirect_to: None,
            role: None,
            named_in: routing.is_by_cookie().then_some(header::COOKIE),
        }
    }

    pub(crate) fn at(route: Route, routing: Routing, base: Option<String>) -> Self {
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

impl From<Answer> for HttpResponse {
    fn from(answer: Answer) -> Self {
        match answer {
            Answer::Error(error) => Self::from_error(error),
            Answer::Response(response) => *response,
        }
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
        let named = self.named(&incoming, user.as_ref()).await;
        // Who has chosen a tenant that cannot be entered can choose another.
        let is_chooser = self.is_chooser(&incoming);
        if is_chooser && matches!(&named, Err(Answer::Error(error)) if error.is_forbidden()) {
            return Ok((None, user));
        }
        let Some((mut found, by)) = named? else {
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
        let user = self.known_in(user, &incoming, &found.tenant);
        let entered = self.may_enter(&incoming, &mut found, by, user.as_ref());
        let entered = entered.await;
        let served = entered.and_then(|()| self.is_served(request.request(), &found.tenant));
        if let Err(answer) = served {
            if is_chooser && by.is_some_and(Asked::needs_access) {
                return Ok((None, user));
            }
            return Err(answer);
        }
        if let Some(address) = &found.redirect_to {
            let port = port(request.head(), &inner.trusted);
            let redirect = redirect(request, &found, address, port);
            return Err(Answer::Response(redirect.into()));
        }
        Ok((Some(found), user))
    }

    /// Who sent a request, with regard to the tenant that it is for.
    pub(crate) fn user_in(
        &self,
        incoming: &Incoming<'_>,
        tenant: Option<&Tenant>,
    ) -> Result<Option<User>, Error> {
        let user = match &self.inner().users {
            Some(users) => users.user(incoming).map_err(Cause::User)?,
            None => None,
        };
        Ok(match tenant {
            Some(tenant) => self.known_in(user, incoming, tenant),
            None => user,
        })
    }

    /// Without a user of a former tenant's own, whose id another has now.
    fn known_in(
        &self,
        user: Option<User>,
        incoming: &Incoming<'_>,
        tenant: &Tenant,
    ) -> Option<User> {
        let users = self.inner().users.as_ref()?;
        user.filter(|user| match &user.of_tenant {
            Some(own) if own == tenant.id() => users.is_of(incoming, tenant),
            _ => true,
        })
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
                Named::Unknown => match first {
                    None => return Ok(None),
                    Some(first) => return Err(conflict(&first, resolver).into()),
                },
                Named::Tenant(found) => match &first {
                    None => first = Some((*found, Some(resolver))),
                    Some((before, _)) if before.tenant.id() == found.tenant.id() => {}
                    Some(first) => return Err(conflict(first, resolver).into()),
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
                    named_in: resolver.varies_by(),
                    ..Found::new(tenant, routing)
                }
                .into(),
            ),
            None if resolver.is_final() => {
                if !resolver.needs_access() {
                    return Ok(Named::Unknown);
                }
                resolver.forget(incoming);
                if is_forgeable(resolver) {
                    // As where there is no right, so that nobody can find out which tenants there are.
                    return Err(Cause::Forbidden { id: named }.into());
                }
                // The user has chosen it once, and it is gone.
                if self.is_chooser(incoming) {
                    return Ok(Named::Nothing);
                }
                return Err(self.not_chosen(incoming.headers()).into());
            }
            None => Named::Nothing,
        })
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
            found.role = self.role(user, &found.tenant).await?;
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

    /// Fails where the tenant is not ready.
    pub(crate) fn is_served(&self, request: &HttpRequest, tenant: &Tenant) -> Result<(), Answer> {
        let status = tenant.status();
        if status == TenantStatus::Ready {
            return Ok(());
        }
        let inner = self.inner();
        let page = inner.status_page.as_ref();
        if let Some(page) = page.and_then(|page| page(request, tenant)) {
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
    pub(crate) fn not_chosen(&self, headers: &header::HeaderMap) -> Error {
        let chooser = self.inner().chooser.clone();
        Error::not_chosen(chooser.filter(|_| prefers_html(headers)))
    }
}

/// Whether anybody can name any tenant to it: a session has only what was once allowed.
fn is_forgeable(resolver: &Asked) -> bool {
    resolver.needs_access() && resolver.routing() != Routing::Session
}

/// Why a request is refused for which two resolvers differ. Where anybody can write what one of them reads, the
/// answer is that for a tenant that does not exist.
fn conflict((first, by): &(Found, Option<&Asked>), other: &Asked) -> Cause {
    if is_forgeable(other) || by.is_some_and(is_forgeable) {
        let id = first.tenant.id().clone();
        return Cause::Forbidden { id };
    }
    Cause::Conflict
}

/// To the same page at another address of the tenant. It keeps the method (RFC 9110, section 15.4.9).
fn redirect(
    request: &ServiceRequest,
    found: &Found,
    address: &Address,
    port: Option<u16>,
) -> HttpResponse {
    let uri = request.uri();
    let path = uri.path();
    let base = found.base.as_deref().unwrap_or_default();
    let path = path.strip_prefix(base).unwrap_or(path);
    let to = with_query(address.url_on_port(port, path), uri.query());
    HttpResponse::PermanentRedirect()
        .insert_header((header::LOCATION, to))
        .finish()
}
