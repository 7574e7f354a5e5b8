//! Tenants by a header of a peer that is trusted.

use actix_web::http::{StatusCode, header::HeaderName};
use boardinghouse_core::{Error, ErrorKind, Result};
use ipnet::IpNet;

use super::{Resolution, Routing, TenantResolver, named};
use crate::{error::BoxError, request::Incoming};

/// Tenants by a header that a trusted peer sets: a gateway, or a service of one's own.
///
/// Nobody is trusted until [`trust`](Self::trust) says so: a header that anybody can send would let
/// anybody choose the tenant. From other peers the header is ignored, as if it were not there.
///
/// The value is a tenant's id, as it is. One that can be no id, or is none, is an unknown tenant; two
/// headers are a bad request. A request without the header is left to the next resolver.
///
/// # Examples
///
/// ```
/// use boardinghouse_actix::{Header, IpNet, Tenancy};
/// use boardinghouse_core::PgRegistry;
///
/// # fn example(registry: PgRegistry) -> Result<(), Box<dyn std::error::Error>> {
/// let gateway: IpNet = "10.20.0.0/16".parse()?;
/// let tenancy = Tenancy::new(registry).resolver(Header::new("x-tenant")?.trust([gateway]));
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Header {
    name: HeaderName,
    trusted: Vec<IpNet>,
    anybody: bool,
}

impl Header {
    /// Reads the tenant from the header `name`. No peer is trusted yet.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidInput`] when `name` cannot name a header.
    pub fn new(name: &str) -> Result<Self> {
        let name = name.parse().map_err(|error| {
            Error::new(
                ErrorKind::InvalidInput,
                format!("{name:?} cannot name a header"),
            )
            .with_source(Box::new(error) as BoxError)
        })?;
        Ok(Self {
            name,
            trusted: Vec::new(),
            anybody: false,
        })
    }

    /// Reads the header of everybody, as far as [`Tenancy::access`](crate::Tenancy::access) lets the user
    /// into the tenant, which is asked on every request: for programs that work for a user of several
    /// tenants.
    #[must_use]
    pub fn from_anybody(mut self) -> Self {
        self.anybody = true;
        self
    }

    /// Also believes peers with these addresses: single ones ([`IpAddr`](std::net::IpAddr)) or
    /// networks ([`IpNet`]). Defaults to none.
    ///
    /// The peer is the other end of the TCP connection; `Forwarded` headers have no say in it. A
    /// peer on a Unix socket has no address and is not trusted.
    #[must_use]
    pub fn trust(mut self, peers: impl IntoIterator<Item = impl Into<IpNet>>) -> Self {
        self.trusted.extend(peers.into_iter().map(Into::into));
        self
    }
}

impl TenantResolver for Header {
    fn resolve(&self, request: &Incoming<'_>) -> Result<Resolution, BoxError> {
        let trusted = request
            .peer()
            .is_some_and(|peer| self.trusted.iter().any(|net| net.contains(&peer)));
        if !trusted && !self.anybody {
            return Ok(Resolution::Pass);
        }
        let mut values = request.headers().get_all(&self.name);
        Ok(match (values.next(), values.next()) {
            (None, _) => Resolution::Pass,
            (Some(value), None) => value.to_str().map_or(Resolution::Unknown, named),
            (Some(_), Some(_)) => Resolution::Refuse(StatusCode::BAD_REQUEST),
        })
    }

    fn routing(&self) -> Routing {
        Routing::Header
    }

    fn needs_access(&self) -> bool {
        self.anybody
    }

    fn varies_by(&self) -> Option<HeaderName> {
        Some(self.name.clone())
    }
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use actix_web::test::TestRequest;

    use super::*;

    fn resolve(resolver: &Header, peer: Option<&str>, values: &[&str]) -> Resolution {
        let mut request = TestRequest::default().insert_header(("x-forwarded-for", "10.0.0.1"));
        for value in values {
            request = request.append_header(("x-tenant", *value));
        }
        if let Some(peer) = peer {
            request = request.peer_addr((peer.parse::<IpAddr>().unwrap(), 4711).into());
        }
        let request = request.to_srv_request();
        resolver
            .resolve(&Incoming::new(&request, &[]).unwrap())
            .unwrap()
    }

    fn acme() -> Resolution {
        Resolution::Tenant("acme".parse().unwrap())
    }

    #[test]
    fn nobody_is_trusted_unless_named() {
        let header = Header::new("X-Tenant").unwrap();
        for peer in [None, Some("127.0.0.1"), Some("::1"), Some("10.0.0.1")] {
            assert_eq!(resolve(&header, peer, &["acme"]), Resolution::Pass);
        }
    }

    #[test]
    fn the_peer_of_the_connection_is_what_is_trusted() {
        let net: IpNet = "10.0.0.0/24".parse().unwrap();
        let one: IpAddr = "::1".parse().unwrap();
        let header = Header::new("x-tenant").unwrap().trust([net]).trust([one]);
        for peer in ["10.0.0.1", "10.0.0.255", "::ffff:10.0.0.7", "::1"] {
            assert_eq!(resolve(&header, Some(peer), &["acme"]), acme(), "{peer}");
        }
        for peer in [None, Some("10.0.1.1"), Some("::2"), Some("192.0.2.1")] {
            let seen = resolve(&header, peer, &["acme"]);
            assert_eq!(seen, Resolution::Pass, "{peer:?}");
        }
    }

    #[test]
    fn the_value_is_one_tenant_id_and_nothing_else() {
        let peer: IpAddr = "10.0.0.1".parse().unwrap();
        let header = Header::new("x-tenant").unwrap().trust([peer]);
        let seen = |values: &[&str]| resolve(&header, Some("10.0.0.1"), values);
        assert_eq!(seen(&[]), Resolution::Pass);
        for value in ["", "Acme", "public", "__template__", "acme,globex", "ä"] {
            assert_eq!(seen(&[value]), Resolution::Unknown, "{value:?}");
        }
        let twice = Resolution::Refuse(StatusCode::BAD_REQUEST);
        assert_eq!(seen(&["acme", "globex"]), twice);
    }
}
