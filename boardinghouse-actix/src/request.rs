//! A request as resolvers see it: with its host already checked.

use std::{net::IpAddr, ops::Deref};

use actix_web::{
    dev::{RequestHead, ServiceRequest},
    http::header::{self, HeaderValue},
};
use boardinghouse_core::DomainName;
use ipnet::IpNet;

use crate::error::{Cause, Error};

/// What a proxy says the client asked for.
const FORWARDED_HOST: &str = "x-forwarded-host";

/// A request on its way to a tenant, as a [`TenantResolver`](crate::TenantResolver) sees it.
///
/// It derefs to actix-web's [`ServiceRequest`]: headers, cookies, and what outer middleware left in
/// the extensions. Use [`host`](Self::host) and [`peer`](Self::peer) rather than
/// [`connection_info`](ServiceRequest::connection_info), which believes `Forwarded` headers of
/// anybody.
#[derive(Debug)]
pub struct Incoming<'a> {
    request: &'a ServiceRequest,
    host: Option<DomainName>,
}

impl<'a> Incoming<'a> {
    /// Where the peer is one of those trusted, with the host that it says the client asked for.
    pub(crate) fn new(request: &'a ServiceRequest, trusted: &[IpNet]) -> Result<Self, Error> {
        let mut incoming = Self {
            request,
            host: host(request.head())?,
        };
        if is_trusted(request.head(), trusted)
            && let Some(forwarded) = forwarded_host(request.head())?
        {
            incoming.host = Some(forwarded);
        }
        Ok(incoming)
    }

    /// The host that the request is for, in normal form: lower case, no port, no dot at the end.
    ///
    /// From the `Host` header, or from the request target where that is a whole URL, as always in
    /// HTTP/2. Both must agree, and there is never more than one: such requests get 400 before a
    /// resolver sees them. `None` where the request names no host.
    #[must_use]
    pub fn host(&self) -> Option<&DomainName> {
        self.host.as_ref()
    }

    /// The address of the peer of the TCP connection: of the proxy, where there is one. Headers
    /// have no say in it. `None` on a Unix socket and in tests that set none.
    #[must_use]
    pub fn peer(&self) -> Option<IpAddr> {
        peer(self.request.head())
    }
}

fn peer(head: &RequestHead) -> Option<IpAddr> {
    // A socket for both protocols shows IPv4 peers as ::ffff:192.0.2.1.
    head.peer_addr.map(|address| address.ip().to_canonical())
}

fn is_trusted(head: &RequestHead, trusted: &[IpNet]) -> bool {
    peer(head).is_some_and(|peer| trusted.iter().any(|net| net.contains(&peer)))
}

impl Deref for Incoming<'_> {
    type Target = ServiceRequest;

    fn deref(&self) -> &ServiceRequest {
        self.request
    }
}

/// The one host that a proxy says the client asked for.
fn forwarded_host(head: &RequestHead) -> Result<Option<DomainName>, Error> {
    let mut values = head.headers.get_all(FORWARDED_HOST);
    match (values.next(), values.next()) {
        (None, _) => Ok(None),
        (Some(value), None) => {
            let text = value.to_str().map_err(|_| Cause::BadHost)?;
            let host = DomainName::parse(text).map_err(|_| Cause::BadHost)?;
            Ok(Some(host))
        }
        (Some(_), Some(_)) => Err(Cause::BadHost.into()),
    }
}

/// The port that the client used, where it is none of its scheme's: in the `Host` header, or in the target
/// where that is a whole URL; behind a proxy that is trusted, and says for which host it asks, in that.
pub(crate) fn port(head: &RequestHead, trusted: &[IpNet]) -> Option<u16> {
    if is_trusted(head, trusted)
        && let Some(forwarded) = head.headers.get(FORWARDED_HOST)
    {
        return port_of(forwarded);
    }
    if let Some(authority) = head.uri.authority() {
        return authority.port_u16();
    }
    port_of(head.headers.get(header::HOST)?)
}

fn port_of(host: &HeaderValue) -> Option<u16> {
    let host = host.to_str().ok()?;
    host.trim_end_matches('.').rsplit_once(':')?.1.parse().ok()
}

/// The rules of RFC 9112, section 3.2, except that a request without any host is left to the
/// resolvers: not all of them need one.
fn host(head: &RequestHead) -> Result<Option<DomainName>, Error> {
    let bad = || Error::from(Cause::BadHost);
    let mut headers = head.headers.get_all(header::HOST);
    let (header, second) = (headers.next(), headers.next());
    if second.is_some() {
        return Err(bad());
    }
    let parse = |text: &str| DomainName::parse(text).map_err(|_| bad());
    let in_header = header
        .map(|value| value.to_str().map_err(|_| bad()).and_then(parse))
        .transpose()?;
    let in_target = head
        .uri
        .authority()
        .map(|authority| parse(authority.as_str()))
        .transpose()?;
    match (in_header, in_target) {
        (Some(header), Some(target)) if header != target => Err(bad()),
        (header, target) => Ok(target.or(header)),
    }
}

#[cfg(test)]
mod tests {
    use actix_web::test::TestRequest;

    use super::*;

    fn seen(request: TestRequest) -> Option<Option<String>> {
        let request = request.to_srv_request();
        let incoming = Incoming::new(&request, &[]).ok()?;
        Some(incoming.host().map(ToString::to_string))
    }

    fn get(target: &str, hosts: &[&str]) -> Option<Option<String>> {
        let request = TestRequest::with_uri(target);
        seen(hosts.iter().fold(request, |request, host| {
            request.append_header((header::HOST, *host))
        }))
    }

    #[test]
    fn a_host_is_normalised() {
        let acme = Some(Some("acme.localhost".to_owned()));
        assert_eq!(get("/", &["ACME.localhost:8080."]), acme);
        assert_eq!(get("/", &["acme.localhost.:8080"]), acme);
        assert_eq!(get("/", &["acme.localhost"]), acme);
        assert_eq!(get("/", &["[::1]:8080"]), Some(Some("[::1]".into())));
        assert_eq!(get("/", &[]), Some(None));
    }

    #[test]
    fn a_malformed_or_ambiguous_host_is_refused() {
        let long = "a".repeat(300);
        for hosts in [
            &[""][..],
            &["a b"],
            &["acme.localhost", "globex.localhost"],
            &["acme.localhost", "acme.localhost"],
            &[long.as_str()],
            &["acme.localhost/globex"],
            &["globex@acme.localhost"],
            &["acme.localhost,globex.localhost"],
        ] {
            assert_eq!(get("/", hosts), None, "{hosts:?}");
        }
    }

    #[test]
    fn a_target_that_is_a_whole_url_must_agree_with_the_header() {
        let acme = Some(Some("acme.localhost".to_owned()));
        assert_eq!(get("http://acme.localhost/", &[]), acme);
        assert_eq!(get("http://acme.localhost/", &["ACME.localhost:80"]), acme);
        assert_eq!(get("http://acme.localhost/", &["globex.localhost"]), None);
        assert_eq!(get("http://globex@acme.localhost/", &[]), None);
    }

    #[test]
    fn a_peer_that_came_by_ipv6_is_seen_as_what_it_is() {
        let request = TestRequest::default()
            .peer_addr("[::ffff:192.0.2.1]:4711".parse().unwrap())
            .to_srv_request();
        let incoming = Incoming::new(&request, &[]).unwrap();
        assert_eq!(incoming.peer(), Some("192.0.2.1".parse().unwrap()));
    }
}
