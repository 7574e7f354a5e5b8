//! Statements that can leave nothing behind in a session, by their text.
//!
//! A session that has run nothing else needs no clean. So this answers yes only to text of one narrow
//! shape: a `SELECT` as Diesel's query builder writes it, of quoted names, bind parameters and a short list
//! of words and operators. It calls no function by name, other than aggregates that PostgreSQL has; it
//! holds no constant, no cast and no comment; and each relation in it is looked up on the path, where
//! `pool::known` has asked the server whether anything can be hidden behind a name: a view, a policy, a
//! function.

use crate::layout::Layout;

/// The words that may stand in such a statement. None of them names a function.
const WORDS: [&str; 40] = [
    "ALL",
    "AND",
    "ANY",
    "AS",
    "ASC",
    "BETWEEN",
    "BY",
    "CROSS",
    "DESC",
    "DISTINCT",
    "EXCEPT",
    "EXISTS",
    "FALSE",
    "FIRST",
    "FROM",
    "FULL",
    "GROUP",
    "HAVING",
    "ILIKE",
    "IN",
    "INNER",
    "INTERSECT",
    "IS",
    "JOIN",
    "LAST",
    "LEFT",
    "LIKE",
    "LIMIT",
    "NOT",
    "NULL",
    "NULLS",
    "OFFSET",
    "ON",
    "OR",
    "ORDER",
    "OUTER",
    "RIGHT",
    "SELECT",
    "UNION",
    "WHERE",
];

/// The words behind which the names of relations end.
const AFTER_FROM: [&str; 7] = [
    "WHERE", "GROUP", "HAVING", "ORDER", "LIMIT", "OFFSET", "SELECT",
];

/// The aggregates that may be called, as Diesel writes them. `pool::known` sees to it that they are
/// PostgreSQL's own.
const AGGREGATES: [&str; 6] = ["COUNT", "count", "max", "min", "sum", "avg"];

const OPERATORS: [&str; 12] = [
    "=", "!=", "<>", "<", "<=", ">", ">=", "+", "-", "*", "/", "||",
];

/// Whether running `statement` can change nothing about the session but what the statement's own end
/// takes back.
pub(crate) fn is_plain_select(statement: &str) -> bool {
    let mut tokens = Tokens(statement).peekable();
    if tokens.next() != Some(Token::Word("SELECT")) {
        return false;
    }
    // Whether the names of relations are being read, also outside each open parenthesis, and whether the
    // next name is one.
    let (mut in_from, mut outside, mut relation) = (false, Vec::new(), false);
    while let Some(token) = tokens.next() {
        match token {
            Token::Word(word) => {
                if AGGREGATES.contains(&word) {
                    if tokens.peek() != Some(&Token::Mark("(")) {
                        return false;
                    }
                    continue;
                }
                if !WORDS.contains(&word) {
                    return false;
                }
                in_from = (in_from || word == "FROM") && !AFTER_FROM.contains(&word);
                relation = matches!(word, "FROM" | "JOIN");
            }
            Token::Name(name) => {
                let qualified = tokens.peek() == Some(&Token::Mark("."));
                if relation && qualified && name != Layout::REGISTRY {
                    return false;
                }
                // Up to the end of `table.column`, or `boardinghouse.table.column`.
                let mut parts = 1;
                while tokens.next_if_eq(&Token::Mark(".")).is_some() {
                    if !matches!(tokens.next(), Some(Token::Name(_) | Token::Mark("*"))) {
                        return false;
                    }
                    parts += 1;
                }
                // A name in front of a parenthesis is a function's.
                if parts > 2 + usize::from(name == Layout::REGISTRY)
                    || tokens.peek() == Some(&Token::Mark("("))
                {
                    return false;
                }
                relation = false;
            }
            // `FROM a, s.b`, which Diesel does not write.
            Token::Mark(",") if in_from => return false,
            Token::Mark("(") => outside.push(in_from),
            Token::Mark(")") => match outside.pop() {
                Some(before) => in_from = before,
                None => return false,
            },
            Token::Mark(",") | Token::Parameter => {}
            Token::Mark(operator) if OPERATORS.contains(&operator) => {}
            Token::Mark(_) | Token::Other => return false,
        }
    }
    true
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Token<'a> {
    /// A bare word, as it is written.
    Word(&'a str),
    /// A name in double quotes, without them.
    Name(&'a str),
    /// `$1`
    Parameter,
    /// An operator, a parenthesis, a comma or a dot.
    Mark(&'a str),
    /// Anything else: numbers, string constants, comments, casts, semicolons.
    Other,
}

struct Tokens<'a>(&'a str);

impl<'a> Tokens<'a> {
    /// Takes the bytes from the front that satisfy `wanted`.
    fn take(&mut self, wanted: impl Fn(u8) -> bool) -> &'a str {
        let end = self
            .0
            .bytes()
            .position(|byte| !wanted(byte))
            .unwrap_or(self.0.len());
        // Only ASCII is ever wanted, so this is a character boundary.
        let (taken, rest) = self.0.split_at(end);
        self.0 = rest;
        taken
    }
}

impl<'a> Iterator for Tokens<'a> {
    type Item = Token<'a>;

    fn next(&mut self) -> Option<Token<'a>> {
        self.take(|byte| byte == b' ');
        let first = *self.0.as_bytes().first()?;
        Some(match first {
            b'a'..=b'z' | b'A'..=b'Z' | b'_' => {
                Token::Word(self.take(|byte| byte.is_ascii_alphanumeric() || byte == b'_'))
            }
            b'"' => match self.0[1..].split_once('"') {
                // A quote inside a name is written twice.
                Some((name, rest)) if !rest.starts_with('"') => {
                    self.0 = rest;
                    Token::Name(name)
                }
                _ => {
                    self.0 = "";
                    Token::Other
                }
            },
            b'$' => {
                self.0 = &self.0[1..];
                match self.take(|byte| byte.is_ascii_digit()) {
                    "" => Token::Other,
                    _ => Token::Parameter,
                }
            }
            b'(' | b')' | b',' | b'.' => {
                let (mark, rest) = self.0.split_at(1);
                self.0 = rest;
                Token::Mark(mark)
            }
            _ => match self.take(|byte| b"+-*/<>=~!@#%^&|`?:;".contains(&byte)) {
                "" => {
                    self.0 = "";
                    Token::Other
                }
                operator => Token::Mark(operator),
            },
        })
    }
}

