//! The relations that statements create.

use super::{
    cursor::{Cursor, Qualified},
    token::Token,
};

/// A relation that a statement creates.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Created {
    pub(super) name: Qualified,
    pub(super) temporary: bool,
    /// Whether it has rows to be locked or written anew: no plain view has.
    pub(super) has_rows: bool,
}

/// The relation that a statement creates, if it does. In a block of PL/pgSQL, SELECT … INTO is for
/// variables.
pub(super) fn created(tokens: &[Token<'_>], in_block: bool) -> Option<Created> {
    let mut cursor = Cursor::new(tokens);
    if !in_block && cursor.eat_any(&["select", "with"]) {
        return selected_into(tokens);
    }
    if !cursor.eat("create") {
        return None;
    }
    cursor.eat_all(&["or", "replace"]);
    let temporary = modifiers(&mut cursor);
    let has_rows = cursor.eat_any(&["table"])
        || cursor.eat_all(&["foreign", "table"])
        || cursor.eat_all(&["materialized", "view"]);
    if !has_rows {
        cursor.eat("recursive");
        if !cursor.eat("view") {
            return None;
        }
    }
    cursor.eat_if_exists();
    let name = cursor.qualified()?;
    Some(Created {
        temporary: temporary || is_temporary(name.schema()),
        name,
        has_rows,
    })
}

/// Passes over TEMPORARY, UNLOGGED and the like; says whether it is temporary.
pub(super) fn modifiers(cursor: &mut Cursor<'_, '_>) -> bool {
    cursor.eat_any(&["global", "local"]);
    let temporary = cursor.eat_any(&["temp", "temporary"]);
    cursor.eat("unlogged");
    temporary
}

pub(super) fn selected_into(tokens: &[Token<'_>]) -> Option<Created> {
    let at = into(tokens)?;
    let mut cursor = Cursor::new(&tokens[at + 1..]);
    let temporary = modifiers(&mut cursor);
    cursor.eat("table");
    let name = cursor.qualified()?;
    Some(Created {
        temporary: temporary || is_temporary(name.schema()),
        name,
        has_rows: true,
    })
}

/// The INTO of a SELECT … INTO.
fn into(tokens: &[Token<'_>]) -> Option<usize> {
    if !tokens.first()?.is_any(&["select", "with"]) {
        return None;
    }
    let (mut depth, mut last) = (0_usize, None);
    for (at, token) in tokens.iter().enumerate() {
        if token.is_symbol("(") {
            depth += 1;
        } else if token.is_symbol(")") {
            depth = depth.saturating_sub(1);
        } else if depth == 0 && token.is_any(&["select", "insert", "merge"]) {
            last = Some(token);
        } else if depth == 0 && token.is("into") {
            return last.filter(|last| last.is("select")).map(|_| at);
        }
    }
    None
}

pub(super) fn is_temporary(schema: Option<&str>) -> bool {
    schema.is_some_and(|schema| schema.starts_with("pg_temp"))
}

#[cfg(test)]
mod tests {
    use super::created;
    use crate::lint::token::body;

    #[test]
    fn what_is_created_is_told_with_its_kind() {
        let one = |text: &str| {
            created(&body(text), false).map(|c| (c.name.name().to_owned(), c.temporary, c.has_rows))
        };
        for (text, expected) in [
            ("CREATE TABLE a.b ()", Some(("b", false, true))),
            ("CREATE LOCAL TEMPORARY TABLE b ()", Some(("b", true, true))),
            ("CREATE TABLE pg_temp.b ()", Some(("b", true, true))),
            (
                "CREATE TABLE IF NOT EXISTS b AS SELECT 1",
                Some(("b", false, true)),
            ),
            ("SELECT 1 INTO UNLOGGED b", Some(("b", false, true))),
            (
                "CREATE OR REPLACE TEMP RECURSIVE VIEW b (a) AS SELECT 1",
                Some(("b", true, false)),
            ),
            (
                "CREATE MATERIALIZED VIEW b AS SELECT 1",
                Some(("b", false, true)),
            ),
            ("CREATE INDEX b ON c (d)", None),
            ("INSERT INTO b SELECT 1", None),
            ("WITH x AS (SELECT 1) INSERT INTO b SELECT * FROM x", None),
        ] {
            let expected = expected.map(|(name, a, b)| (name.to_owned(), a, b));
            assert_eq!(one(text), expected, "{text}");
        }
    }
}
