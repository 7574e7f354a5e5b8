//! Reads back what the server has quoted.

/// The string constants in a statement of the server's.
pub(super) fn literals(sql: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut rest = sql;
    while let Some((before, after)) = rest.split_once('\'') {
        let escapes = before.ends_with('E');
        let mut text = String::new();
        let mut chars = after.char_indices().peekable();
        let mut end = after.len();
        while let Some((at, c)) = chars.next() {
            let next = chars.peek().map(|(_, next)| *next);
            match (c, next) {
                ('\'', Some('\'')) | ('\\', Some('\\')) if c == '\'' || escapes => {
                    text.push(c);
                    chars.next();
                }
                ('\'', _) => {
                    end = at + 1;
                    break;
                }
                _ => text.push(c),
            }
        }
        found.push(text);
        rest = after.get(end..).unwrap_or_default();
    }
    found
}

/// The names in `name='value', …`.
pub(super) fn option_names(options: &str) -> Vec<String> {
    let mut names = Vec::new();
    let mut rest = options;
    while let Some((name, after)) = rest.split_once('=') {
        names.push(name.trim_start_matches([',', ' ']).to_owned());
        // Values of options hold no quotes.
        let value = after.trim_start_matches('E').trim_start_matches('\'');
        rest = value.split_once('\'').map_or("", |(_, rest)| rest);
    }
    names
}

#[cfg(test)]
mod tests {
    use super::{literals, option_names};

    #[test]
    fn constants_of_the_server_are_read_back() {
        assert_eq!(
            literals("CREATE TYPE a AS ENUM ('it''s', E'a\\\\b', '', 'x, y')"),
            ["it's", "a\\b", "", "x, y"]
        );
        assert_eq!(
            option_names("fillfactor='70', toast.autovacuum_enabled='false'"),
            ["fillfactor", "toast.autovacuum_enabled"]
        );
    }
}
