//! What a client would like to see.

use actix_web::http::header::{ACCEPT, HeaderMap};

/// Whether a browser asks, rather than a program: HTML is named, and nothing is liked better.
pub(crate) fn prefers_html(headers: &HeaderMap) -> bool {
    let accept = headers.get(ACCEPT).and_then(|value| value.to_str().ok());
    let mut best: Option<(f32, bool)> = None;
    for range in accept.unwrap_or_default().split(',') {
        let mut parts = range.split(';').map(str::trim);
        let name = parts.next().unwrap_or_default();
        let quality = parts.find_map(|part| part.strip_prefix("q="));
        let quality: f32 = quality.map_or(1.0, |q| q.parse().unwrap_or(0.0));
        let is_html = name.eq_ignore_ascii_case("text/html")
            || name.eq_ignore_ascii_case("application/xhtml+xml");
        if name.is_empty() || name == "*/*" {
            continue;
        }
        if best.is_none_or(|(before, _)| quality > before) {
            best = Some((quality, is_html));
        }
    }
    best.is_some_and(|(quality, is_html)| is_html && quality > 0.0)
}

#[cfg(test)]
mod tests {
    use actix_web::http::header::HeaderValue;

    use super::*;

    #[test]
    fn browsers_are_told_from_programs() {
        let prefers = |accept: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(ACCEPT, HeaderValue::from_str(accept).unwrap());
            prefers_html(&headers)
        };
        assert!(prefers(
            "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"
        ));
        assert!(prefers("TEXT/HTML"));
        assert!(prefers("application/json;q=0.5, text/html"));
        for other in [
            "",
            "*/*",
            "application/json",
            "application/json, text/html;q=0.5",
            "text/html;q=0",
        ] {
            assert!(!prefers(other), "{other}");
        }
        assert!(!prefers_html(&HeaderMap::new()));
    }
}
