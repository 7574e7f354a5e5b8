//! Requests of a test that land in one tenant, however the application routes.
//!
//! For tests with [`actix_web::test`](mod@actix_web::test); tenants for them are in `boardinghouse_core::testing`.
//!
//! # Examples
//!
//! ```no_run
//! use actix_web::{
//!     App,
//!     test::{call_service, init_service},
//! };
//! use boardinghouse_actix::{PathPrefix, Tenancy, testing::TenantClient};
//! use boardinghouse_core::{PgRegistry, TenantPool, testing::TestTenant};
//!
//! # async fn example(pool: TenantPool) -> boardinghouse_core::Result<()> {
//! let acme = TestTenant::new(&pool)?;
//! let tenancy = Tenancy::new(PgRegistry::new(pool)).resolver(PathPrefix::new("/t"));
//! let app = init_service(App::new().wrap(tenancy.middleware())).await;
//!
//! let client = TenantClient::by_path(&acme, "/t");
//! let added = client.post("/notes").set_json("buy milk").to_request();
//! assert_eq!(call_service(&app, added).await.status(), 201);
//! # Ok(())
//! # }
//! ```

use std::net::{IpAddr, Ipv4Addr};

use actix_web::{
    http::{
        Method,
        header::{self, HeaderName, HeaderValue, TryIntoHeaderPair},
    },
    test::TestRequest,
};
use boardinghouse_core::Tenant;

/// Makes requests that the application routes to one tenant.
///
/// It has a constructor for each way to name a tenant; what a test asks for stays the same:
/// `client.get("/notes")`. Each gives a [`TestRequest`], to add to and to send with
/// [`call_service`](actix_web::test::call_service).
///
/// The tenant comes as in real requests, so the resolvers decide: a request for a tenant that is unknown,
/// or by a way that the application does not have, is answered as such. Like a browser, it always sends a
/// `Host`: `localhost`, where nothing else is said. It comes from 127.0.0.1, where nothing else is said.
///
/// # Examples
///
/// ```
/// use actix_web::http::header;
/// use boardinghouse_actix::testing::TenantClient;
/// use boardinghouse_core::Tenant;
///
/// let acme = Tenant::new("acme".parse()?, "acme".parse()?);
/// let request = TenantClient::by_path(&acme, "/t").get("/notes?page=2").to_request();
/// assert_eq!(request.uri(), "/t/acme/notes?page=2");
/// let request = TenantClient::by_subdomain(&acme, "example.com").get("/notes").to_http_request();
/// assert_eq!(request.headers().get(header::HOST).unwrap(), "acme.example.com");
/// # Ok::<(), boardinghouse_core::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct TenantClient {
    /// What all paths begin with; without a slash at its end.
    base: String,
    host: String,
    peer: IpAddr,
    headers: Vec<(HeaderName, HeaderValue)>,
}

impl TenantClient {
    /// For [`HostTable`](crate::HostTable): all requests are for `address`, a host, with its port where that
    /// matters, or the folder of one: `shop.example.com/acme`. Also for requests to the shared site.
    #[must_use]
    pub fn by_host(address: &str) -> Self {
        let (host, folder) = address.split_once('/').unwrap_or((address, ""));
        let folder = folder.trim_end_matches('/');
        let slash = if folder.is_empty() { "" } else { "/" };
        Self {
            base: format!("{slash}{folder}"),
            host: host.into(),
            peer: IpAddr::V4(Ipv4Addr::LOCALHOST),
            headers: Vec::new(),
        }
    }

    /// For [`Subdomain`](crate::Subdomain): all requests are for the tenant's name below `domain`.
    #[must_use]
    pub fn by_subdomain(tenant: &Tenant, domain: &str) -> Self {
        Self::by_host(&format!("{}.{domain}", tenant.id()))
    }

    /// For [`PathPrefix`](crate::PathPrefix): all paths begin with `prefix` and the tenant's name.
    #[must_use]
    pub fn by_path(tenant: &Tenant, prefix: &str) -> Self {
        let base = format!("{}/{}", prefix.trim_matches('/'), tenant.id());
        Self {
            base: format!("/{}", base.trim_start_matches('/')),
            ..Self::by_host("localhost")
        }
    }

    /// For [`Header`](crate::Header): all requests have the tenant's name in the header `name`. Such a
    /// header is believed from trusted peers only: see [`from_peer`](Self::from_peer).
    ///
    /// # Panics
    ///
    /// When `name` cannot name a header.
    #[must_use]
    pub fn by_header(tenant: &Tenant, name: &str) -> Self {
        Self::by_host("localhost").header((name, tenant.id().as_str()))
    }

    /// For [`Cookie`](crate::Cookie): all requests have the tenant's name in the cookie `name`.
    ///
    /// # Panics
    ///
    /// When `name` cannot name a cookie.
    #[must_use]
    pub fn by_cookie(tenant: &Tenant, name: &str) -> Self {
        let cookie = format!("{name}={}", tenant.id());
        Self::by_host("localhost").header((header::COOKIE, cookie))
    }

