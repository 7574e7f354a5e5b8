//! Finds the statements in a text of SQL.
//!
//! It is a help against mistakes: how an answer is shown hangs on it, and whether somebody is told early
//! that a transaction is not theirs to end. No guarantee rests on it.

/// The statements of `text`, without what stands between them: semicolons, spaces and comments.
pub(crate) fn statements(text: &str) -> Vec<&str> {
    let bytes = text.as_bytes();
    let mut found = Vec::new();
    // Where the statement begins, and where its last word so far ends.
    let mut current: Option<(usize, usize)> = None;
    let mut at = 0;
    while at < bytes.len() {
        let end = token(bytes, at);
        match &bytes[at..end] {
            b";" => found.extend(current.take()),
            [b'-', b'-', ..] | [b'/', b'*', ..] => {}
            [space] if space.is_ascii_whitespace() => {}
            _ => current = Some((current.map_or(at, |(begin, _)| begin), end)),
        }
        at = end;
    }
    found.extend(current);
    // Tokens begin and end at ASCII characters or at the end, so these are character boundaries.
    found
        .into_iter()
        .filter_map(|(begin, end)| text.get(begin..end))
        .collect()
}

/// Whether every quote and comment of `text` ends in it: what stands after it then is not part of one.
pub(crate) fn is_closed(text: &str) -> bool {
    let bytes = text.as_bytes();
    let mut at = 0;
    while at < bytes.len() {
        let end = token(bytes, at);
        let rest = &bytes[at..];
        let closed = match &bytes[at..end] {
            [b'/', b'*', ..] => comment(rest).is_some(),
            [b'\'', ..] if escapes(bytes, at) => with_escapes(rest).is_some(),
            [b'\'', ..] => quoted(rest, b'\'', false).is_some(),
            [b'"', ..] => quoted(rest, b'"', false).is_some(),
            [b'$', tagged @ ..] if !tagged.is_empty() => {
                let tag = 2 + tagged.iter().take_while(|&&b| b != b'$').count();
                end - at >= 2 * tag && bytes[at..end].ends_with(&bytes[at..at + tag])
            }
            // A comment that ends with the line ends there at the latest.
            _ => true,
        };
        if !closed {
            return false;
        }
        at = end;
    }
    true
}

/// The first word of a statement, in upper case; opening parentheses before it are passed over.
pub(crate) fn keyword(statement: &str) -> String {
    let bytes = statement.as_bytes();
    let mut at = 0;
    while at < bytes.len() && !bytes[at].is_ascii_alphabetic() {
        at = token(bytes, at);
    }
    keyword_at(statement, at)
}

/// The word that begins at `at`, in upper case; empty where none does.
fn keyword_at(statement: &str, at: usize) -> String {
    statement
        .get(at..)
        .unwrap_or_default()
        .chars()
        .take_while(|c| c.is_ascii_alphabetic())
        .collect::<String>()
        .to_ascii_uppercase()
}

/// Whether `text` may define a view, a function, a policy or the like. What is temporary goes with the
/// session's clean and does not count.
pub(crate) fn may_define(text: &str) -> bool {
    let text = text.to_ascii_lowercase();
    let temporary = |after: &str| {
        let word = after.trim_start();
        word.len() < after.len() && (word.starts_with("temp ") || word.starts_with("temporary "))
    };
    text.contains("alter")
        || text.contains("import")
        || text.split("create").skip(1).any(|after| !temporary(after))
}

/// Whether some statement of `text` ends the transaction that it runs in.
pub(crate) fn ends_transaction(text: &str) -> bool {
    // The body of a function (`BEGIN ATOMIC … END`) holds semicolons of its own.
    let has_body = || text.to_ascii_uppercase().contains("ATOMIC");
    statements(text).iter().any(|statement| {
        let words = words(statement);
        match (words.first().map_or("", String::as_str), &words[..]) {
            ("COMMIT" | "ABORT", _) => true,
            ("END", _) => !has_body(),
            ("ROLLBACK", words) => !words.iter().any(|word| word == "TO"),
            ("PREPARE", [_, second, ..]) => second == "TRANSACTION",
            _ => false,
        }
    })
}

/// The first words of a statement, at most three, in upper case.
pub(crate) fn words(statement: &str) -> Vec<String> {
    let bytes = statement.as_bytes();
    let (mut words, mut at) = (Vec::new(), 0);
    while at < bytes.len() && words.len() < 3 {
        let word = keyword_at(statement, at);
        if !word.is_empty() {
            at += word.len();
            words.push(word);
            continue;
        }
        let end = token(bytes, at);
        match &bytes[at..end] {
            [b'-', b'-', ..] | [b'/', b'*', ..] => {}
            [space] if space.is_ascii_whitespace() => {}
            _ => break,
        }
        at = end;
    }
    words
}

