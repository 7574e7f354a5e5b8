//! From which site a request comes.

use actix_web::http::header::{HeaderMap, ORIGIN, REFERER};
use boardinghouse_core::DomainName;

use super::page::split_origin;

/// Where a request comes from, as far as its browser says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Origin {
    /// A page of this site.
    Own,
    /// A person: the address line, a bookmark, another program.
    Person,
    /// Somebody else's page, also one of a sibling domain.
    Other,
    /// It does not say: an old browser, or no browser.
    Unsaid,
}

/// `Sec-Fetch-Site` is the browser's own word, which no page can set (Fetch Metadata, section 2.3). Browsers
/// leave it out where there is no TLS; then `Origin` and `Referer` tell.
pub(super) fn origin(headers: &HeaderMap, host: Option<&DomainName>) -> Origin {
    let text = |value: Option<&actix_web::http::header::HeaderValue>| {
        value.map(|value| value.to_str().unwrap_or_default().to_owned())
    };
    let stated = text(headers.get(ORIGIN));
    let is_other = |url: &str| split_origin(url).is_none_or(|(from, _)| Some(&from) != host);
    // `null` is the origin of a sandboxed frame: nobody's.
    if stated.as_deref().is_some_and(is_other) {
        return Origin::Other;
    }
    match text(headers.get("sec-fetch-site")).as_deref() {
        Some("same-origin") => return Origin::Own,
        Some("none") => return Origin::Person,
        Some(_) => return Origin::Other,
        None => {}
    }
    match (stated, text(headers.get(REFERER))) {
        (_, Some(referer)) if is_other(&referer) => Origin::Other,
        (None, None) => Origin::Unsaid,
        _ => Origin::Own,
    }
}

#[cfg(test)]
mod tests {
    use actix_web::http::header::{HeaderName, HeaderValue};

    use super::*;

    #[test]
    fn the_browsers_word_counts_and_then_the_addresses() {
        let host = DomainName::parse("app.test").unwrap();
        let told = |headers: &[(&'static str, &'static str)]| {
            let mut map = HeaderMap::new();
            for (name, value) in headers {
                map.insert(
                    HeaderName::from_static(name),
                    HeaderValue::from_static(value),
                );
            }
            origin(&map, Some(&host))
        };
        assert_eq!(told(&[]), Origin::Unsaid);
        assert_eq!(told(&[("sec-fetch-site", "same-origin")]), Origin::Own);
        assert_eq!(told(&[("sec-fetch-site", "none")]), Origin::Person);
        assert_eq!(told(&[("origin", "https://app.test:8443")]), Origin::Own);
        assert_eq!(told(&[("referer", "http://app.test/x")]), Origin::Own);
        for other in [
            &[("sec-fetch-site", "cross-site")][..],
            &[("sec-fetch-site", "same-site")],
            &[("sec-fetch-site", "")],
            &[("origin", "null")],
            &[("origin", "https://evil.test")],
            &[("origin", "https://sub.app.test")],
            &[
                ("origin", "https://evil.test"),
                ("sec-fetch-site", "same-origin"),
            ],
            &[("referer", "https://evil.test/https://app.test/")],
        ] {
            assert_eq!(told(other), Origin::Other, "{other:?}");
        }
    }
}
