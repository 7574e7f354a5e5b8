//! Database URLs, and strings of libpq's words and values (PostgreSQL manual, 32.1.1 "Connection Strings").

/// A URL, or a string of libpq's words and values, with one more.
pub(crate) fn with_parameter(url: &str, in_url: &str, in_words: &str) -> String {
    if !is_url(url) {
        return format!("{url} {in_words}");
    }
    match parameters(url) {
        Some("") => format!("{url}{in_url}"),
        Some(before) if before.ends_with('&') => format!("{url}{in_url}"),
        Some(_) => format!("{url}&{in_url}"),
        None => format!("{url}?{in_url}"),
    }
}

/// As libpq tells it.
fn is_url(url: &str) -> bool {
    url.starts_with("postgres://") || url.starts_with("postgresql://")
}

/// What follows the question mark of a URL. One before the `@` is of the password.
fn parameters(url: &str) -> Option<&str> {
    let rest = &url[url.find("://")? + 3..];
    let host = match rest.find(['@', '/']) {
        Some(at) if rest[at..].starts_with('@') => &rest[at..],
        _ => rest,
    };
    host.split_once('?').map(|(_, parameters)| parameters)
}

/// Whether the user sets one of libpq's words, as far as can be seen: in a string of words, which may be
/// quoted, anything that looks like it counts.
pub(crate) fn sets(url: &str, word: &str) -> bool {
    if is_url(url) {
        return parameters(url).is_some_and(|all| {
            all.split('&')
                .any(|one| one.split('=').next() == Some(word))
        });
    }
    url.contains(word)
}

#[cfg(test)]
mod tests {
    use super::with_parameter;

    #[test]
    fn a_parameter_is_added_to_every_form_of_url() {
        for (url, expected) in [
            ("postgres://h/d", "postgres://h/d?a=1"),
            ("postgres://h/d?", "postgres://h/d?a=1"),
            ("postgres://h/d?b=2", "postgres://h/d?b=2&a=1"),
            ("postgresql://h/d?b=2&", "postgresql://h/d?b=2&a=1"),
            ("postgres://", "postgres://?a=1"),
            ("postgres:///d?host=/tmp", "postgres:///d?host=/tmp&a=1"),
            ("postgres://u:p?w@h,i/d", "postgres://u:p?w@h,i/d?a=1"),
            ("postgres://u:p?w@h/d?b=@", "postgres://u:p?w@h/d?b=@&a=1"),
            ("host=h dbname=d", "host=h dbname=d a='1'"),
            ("host=h password=a://b?", "host=h password=a://b? a='1'"),
        ] {
            assert_eq!(with_parameter(url, "a=1", "a='1'"), expected);
        }
    }
}