/// Where the token that begins at `at` ends (PostgreSQL manual, 4.1 "Lexical Structure"). One that
/// is not closed ends with the text.
pub(crate) fn token(bytes: &[u8], at: usize) -> usize {
    let rest = &bytes[at..];
    let length = match rest {
        [b'-', b'-', ..] => rest.iter().position(|b| matches!(b, b'\n' | b'\r')),
        [b'/', b'*', ..] => comment(rest),
        [b'\'', ..] => match escapes(bytes, at) {
            false => quoted(rest, b'\'', false),
            true => with_escapes(rest),
        },
        [b'"', ..] => quoted(rest, b'"', false),
        [b'$', ..] => return at + dollar(bytes, at),
        _ => Some(1),
    };
    length.map_or(bytes.len(), |length| at + length)
}

/// Comments nest.
pub(crate) fn comment(rest: &[u8]) -> Option<usize> {
    let (mut depth, mut at) = (0_usize, 0);
    loop {
        match rest.get(at..)? {
            [b'/', b'*', ..] => (depth, at) = (depth + 1, at + 2),
            [b'*', b'/', ..] if depth == 1 => return Some(at + 2),
            [b'*', b'/', ..] => (depth, at) = (depth - 1, at + 2),
            [] => return None,
            _ => at += 1,
        }
    }
}

/// A doubled quote is part of the constant: what follows it in `E'…'` still has escapes.
pub(crate) fn quoted(rest: &[u8], quote: u8, escapes: bool) -> Option<usize> {
    let mut at = 1;
    loop {
        let byte = *rest.get(at)?;
        if byte == quote && rest.get(at + 1) != Some(&quote) {
            return Some(at + 1);
        }
        at += if byte == quote || escapes && byte == b'\\' {
            2
        } else {
            1
        };
    }
}

/// A constant with escapes goes on in the next one, where nothing but space with a new line is between them.
fn with_escapes(rest: &[u8]) -> Option<usize> {
    let mut end = quoted(rest, b'\'', true)?;
    loop {
        let space = rest[end..].iter().take_while(|b| b.is_ascii_whitespace());
        let space = &rest[end..end + space.count()];
        let next = end + space.len();
        let goes_on = space.iter().any(|b| matches!(b, b'\n' | b'\r'));
        if !goes_on || rest.get(next) != Some(&b'\'') {
            return Some(end);
        }
        end = next + quoted(&rest[next..], b'\'', true)?;
    }
}

/// Whether the constant that begins at `at` is written `E'…'`.
fn escapes(bytes: &[u8], at: usize) -> bool {
    let before = |back: usize| at.checked_sub(back).map(|i| bytes[i]);
    matches!(before(1), Some(b'e' | b'E')) && !before(2).is_some_and(is_name)
}

/// `$tag$ … $tag$`, or a lone dollar.
fn dollar(bytes: &[u8], at: usize) -> usize {
    let rest = &bytes[at..];
    let tag = rest[1..].iter().position(|&b| !is_name(b) || b == b'$');
    let inside_name = at.checked_sub(1).is_some_and(|i| is_name(bytes[i]));
    match tag {
        Some(length) if !inside_name && rest[1 + length] == b'$' && !rest[1].is_ascii_digit() => {
            let tag = &rest[..length + 2];
            rest[tag.len()..]
                .windows(tag.len())
                .position(|window| window == tag)
                .map_or(rest.len(), |body| body + 2 * tag.len())
        }
        _ => 1,
    }
}

/// Whether a `$tag$` ends again.
pub(crate) fn dollar_is_closed(constant: &[u8]) -> bool {
    let tag = constant.iter().skip(1).position(|&b| b == b'$');
    tag.is_some_and(|length| {
        let tag = &constant[..length + 2];
        constant.len() >= 2 * tag.len() && constant.ends_with(tag)
    })
}

pub(crate) fn is_name(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'$' || !byte.is_ascii()
}

#[cfg(test)]
mod tests {
    use super::{ends_transaction, is_closed, keyword, may_define, statements};

    #[test]
    fn what_may_define_something_is_told_from_what_does_not() {
        for text in [
            "CREATE VIEW v AS SELECT 1",
            "create/**/temp table t (a int)",
            "CREATE TEMP TABLE t (a int); CREATE RULE r AS ON INSERT TO t DO ALSO NOTHING",
            "CREATE temporary_view",
            "DO $$ BEGIN EXECUTE 'CREATE POLICY p ON t'; END $$",
            "Alter table t rename to u",
            "import foreign\nschema s from server x into y",
        ] {
            assert!(may_define(text), "{text}");
        }
        for text in [
            "",
            "SELECT 1",
            "CREATE TEMP TABLE t (a int)",
            "create\n temporary table t (a int)",
        ] {
            assert!(!may_define(text), "{text}");
        }
    }

