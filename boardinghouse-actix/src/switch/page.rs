//! To which page people go when they have switched.

use actix_web::{dev::ResourceDef, http::header::HeaderMap};
use boardinghouse_core::DomainName;

use super::OnSwitch;

/// A path of this site, with or without a query; `None` for what a browser could read as another site.
///
/// Browsers take a backslash for a slash, two slashes for the beginning of a host, and leave control
/// characters out (WHATWG URL, section 4.4).
pub(crate) fn local(target: &str) -> Option<&str> {
    let rest = target.strip_prefix('/')?;
    let is_plain = target.bytes().all(|b| b.is_ascii_graphic() && b != b'\\');
    (is_plain && !rest.starts_with('/')).then_some(target)
}

/// The page of this site that a request says it comes from.
pub(super) fn referer<'a>(headers: &'a HeaderMap, host: Option<&DomainName>) -> Option<&'a str> {
    let referer = headers.get("referer")?.to_str().ok()?;
    let (from, target) = split_origin(referer)?;
    (Some(&from) == host).then(|| local(target))?
}

/// The host of a URL, and what comes after.
pub(super) fn split_origin(url: &str) -> Option<(DomainName, &str)> {
    let (scheme, rest) = url.split_once("://")?;
    if !scheme.eq_ignore_ascii_case("http") && !scheme.eq_ignore_ascii_case("https") {
        return None;
    }
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (authority, target) = rest.split_at(end);
    Some((DomainName::parse(authority).ok()?, target))
}

/// What is to become of a page, by the first rule for it.
pub(super) fn rule<'a>(rules: &'a [(ResourceDef, OnSwitch)], page: &str) -> &'a OnSwitch {
    let path = page.split(['?', '#']).next().unwrap_or_default();
    let found = rules.iter().find(|(pattern, _)| pattern.is_match(path));
    found.map_or(&OnSwitch::Cut, |(_, rule)| rule)
}

/// What of a page's path is before anything that only one tenant has.
pub(super) fn before_ids(page: &str) -> String {
    let path = page.split(['?', '#']).next().unwrap_or_default();
    let mut kept = String::new();
    for segment in path.split('/').skip(1) {
        if is_id(segment) {
            break;
        }
        kept.push('/');
        kept.push_str(segment);
    }
    if kept.is_empty() {
        kept.push('/');
    }
    kept
}

/// A number, or what is too long and too mixed to be a word: a UUID, say.
fn is_id(segment: &str) -> bool {
    let has_digit = segment.bytes().any(|b| b.is_ascii_digit());
    let is_number = !segment.is_empty() && segment.bytes().all(|b| b.is_ascii_digit());
    is_number || (has_digit && segment.len() >= 16)
}

#[cfg(test)]
mod tests {
    use actix_web::http::header::HeaderValue;
    use proptest::prelude::*;
    use url::Url;

    use super::*;

    #[test]
    fn only_a_path_is_of_this_site() {
        for target in [
            "/",
            "/notes",
            "/notes?x=//y",
            "/a//b",
            "/%2f/x",
            "/@evil.test",
        ] {
            assert_eq!(local(target), Some(target));
        }
        for target in [
            "",
            "notes",
            "//evil.test",
            "///evil.test",
            "/\\evil.test",
            "/x\\y",
            "\\/evil.test",
            "https://evil.test/",
            "javascript:alert(1)",
            "/\t/evil.test",
            "/\r\nset-cookie: x",
            " /x",
            "/ä",
        ] {
            assert_eq!(local(target), None, "{target:?}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(5000))]

        #[test]
        fn what_counts_as_of_this_site_is_so_for_a_browser(target in r"/[/\\a-z@:.?#%0-9]{0,8}[\t\n ä]?[/a-z.]{0,4}") {
            let site = Url::parse("https://app.test/here/").unwrap();
            if local(&target).is_some() {
                let seen = site.join(&target).unwrap();
                prop_assert_eq!(seen.host_str(), Some("app.test"));
                prop_assert_eq!(seen.scheme(), "https");
                let after = before_ids(&target);
                prop_assert!(local(&after).is_some(), "{}", after);
            }
        }
    }

    #[test]
    fn a_page_is_cut_where_ids_begin() {
        for (page, kept) in [
            ("/photos/223", "/photos"),
            ("/photos/223/edit?x=1", "/photos"),
            ("/photos", "/photos"),
            ("/photos?page=2", "/photos"),
            ("/", "/"),
            ("/7", "/"),
            ("/a/0190163d-8694-739b-aea5-966c26f8ad91/b", "/a"),
            ("/v2/photos/7", "/v2/photos"),
        ] {
            assert_eq!(before_ids(page), kept, "{page}");
        }
    }

    #[test]
    fn a_referer_counts_where_it_is_of_the_same_host() {
        let host = DomainName::parse("app.test").unwrap();
        let page = |url: &'static str| {
            let mut headers = HeaderMap::new();
            let name = actix_web::http::header::REFERER;
            headers.insert(name, HeaderValue::from_static(url));
            referer(&headers, Some(&host)).map(str::to_owned)
        };
        assert_eq!(page("https://APP.test:8080/x?y"), Some("/x?y".to_owned()));
        for other in [
            "https://evil.test/x",
            "https://app.test.evil.test/x",
            "https://app.test@evil.test/x",
            "https://evil.test/https://app.test/x",
            "https://app.test//evil.test",
            "https://app.test",
            "/x",
        ] {
            assert_eq!(page(other), None, "{other}");
        }
    }
}
