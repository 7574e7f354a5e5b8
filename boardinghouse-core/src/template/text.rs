//! SQL text in which the name of the schema is left open.

use serde::{Deserialize, Serialize};

use crate::{
    names::SchemaName,
    sql::{Ident, Literal},
};

/// A piece of a statement.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Piece {
    /// As it is.
    Text(String),
    /// The schema, as an identifier.
    Schema,
    /// The same, without quotes if it can do without.
    Bare,
    /// The name of the schema, for use inside of a string constant.
    Name,
    /// The schema that is cloned, as an identifier: in statements that copy its rows.
    Source,
    /// A string constant that holds these pieces.
    Quoted(Vec<Piece>),
}

/// Puts pieces together for one schema, cloned from another.
pub(super) fn render(pieces: &[Piece], schema: &SchemaName, source: &SchemaName) -> String {
    render_at(0, pieces, schema, source)
}

/// At some depth of string constants within string constants.
fn render_at(depth: usize, pieces: &[Piece], schema: &SchemaName, source: &SchemaName) -> String {
    let mut text = String::new();
    for piece in pieces {
        match piece {
            Piece::Text(piece) => text.push_str(piece),
            Piece::Schema => text.push_str(&schema.quoted().to_string()),
            Piece::Bare => text.push_str(&schema.quoted().bare_if_possible()),
            Piece::Name => text.push_str(schema.as_str()),
            Piece::Source => text.push_str(&source.quoted().to_string()),
            Piece::Quoted(pieces) => {
                let inside = render_at(depth + 1, pieces, schema, source);
                match depth {
                    0 => text.push_str(&Literal(&inside).to_string()),
                    // As its author wrote it: a backslash is one.
                    _ => text.push_str(&format!("'{}'", inside.replace('\'', "''"))),
                }
            }
        }
    }
    text
}

/// Identifiers between commas, as `search_path` holds them (PostgreSQL manual, 20.11.1), without
/// their quotes; nothing where it is no such list.
pub(super) fn identifiers(list: &str) -> Option<Vec<String>> {
    let mut found = Vec::new();
    let mut rest = list.trim_start();
    if rest.is_empty() {
        return Some(found);
    }
    loop {
        let (name, after) = identifier(rest)?;
        found.push(name);
        let after = after.trim_start();
        match after.strip_prefix(',') {
            Some(more) => rest = more.trim_start(),
            None if after.is_empty() => return Some(found),
            None => return None,
        }
    }
}

/// The identifier that `text` begins with, and what comes after it.
pub(super) fn identifier(text: &str) -> Option<(String, &str)> {
    if let Some(quoted) = text.strip_prefix('"') {
        let mut name = String::new();
        let mut rest = quoted;
        loop {
            let (before, after) = rest.split_once('"')?;
            name.push_str(before);
            match after.strip_prefix('"') {
                Some(more) => {
                    name.push('"');
                    rest = more;
                }
                None => return Some((name, after)),
            }
        }
    }
    let begins = |c: char| c.is_ascii_alphabetic() || c == '_' || !c.is_ascii();
    let goes_on = |c: char| begins(c) || c.is_ascii_digit() || c == '$';
    if !text.starts_with(begins) {
        return None;
    }
    let end = text.find(|c| !goes_on(c)).unwrap_or(text.len());
    let (name, after) = text.split_at_checked(end)?;
    Some((name.to_ascii_lowercase(), after))
}

/// The identifier that is the whole of `text`.
pub(super) fn whole_identifier(text: &str) -> Option<String> {
    identifier(text.trim())
        .filter(|(_, after)| after.is_empty())
        .map(|(name, _)| name)
}

/// `name` as an identifier.
pub(super) fn quoted(name: &str) -> String {
    Ident(name).to_string()
}

#[cfg(test)]
mod tests {
    use super::{Piece, identifiers, render};
    use crate::names::SchemaName;

    #[test]
    fn lists_of_identifiers_are_read_as_postgresql_does() {
        let read = |list| identifiers(list).map(|names| names.join("|"));
        assert_eq!(read("").as_deref(), Some(""));
        assert_eq!(
            read("A, \"B\"\"c\",\"$user\"").as_deref(),
            Some("a|B\"c|$user")
        );
        assert_eq!(read("a b"), None);
        assert_eq!(read("\"a"), None);
        assert_eq!(read("a,"), None);
    }

    #[test]
    fn a_name_is_quoted_once_more_at_each_depth() {
        let schema = SchemaName::existing("It's \"q\\").unwrap_or_else(|e| panic!("{e}"));
        let inner = Piece::Quoted(vec![Piece::Schema, Piece::Text(".x".into())]);
        let pieces = [Piece::Text("f(".into()), Piece::Quoted(vec![inner])];
        assert_eq!(
            render(&pieces, &schema, &schema),
            "f( E'''\"It''''s \"\"q\\\\\".x'''"
        );
    }
}
