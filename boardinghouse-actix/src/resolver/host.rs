//! Tenants by host name.

use actix_web::http::StatusCode;
use boardinghouse_core::{DomainName, Result, TenantId};

use super::{Resolution, Routing, TenantResolver, named};
use crate::{error::BoxError, request::Incoming};

/// Tenants by the host names in the registry (`boardinghouse.domains`).
///
/// The whole name must match. Where tenants live in folders of a domain, the first segment of the path is
/// the folder, as it was sent, and routes see only the rest, as with [`PathPrefix`](crate::PathPrefix). A
/// segment that is nobody's folder belongs to the tenant that has the domain itself, if there is one. An
/// address that is to redirect gets 308, to the tenant's primary one. A host that leads to no tenant is left to the next resolver, a request
/// without a host gets 400.
///
/// With a [`Subdomain`] as well, add that first: it decides every name below its domain, so that a
/// domain which one customer registers cannot take the subdomain of another.
///
/// # Examples
///
/// ```
/// use boardinghouse_actix::{HostTable, Subdomain, Tenancy};
/// use boardinghouse_core::PgRegistry;
///
/// # fn example(registry: PgRegistry) -> Result<Tenancy, boardinghouse_core::Error> {
/// let tenancy = Tenancy::new(registry)
///     .resolver(Subdomain::of("example.com")?)
///     .resolver(HostTable); // customers' own domains
/// # Ok(tenancy)
/// # }
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct HostTable;

impl TenantResolver for HostTable {
    fn resolve(&self, request: &Incoming<'_>) -> Result<Resolution, BoxError> {
        Ok(request.host().cloned().map_or(NO_HOST, Resolution::Domain))
    }

    fn routing(&self) -> Routing {
        Routing::Host
    }
}

/// Tenants by one label below a domain: `acme.example.com`.
///
/// The label is the tenant's id. One that can be no id, or is none, is an unknown tenant. The domain
/// itself, deeper names and other hosts are left to the next resolver; a request without a host gets
/// 400.
#[derive(Clone, Debug)]
pub struct Subdomain {
    base: DomainName,
}

impl Subdomain {
    /// Tenants live directly below `domain`.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidName`](boardinghouse_core::ErrorKind::InvalidName) when `domain` is not
    /// a host name.
    ///
    /// # Examples
    ///
    /// ```
    /// use boardinghouse_actix::Subdomain;
    ///
    /// assert!(Subdomain::of("example.com").is_ok());
    /// assert!(Subdomain::of("https://example.com").is_err());
    /// ```
    pub fn of(domain: &str) -> Result<Self> {
        Ok(Self {
            base: DomainName::parse(domain)?,
        })
    }
}

impl TenantResolver for Subdomain {
    fn resolve(&self, request: &Incoming<'_>) -> Result<Resolution, BoxError> {
        let Some(host) = request.host() else {
            return Ok(NO_HOST);
        };
        Ok(match host.below(&self.base) {
            Some(label) if !label.contains('.') => named(label),
            _ => Resolution::Pass,
        })
    }

    fn routing(&self) -> Routing {
        Routing::Subdomain
    }

    fn base_of(&self, tenant: &TenantId, port: Option<u16>) -> Option<String> {
        let host = format!("//{tenant}.{}", self.base);
        Some(port.map_or_else(|| host.clone(), |port| format!("{host}:{port}")))
    }
}

const NO_HOST: Resolution = Resolution::Refuse(StatusCode::BAD_REQUEST);

#[cfg(test)]
mod tests {
    use actix_web::{http::header, test::TestRequest};

    use super::*;

    fn resolve(resolver: &impl TenantResolver, host: &str) -> Resolution {
        let request = TestRequest::default()
            .insert_header((header::HOST, host))
            .to_srv_request();
        resolver
            .resolve(&Incoming::new(&request, &[]).unwrap())
            .unwrap()
    }

    #[test]
    fn one_label_below_the_domain_is_the_tenant() {
        let below = Subdomain::of("Example.com.").unwrap();
        let acme = Resolution::Tenant("acme".parse().unwrap());
        assert_eq!(resolve(&below, "acme.example.com"), acme);
        assert_eq!(resolve(&below, "ACME.example.COM.:8080"), acme);
        for other in [
            "example.com",
            "a.b.example.com",
            "acme.example.com.evil.org",
            "acmeexample.com",
            "[::1]:8080",
            "127.0.0.1",
        ] {
            assert_eq!(resolve(&below, other), Resolution::Pass, "{other}");
        }
    }

    #[test]
    fn the_shared_schema_and_the_template_are_unknown_tenants() {
        let below = Subdomain::of("example.com").unwrap();
        for name in ["public", "PUBLIC", "__template__", "a_b", "-a"] {
            let host = format!("{name}.example.com");
            assert_eq!(resolve(&below, &host), Resolution::Unknown, "{host}");
        }
    }

    #[test]
    fn the_table_is_asked_for_the_whole_normalised_host() {
        let expected = Resolution::Domain(DomainName::parse("notes.acme.com").unwrap());
        assert_eq!(resolve(&HostTable, "Notes.ACME.com:443"), expected);
    }

    #[test]
    fn a_request_without_a_host_is_a_bad_request() {
        let request = TestRequest::default().to_srv_request();
        let incoming = Incoming::new(&request, &[]).unwrap();
        assert_eq!(HostTable.resolve(&incoming).unwrap(), NO_HOST);
        let below = Subdomain::of("example.com").unwrap();
        assert_eq!(below.resolve(&incoming).unwrap(), NO_HOST);
    }
}
