//! Database URLs, and strings of libpq's words and values (PostgreSQL manual, 32.1.1 "Connection Strings").

use std::collections::HashMap;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, percent_encode};

/// All but the unreserved characters (RFC 3986, 2.3).
const RESERVED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'_')
    .remove(b'.')
    .remove(b'~');

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
        .map(|(word, value)| format!("&{word}={}", percent_encoded(value)));
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

pub(crate) fn percent_encoded(bytes: impl AsRef<[u8]>) -> String {
    percent_encode(bytes.as_ref(), RESERVED).to_string()
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

/// Whether the user sets one of libpq's words.
pub(crate) fn sets(url: &str, word: &str) -> bool {
    read(url).iter().any(|(known, _)| known == word)
}

/// The value of one of libpq's words; of several, the last one counts.
pub(crate) fn value(url: &str, word: &str) -> Option<String> {
    let mut all = read(url).into_iter().rev();
    all.find_map(|(known, value)| (known == word).then_some(value))
}

/// What a URL, or a string of words and values, says, by libpq's words.
fn read(url: &str) -> Vec<(String, String)> {
    if !is_url(url) {
        return words(url);
    }
    let mut said: Vec<(String, String)> = Vec::new();
    let mut say = |word: &str, value: &str| {
        if !value.is_empty() {
            said.push((word.to_owned(), percent_decoded(value)));
        }
    };
    let mut rest = &url[url.find("://").map_or(url.len(), |at| at + 3)..];
    if let Some(at) = rest
        .find(['@', '/'])
        .filter(|&at| rest[at..].starts_with('@'))
    {
        let (user, password) = rest[..at].split_once(':').unwrap_or((&rest[..at], ""));
        say("user", user);
        say("password", password);
        rest = &rest[at + 1..];
    }
    let (place, parameters) = rest.split_once('?').unwrap_or((rest, ""));
    let (hosts, database) = place.split_once('/').unwrap_or((place, ""));
    let split = |one: &str| match one.strip_prefix('[').and_then(|one| one.split_once(']')) {
        Some((address, port)) => (address.to_owned(), port.trim_start_matches(':').to_owned()),
        None => {
            let (host, port) = one.split_once(':').unwrap_or((one, ""));
            (host.to_owned(), port.to_owned())
        }
    };
    let (hosts, ports): (Vec<String>, Vec<String>) = hosts.split(',').map(split).unzip();
    let any = |list: &[String]| list.iter().any(|one| !one.is_empty());
    if any(&hosts) {
        say("host", &hosts.join(","));
    }
    if any(&ports) {
        say("port", &ports.join(","));
    }
    say("dbname", database);
    for parameter in parameters.split('&').filter(|one| !one.is_empty()) {
        let (word, value) = parameter.split_once('=').unwrap_or((parameter, ""));
        match (percent_decoded(word).as_str(), value) {
            // As JDBC has it; libpq takes it, too.
            ("ssl", "true") => say("sslmode", "require"),
            (word, value) => say(word, value),
        }
    }
    said
}

/// Each `%` that is not followed by two digits stays.
fn percent_decoded(text: &str) -> String {
    percent_decode_str(text).decode_utf8_lossy().into_owned()
}

/// The same for libpq's environment variables (PostgreSQL manual, 34.15 "Environment Variables").
pub(crate) fn variables(url: &str) -> Vec<(&'static str, String)> {
    const VARIABLES: [(&str, &str); 28] = [
        ("host", "PGHOST"),
        ("hostaddr", "PGHOSTADDR"),
        ("port", "PGPORT"),
        ("dbname", "PGDATABASE"),
        ("user", "PGUSER"),
        ("password", "PGPASSWORD"),
        ("passfile", "PGPASSFILE"),
        ("require_auth", "PGREQUIREAUTH"),
        ("channel_binding", "PGCHANNELBINDING"),
        ("options", "PGOPTIONS"),
        ("application_name", "PGAPPNAME"),
        ("sslmode", "PGSSLMODE"),
        ("sslnegotiation", "PGSSLNEGOTIATION"),
        ("sslcompression", "PGSSLCOMPRESSION"),
        ("sslcert", "PGSSLCERT"),
        ("sslkey", "PGSSLKEY"),
        ("sslcertmode", "PGSSLCERTMODE"),
        ("sslrootcert", "PGSSLROOTCERT"),
        ("sslcrl", "PGSSLCRL"),
        ("sslcrldir", "PGSSLCRLDIR"),
        ("sslsni", "PGSSLSNI"),
        ("requirepeer", "PGREQUIREPEER"),
        ("ssl_min_protocol_version", "PGSSLMINPROTOCOLVERSION"),
        ("ssl_max_protocol_version", "PGSSLMAXPROTOCOLVERSION"),
        ("gssencmode", "PGGSSENCMODE"),
        ("connect_timeout", "PGCONNECT_TIMEOUT"),
        ("target_session_attrs", "PGTARGETSESSIONATTRS"),
        ("load_balance_hosts", "PGLOADBALANCEHOSTS"),
    ];
    // Of several, the last one counts.
    let said: HashMap<String, String> = read(url).into_iter().collect();
    let variables = VARIABLES.iter();
    variables
        .filter_map(|(word, name)| Some((*name, said.get(*word)?.clone())))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::{read, sets, value, variables, with_database, with_parameter};

    #[test]
    fn urls_are_read_as_libpq_reads_them() {
        for (url, expected) in [
            (
                "postgres://u%40:p%3Aw@h:1/d?sslmode=require",
                &[
                    ("user", "u@"),
                    ("password", "p:w"),
                    ("host", "h"),
                    ("port", "1"),
                    ("dbname", "d"),
                    ("sslmode", "require"),
                ][..],
            ),
            (
                "postgresql://[::1]:1,h2,%2Frun%2Fpg:3/?dbname=d",
                &[
                    ("host", "::1,h2,/run/pg"),
                    ("port", "1,,3"),
                    ("dbname", "d"),
                ],
            ),
            (
                "postgres://u@/d?ssl=true&%6fptions=-c%20a%3Db",
                &[
                    ("user", "u"),
                    ("dbname", "d"),
                    ("sslmode", "require"),
                    ("options", "-c a=b"),
                ],
            ),
            ("postgres://h?host=/tmp", &[("host", "h"), ("host", "/tmp")]),
            (
                "postgres:///d?user=100%",
                &[("dbname", "d"), ("user", "100%")],
            ),
            ("postgres://", &[]),
            (
                r"host = h password='o''s \\ \'x' options=",
                &[("host", "h"), ("password", "o")],
            ),
        ] {
            let read = read(url);
            let read: Vec<_> = read
                .iter()
                .map(|(word, value)| (word.as_str(), value.as_str()))
                .collect();
            assert_eq!(read[..expected.len()], *expected, "{url}");
            if url.starts_with("postgres") {
                assert_eq!(read.len(), expected.len(), "{url}");
            }
        }
        assert_eq!(
            value("postgres://h?host=/tmp", "host").as_deref(),
            Some("/tmp")
        );
        for url in [
            "host=h dbname=customer_service",
            "host=options password='service=x'",
        ] {
            assert!(!sets(url, "service") && !sets(url, "options"), "{url}");
        }
        assert!(sets("service = mine", "service"));
        assert_eq!(
            variables("postgres://u@h:1/d?keepalives=0"),
            [
                ("PGHOST", "h"),
                ("PGPORT", "1"),
                ("PGDATABASE", "d"),
                ("PGUSER", "u")
            ]
            .map(|(name, value)| (name, value.to_owned()))
        );
    }

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
