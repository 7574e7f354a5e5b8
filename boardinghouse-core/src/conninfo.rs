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

/// The URL of another database on the same server. Words become a URL, which every program takes.
pub(crate) fn with_database(url: &str, database: &str) -> String {
    let name = percent_encoded(database);
    if is_url(url) {
        // libpq takes the last word of a kind.
        return with_parameter(url, &format!("dbname={name}"), "");
    }
    let words = words(url)
        .into_iter()
        .filter(|(word, _)| word != "dbname")
        .map(|(word, value)| format!("&{word}={}", percent_encoded(&value)));
    let words: String = words.collect();
    format!("postgres:///?dbname={name}{words}")
}

/// What a string of words and values says. One that libpq would refuse gives what can be read of it.
fn words(text: &str) -> Vec<(String, String)> {
    let mut words = Vec::new();
    let mut rest = text.trim_start();
    while let Some((word, after)) = rest.split_once('=') {
        let after = after.trim_start();
        let quoted = after.starts_with('\'');
        let mut value = String::new();
        let mut chars = after.char_indices().skip(usize::from(quoted));
        let mut end = after.len();
        while let Some((at, c)) = chars.next() {
            match c {
                '\\' => value.extend(chars.next().map(|(_, c)| c)),
                '\'' if quoted => {
                    end = at + 1;
                    break;
                }
                c if !quoted && c.is_ascii_whitespace() => {
                    end = at;
                    break;
                }
                c => value.push(c),
            }
        }
        words.push((word.trim_end().to_owned(), value));
        rest = after[end..].trim_start();
    }
    words
}

pub(crate) fn percent_encoded(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => {
                out.push(char::from(byte));
            }
            _ => out.push_str(&format!("%{byte:02X}")),
        }
    }
    out
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
    use super::{with_database, with_parameter};

    #[test]
    fn another_database_is_named_in_every_form_of_url() {
        for (url, expected) in [
            ("postgres://u:p@h/d", "postgres://u:p@h/d?dbname=new"),
            ("postgres://h/d?a=1", "postgres://h/d?a=1&dbname=new"),
            ("host=h dbname=d", "postgres:///?dbname=new&host=h"),
            (
                r" user = 'it\'s' password=a\ b  port=1",
                "postgres:///?dbname=new&user=it%27s&password=a%20b&port=1",
            ),
            ("host=/run/x", "postgres:///?dbname=new&host=%2Frun%2Fx"),
            ("", "postgres:///?dbname=new"),
        ] {
            assert_eq!(with_database(url, "new"), expected, "{url}");
        }
    }

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
