//! Redirects that stay in the tenant's folder.

use actix_web::http::header::{HeaderMap, HeaderValue, LOCATION};

/// Puts `base` in front of a `Location` that is a path, and not below it or beside it.
pub(crate) fn keep_below(headers: &mut HeaderMap, base: &str) {
    if base.is_empty() {
        return;
    }
    let Some(location) = headers.get(LOCATION).and_then(|value| value.to_str().ok()) else {
        return;
    };
    // Two slashes begin a host (RFC 3986, section 4.2); browsers take a backslash for a slash.
    let is_path = location.starts_with('/') && !location[1..].starts_with(['/', '\\']);
    let is_below = location
        .strip_prefix(base)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with(['/', '?', '#']));
    // Of another tenant: `/t/globex` beside `/t/acme`.
    let beside = base.rsplit_once('/').map_or("", |(beside, _)| beside);
    let is_beside = !beside.is_empty()
        && location
            .strip_prefix(beside)
            .is_some_and(|rest| rest.starts_with('/'));
    if !is_path || is_below || is_beside {
        return;
    }
    if let Ok(value) = HeaderValue::try_from(format!("{base}{location}")) {
        headers.insert(LOCATION, value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rewritten(location: &str, base: &str) -> String {
        let mut headers = HeaderMap::new();
        headers.insert(LOCATION, HeaderValue::from_str(location).unwrap());
        keep_below(&mut headers, base);
        headers.get(LOCATION).unwrap().to_str().unwrap().to_owned()
    }

    #[test]
    fn paths_get_the_base_unless_they_have_it() {
        for (location, expected) in [
            ("/x", "/t/a/x"),
            ("/", "/t/a/"),
            ("/x?y=/z#w", "/t/a/x?y=/z#w"),
            ("/t/ab", "/t/ab"),
            ("/t/globex/x", "/t/globex/x"),
            ("/tt/x", "/t/a/tt/x"),
            ("/t/a", "/t/a"),
            ("/t/a/x", "/t/a/x"),
            ("/t/a?x", "/t/a?x"),
            ("x", "x"),
            ("../x", "../x"),
            ("?x", "?x"),
            ("//other.test/x", "//other.test/x"),
            ("/\\other.test/x", "/\\other.test/x"),
            ("https://other.test/x", "https://other.test/x"),
        ] {
            assert_eq!(rewritten(location, "/t/a"), expected, "{location}");
        }
        assert_eq!(rewritten("/x", ""), "/x");
    }
}