    #[test]
    fn what_ends_a_transaction_is_told_from_what_does_not() {
        for text in [
            "COMMIT",
            " /* x */ commit work;",
            "SELECT 1; end",
            "Rollback",
            "ROLLBACK WORK",
            "ROLLBACK AND CHAIN",
            "ABORT",
            "INSERT INTO t VALUES (';'); COMMIT; BEGIN",
            "PREPARE /* x */ TRANSACTION 'x'",
        ] {
            assert!(ends_transaction(text), "{text}");
        }
        for text in [
            "",
            "BEGIN",
            "SAVEPOINT a",
            "RELEASE SAVEPOINT a",
            "ROLLBACK TO a",
            "ROLLBACK WORK TO SAVEPOINT a",
            "PREPARE x AS SELECT 1",
            "SELECT 'x; COMMIT'",
            "DO $$ BEGIN NULL; END $$",
            "CREATE FUNCTION f() RETURNS int BEGIN ATOMIC SELECT 1; END",
            "commitment",
        ] {
            assert!(!ends_transaction(text), "{text}");
        }
    }

    #[test]
    fn what_is_left_open_is_told_from_what_is_not() {
        for text in [
            "",
            "SELECT 1",
            "-- x",
            "/* x */",
            "SELECT 'a''b'",
            "SELECT \"a\"",
            "DO $$ ' $$",
            "DO $a$ $$ $a$",
            "SELECT $1",
            "SELECT E'\\''",
            "$",
        ] {
            assert!(is_closed(text), "{text}");
        }
        for text in [
            "/* x",
            "/* /* */",
            "/*/",
            "SELECT 'a",
            "SELECT '",
            "SELECT 'a''",
            "SELECT \"a",
            "DO $$ x",
            "DO $a$ x $$",
            "DO $a$ x $b$",
            "SELECT E'\\'",
        ] {
            assert!(!is_closed(text), "{text}");
        }
    }

    #[test]
    fn statements_are_parted_at_semicolons_that_are_not_quoted() {
        for (text, expected) in [
            ("", &[][..]),
            (" ;; -- nothing\n /* ; */ ", &[]),
            ("SELECT 1", &["SELECT 1"]),
            (" SELECT 1 ; -- one;\n", &["SELECT 1"]),
            ("SELECT 1 -- one;\n;", &["SELECT 1"]),
            ("SELECT ';';SELECT \";\"", &["SELECT ';'", "SELECT \";\""]),
            ("SELECT 'it''s;'; x", &["SELECT 'it''s;'", "x"]),
            (r"SELECT E'\';'; x", &[r"SELECT E'\';'", "x"]),
            ("SELECT E'a'\n '\\';'; x", &["SELECT E'a'\n '\\';'", "x"]),
            ("SELECT E'a' '\\'; x", &["SELECT E'a' '\\'", "x"]),
            ("SELECT 1 -- one;\r; x", &["SELECT 1", "x"]),
            (r"SELECT '\'; x", &[r"SELECT '\'", "x"]),
            (r"SELECT E'a''\';'; x", &[r"SELECT E'a''\';'", "x"]),
            ("DO $a$ ; $b$ ; $a$; x", &["DO $a$ ; $b$ ; $a$", "x"]),
            ("SELECT $$;$$, $1; x", &["SELECT $$;$$, $1", "x"]),
            ("SELECT a$1; x$1", &["SELECT a$1", "x$1"]),
            ("/* /* ; */ ; */ SELECT 'é;'", &["SELECT 'é;'"]),
            ("SELECT 'open;", &["SELECT 'open;"]),
            ("SELECT 1 /* open;", &["SELECT 1"]),
            ("SELECT $x$ open;", &["SELECT $x$ open;"]),
            ("SELECT 'é", &["SELECT 'é"]),
            ("é;é", &["é", "é"]),
        ] {
            assert_eq!(statements(text), expected, "{text:?}");
        }
    }

    #[test]
    fn the_keyword_of_a_statement_is_its_first_word() {
        assert_eq!(keyword("select 1"), "SELECT");
        assert_eq!(keyword("((values (1)))"), "VALUES");
        assert_eq!(keyword("(/* x */ table notes)"), "TABLE");
        assert_eq!(keyword("1"), "");
        assert_eq!(keyword(""), "");
    }
}