    /// Sets the host that requests are for, such as the one domain of all tenants with paths of their own.
    /// Defaults to `localhost`.
    #[must_use]
    pub fn on_host(mut self, host: impl Into<String>) -> Self {
        self.host = host.into();
        self
    }

    /// Sets the address that requests come from. Defaults to 127.0.0.1.
    #[must_use]
    pub fn from_peer(mut self, peer: impl Into<IpAddr>) -> Self {
        self.peer = peer.into();
        self
    }

    /// Adds a header to all requests: who sends them, a token with the claim that [`Claim`](crate::Claim)
    /// reads once the application has checked it, or whatever else a resolver of the application's own wants.
    ///
    /// # Panics
    ///
    /// When it cannot be a header.
    #[must_use]
    pub fn header(mut self, header: impl TryIntoHeaderPair) -> Self {
        match header.try_into_pair() {
            Ok(header) => self.headers.push(header),
            Err(error) => panic!("not a header: {}", error.into()),
        }
        self
    }

    /// A GET. The path is the one that the application's routes know, with or without a query.
    ///
    /// # Panics
    ///
    /// As [`request`](Self::request).
    #[must_use]
    pub fn get(&self, path: &str) -> TestRequest {
        self.request(Method::GET, path)
    }

    /// A POST.
    ///
    /// # Panics
    ///
    /// As [`request`](Self::request).
    #[must_use]
    pub fn post(&self, path: &str) -> TestRequest {
        self.request(Method::POST, path)
    }

    /// A PUT.
    ///
    /// # Panics
    ///
    /// As [`request`](Self::request).
    #[must_use]
    pub fn put(&self, path: &str) -> TestRequest {
        self.request(Method::PUT, path)
    }

    /// A PATCH.
    ///
    /// # Panics
    ///
    /// As [`request`](Self::request).
    #[must_use]
    pub fn patch(&self, path: &str) -> TestRequest {
        self.request(Method::PATCH, path)
    }

    /// A DELETE.
    ///
    /// # Panics
    ///
    /// As [`request`](Self::request).
    #[must_use]
    pub fn delete(&self, path: &str) -> TestRequest {
        self.request(Method::DELETE, path)
    }

    /// A HEAD.
    ///
    /// # Panics
    ///
    /// As [`request`](Self::request).
    #[must_use]
    pub fn head(&self, path: &str) -> TestRequest {
        self.request(Method::HEAD, path)
    }

    /// An OPTIONS.
    ///
    /// # Panics
    ///
    /// As [`request`](Self::request).
    #[must_use]
    pub fn options(&self, path: &str) -> TestRequest {
        self.request(Method::OPTIONS, path)
    }

    /// A request of any method.
    ///
    /// # Panics
    ///
    /// When `path` cannot be one of a request, or the host cannot be a header.
    #[must_use]
    pub fn request(&self, method: Method, path: &str) -> TestRequest {
        // `?x` alone is the root's.
        let slash = if path.starts_with('/') { "" } else { "/" };
        let request = TestRequest::with_uri(&format!("{}{slash}{path}", self.base))
            .method(method)
            .peer_addr((self.peer, 49_152).into())
            .insert_header((header::HOST, self.host.as_str()));
        self.headers.iter().fold(request, |request, header| {
            request.append_header(header.clone())
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn acme() -> Tenant {
        Tenant::new("acme".parse().unwrap(), "acme".parse().unwrap())
    }

    #[test]
    fn slashes_around_prefixes_and_paths_make_no_difference() {
        for prefix in ["t", "/t", "/t/"] {
            for path in ["/notes", "notes"] {
                let request = TenantClient::by_path(&acme(), prefix).get(path);
                assert_eq!(request.to_request().uri(), "/t/acme/notes");
            }
        }
        for address in ["shop.test:81/acme", "shop.test:81/acme/"] {
            let request = TenantClient::by_host(address)
                .get("/notes")
                .to_http_request();
            assert_eq!(request.uri(), "/acme/notes");
            assert_eq!(request.headers().get(header::HOST).unwrap(), "shop.test:81");
        }
        for root in ["/", ""] {
            let client = TenantClient::by_path(&acme(), root);
            assert_eq!(client.get("/").to_request().uri(), "/acme/");
            assert_eq!(client.get("?x=1").to_request().uri(), "/acme/?x=1");
        }
    }

    #[test]
    fn a_request_has_one_host_and_all_headers() {
        let client = TenantClient::by_header(&acme(), "x-tenant")
            .on_host("gateway.test:8080")
            .header((header::COOKIE, "a=1"))
            .header((header::COOKIE, "b=2"))
            .from_peer([10, 0, 0, 1]);
        let request = client.request(Method::TRACE, "/x").to_http_request();
        let all = |name: &str| -> Vec<&str> {
            let values = request.headers().get_all(name);
            values.map(|value| value.to_str().unwrap()).collect()
        };
        assert_eq!(all("host"), ["gateway.test:8080"]);
        assert_eq!(all("x-tenant"), ["acme"]);
        assert_eq!(all("cookie"), ["a=1", "b=2"]);
        assert_eq!(request.method(), Method::TRACE);
        assert_eq!(
            request.peer_addr().unwrap().ip(),
            IpAddr::from([10, 0, 0, 1])
        );
    }
}
