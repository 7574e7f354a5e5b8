//! Links: to a route of the same site, and to another tenant.

use actix_web::{HttpMessage as _, HttpRequest};
use boardinghouse_core::Tenant;

use crate::{
    error::{Cause, Error},
    lookup::PRIMARY,
    middleware::{Seen, tenancy_of},
    mount::with_query,
    request::port,
    tenancy::Tenancy,
};

/// Links that are right however a tenant was found.
pub trait TenantUrls {
    /// The path of a named route, for a link on the site that the request is for: with the tenant's
    /// [base path](crate::Tenant::base_path), and without the [prefix](Tenancy::site_prefix) that
    /// nobody is to see.
    ///
    /// Names and elements are as for [`HttpRequest::url_for`]. There is no host in it, so that no
    /// header of the client's gets into a page.
    ///
    /// # Errors
    ///
    /// When there is no such route, or the elements do not fit; and without the middleware.
    ///
    /// # Examples
    ///
    /// ```
    /// use actix_web::{HttpRequest, get, web};
    /// use boardinghouse_actix::{Error, Tenant, TenantUrls as _};
    ///
    /// #[get("/notes/{id}")]
    /// async fn note(id: web::Path<i32>) -> String {
    ///     id.to_string()
    /// }
    ///
    /// async fn list(request: HttpRequest, tenant: Tenant) -> Result<String, Error> {
    ///     request.tenant_url_for("note", ["7"]) // "/t/acme/notes/7", or "/notes/7"
    /// }
    /// ```
    fn tenant_url_for<I, E>(&self, name: &str, elements: I) -> Result<String, Error>
    where
        I: IntoIterator<Item = E>,
        E: AsRef<str>;

    /// The URL of a path of any tenant, from wherever the request is: without a scheme, on the port that
    /// the request was for, or, where a
    /// [`PathPrefix`](crate::PathPrefix) leads to tenants, without a host. `None` where no resolver can
    /// be given a link: by header, session and the like. It is the first resolver that can that
    /// counts; the table of domains can when the tenant has a domain.
    ///
    /// It may ask the registry.
    ///
    /// # Errors
    ///
    /// Where the registry does not answer; and without the middleware.
    fn url_of(
        &self,
        tenant: &Tenant,
        path: &str,
    ) -> impl Future<Output = Result<Option<String>, Error>>;
}

impl TenantUrls for HttpRequest {
    fn tenant_url_for<I, E>(&self, name: &str, elements: I) -> Result<String, Error>
    where
        I: IntoIterator<Item = E>,
        E: AsRef<str>,
    {
        let url = self.url_for(name, elements).map_err(Cause::Url)?;
        let extensions = self.extensions();
        let seen = extensions.get::<Seen>().ok_or(Cause::NoMiddleware)?;
        let base = seen.tenant.as_ref().map_or("", |tenant| tenant.base_path());
        let path = url.path();
        let path = match path.strip_prefix(seen.added.as_str()) {
            Some(rest) if rest.starts_with('/') => rest,
            Some("") => "/",
            _ => path,
        };
        // What begins with two slashes is read as a host (RFC 3986, section 4.2), and this as a path.
        let dot = if base.is_empty() && path.starts_with("//") {
            "/."
        } else {
            ""
        };
        Ok(with_query(format!("{base}{dot}{path}"), url.query()))
    }

    async fn url_of(&self, tenant: &Tenant, path: &str) -> Result<Option<String>, Error> {
        let tenancy = tenancy_of(self)?;
        let port = port(self.head(), &tenancy.inner().trusted);
        tenancy.url_of(tenant, path, port).await
    }
}

impl Tenancy {
    async fn url_of(
        &self,
        tenant: &Tenant,
        path: &str,
        port: Option<u16>,
    ) -> Result<Option<String>, Error> {
        if let Some(found) = self.inner().statics.get(tenant.id()) {
            let address = found.primary_address();
            return Ok(address.map(|address| address.url_on_port(port, path)));
        }
        let path = path.trim_start_matches('/');
        for resolver in &self.inner().resolvers {
            if let Some(base) = resolver.base_of(tenant.id(), port) {
                return Ok(Some(format!("{base}/{path}")));
            }
            if !resolver.reads_domains() {
                continue;
            }
            let primary = self.cached(PRIMARY, tenant.id()).await?;
            if let Some(address) = primary {
                return Ok(Some(address.url_on_port(port, path)));
            }
        }
        Ok(None)
    }
}