#[cfg(test)]
mod tests {
    use super::is_plain_select;

    #[test]
    fn what_the_query_builder_writes_is_plain() {
        for statement in [
            r#"SELECT "notes"."body" FROM "notes" WHERE ("notes"."id" = $1)  LIMIT $2"#,
            r#"SELECT "notes"."id", "notes"."body" FROM "notes""#,
            r#"SELECT COUNT(*) FROM "notes" WHERE ("notes"."id" > $1)"#,
            r#"SELECT max("notes"."id") FROM "notes""#,
            r#"SELECT "a"."x", "b"."y" FROM ("a" INNER JOIN "b" ON ("a"."id" = "b"."a"))"#,
            r#"SELECT "a"."x" FROM "a" WHERE ("a"."x" IN ($1, $2)) ORDER BY "a"."x" DESC NULLS LAST"#,
            r#"SELECT DISTINCT ON ("a"."x") "a"."x" FROM "a" WHERE "a"."y" IS NOT NULL"#,
            r#"SELECT EXISTS (SELECT "a"."x" FROM "a" WHERE ("a"."y" ILIKE $1))"#,
            r#"SELECT "boardinghouse"."tenants"."id" FROM "boardinghouse"."tenants""#,
            r#"SELECT "a"."x" FROM "a" WHERE ("a"."y" = ANY($1)) GROUP BY "a"."x""#,
        ] {
            assert!(is_plain_select(statement), "{statement}");
        }
    }

    #[test]
    fn everything_else_is_not() {
        for statement in [
            "",
            "BEGIN",
            r#"INSERT INTO "notes" ("body") VALUES ($1)"#,
            r#"UPDATE "notes" SET "body" = $1"#,
            // Calls of functions, under any name and in any place.
            r#"SELECT set_config($1, $2, $3)"#,
            r#"SELECT "set_config"($1, $2, $3)"#,
            r#"SELECT "pg_catalog"."set_config"($1, $2, $3)"#,
            r#"SELECT "a"."x" FROM "a" WHERE (lower("a"."x") = $1)"#,
            r#"SELECT "a"."x" FROM "f" ($1)"#,
            r#"SELECT count FROM "a""#,
            r#"SELECT nextval FROM "a""#,
            r#"SELECT CURRENT_TIMESTAMP"#,
            // Relations that are not looked up on the path.
            r#"SELECT "v"."x" FROM "other"."v""#,
            r#"SELECT "other"."v"."x" FROM "v""#,
            r#"SELECT "a"."x" FROM "a" INNER JOIN "other"."v" ON ("a"."id" = "v"."id")"#,
            r#"SELECT "a"."x" FROM "a", "other"."v""#,
            r#"SELECT "x"."y" FROM (SELECT "a"."y" FROM "a" WHERE "a"."z" = $1) "x", "other"."v""#,
            r#"SELECT "boardinghouse"."tenants"."id"."x" FROM "a""#,
            // Operators that a person can have defined, constants, casts, comments, two statements.
            r#"SELECT "a"."x" FROM "a" WHERE ("a"."x" @> $1)"#,
            r#"SELECT "a"."x" FROM "a" WHERE ("a"."x" OPERATOR("s".=) $1)"#,
            r#"SELECT "a"."x"::regclass FROM "a""#,
            r#"SELECT 1"#,
            r#"SELECT 'x'"#,
            r#"SELECT "a"."x" FROM "a" -- x"#,
            r#"SELECT "a"."x" FROM "a" /* x */"#,
            r#"SELECT "a"."x" FROM "a"; SELECT $1"#,
            r#"SELECT "a"."x" FROM "a" FOR UPDATE"#,
            r#"SELECT "a""(" FROM "a""#,
            r#"SELECT "a"."x" INTO "b" FROM "a""#,
            "SELECT \"a\".\"x\u{e4}\" FROM \u{e4}",
            r#"SELECT "a"#,
            r#"SELECT $ FROM "a""#,
        ] {
            assert!(!is_plain_select(statement), "{statement}");
        }
    }
}
