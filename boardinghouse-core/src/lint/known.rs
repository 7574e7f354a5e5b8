//! What a set of migrations has created, and what later migrations may count on.

use std::collections::{BTreeMap, HashMap, HashSet};

use super::{
    created::{self, Created},
    cursor::Cursor,
    names,
    token::{self, Kind, Token},
};

/// Where something was created.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    /// The number of the migration.
    pub(super) migration: usize,
    pub(super) statement: usize,
    pub(super) at: usize,
}

/// What a whole set creates.
#[derive(Debug, Default)]
pub(super) struct Known {
    /// The tables and views that are there in the end.
    pub(super) relations: BTreeMap<String, Place>,
    /// Those that were there at some time.
    pub(super) ever: HashSet<String>,
    /// Functions that may give something else for each row.
    pub(super) volatile: HashSet<String>,
    pub(super) schemas: HashSet<String>,
}

impl Known {
    /// Learns from a statement. `elsewhere` says of a schema that it is not the set's.
    pub(super) fn learn(
        &mut self,
        piece: &Piece<'_>,
        place: Place,
        elsewhere: impl Fn(Option<&str>) -> bool,
    ) {
        let tokens = &piece.tokens[..];
        if let Some(Created {
            name,
            temporary: false,
            ..
        }) = created::created(tokens, piece.in_block)
            && !elsewhere(name.schema())
        {
            let place = Place {
                at: name.at,
                ..place
            };
            self.ever.insert(name.name().to_owned());
            self.relations
                .entry(name.name().to_owned())
                .or_insert(place);
        }
        let mut cursor = Cursor::new(tokens);
        if cursor.eat("create") {
            cursor.eat_all(&["or", "replace"]);
            if cursor.eat("schema") {
                cursor.eat_if_exists();
                self.schemas
                    .extend(cursor.qualified().map(|name| name.name().to_owned()));
            } else if cursor.eat("function")
                && let Some(name) = cursor.qualified()
                && !cursor
                    .tokens
                    .iter()
                    .any(|token| token.is_any(&["stable", "immutable"]))
            {
                self.volatile.insert(name.name().to_owned());
            }
        } else if dropped(cursor) {
            for mention in names::mentions(tokens, piece.in_block) {
                self.relations.remove(&mention.name);
            }
        } else if let Some((old, new)) = renamed(cursor)
            && let Some(place) = self.relations.remove(&old)
        {
            self.ever.insert(new.clone());
            self.relations.insert(new, place);
        }
    }
}

fn dropped(mut cursor: Cursor<'_, '_>) -> bool {
    cursor.eat("drop")
        && (cursor.eat_any(&["table", "view"])
            || cursor.eat_all(&["materialized", "view"])
            || cursor.eat_all(&["foreign", "table"]))
}

/// The old name and the new one of a relation that is renamed.
pub(super) fn renamed(mut cursor: Cursor<'_, '_>) -> Option<(String, String)> {
    if !cursor.eat("alter") {
        return None;
    }
    let _ = cursor.eat("materialized") || cursor.eat("foreign");
    if !cursor.eat_any(&["table", "view"]) {
        return None;
    }
    cursor.eat_if_exists();
    cursor.eat("only");
    let old = cursor.qualified()?;
    cursor.eat_symbol("*");
    let new = cursor
        .eat_all(&["rename", "to"])
        .then(|| cursor.qualified())??;
    Some((old.name().to_owned(), new.name().to_owned()))
}

/// Which columns are proven to hold no NULL, by what was run before.
#[derive(Debug, Default)]
pub(super) struct Proven {
    columns: HashSet<(String, String)>,
    /// By table and name: the column, of which it is not known yet.
    waiting: HashMap<(String, String), String>,
}

impl Proven {
    pub(super) fn holds(&self, table: &str, column: &str) -> bool {
        self.columns
            .contains(&(table.to_owned(), column.to_owned()))
    }

    /// Learns from one action of ALTER TABLE.
    pub(super) fn learn(&mut self, table: &str, mut action: Cursor<'_, '_>) {
        if action.eat_all(&["validate", "constraint"]) {
            let key = action
                .qualified()
                .map(|name| (table.to_owned(), name.name().to_owned()));
            if let Some(column) = key.and_then(|key| self.waiting.remove(&key)) {
                self.columns.insert((table.to_owned(), column));
            }
            return;
        }
        if !action.eat("add") {
            return;
        }
        let name = action
            .eat("constraint")
            .then(|| action.qualified())
            .flatten();
        if !action.eat("check") {
            return;
        }
        let Some([column, is, not, null]) = action.parentheses() else {
            return;
        };
        if let Some(column) = column.name()
            && is.is("is")
            && not.is("not")
            && null.is("null")
        {
            let column = column.into_owned();
            match name {
                Some(name) if action.has(&["not", "valid"]) => {
                    let key = (table.to_owned(), name.name().to_owned());
                    self.waiting.insert(key, column);
                }
                _ => _ = self.columns.insert((table.to_owned(), column)),
            }
        }
    }
}

/// A statement, or one in a block of PL/pgSQL.
#[derive(Clone, Debug)]
pub(super) struct Piece<'t> {
    pub(super) tokens: Vec<Token<'t>>,
    pub(super) in_block: bool,
}

/// The statement, and those in it that it runs at once: the block of a DO.
pub(super) fn pieces<'t>(tokens: &[Token<'t>]) -> Vec<Piece<'t>> {
    let mut found = vec![Piece {
        tokens: tokens.to_vec(),
        in_block: false,
    }];
    if !tokens.first().is_some_and(|first| first.is("do")) {
        return found;
    }
    for part in block(tokens).unwrap_or_default().split(|token| {
        token.is_symbol(";")
            || token.is_any(&["begin", "then", "else", "loop", "declare", "exception"])
    }) {
        if !part.is_empty() {
            found.push(Piece {
                tokens: part.to_vec(),
                in_block: true,
            });
        }
    }
    found
}

/// The body of a DO or of a function, in tokens that are where they are in the file. None where it is
/// written in quotes that would have to be undone first.
pub(super) fn block<'t>(tokens: &[Token<'t>]) -> Option<Vec<Token<'t>>> {
    let strings = tokens.iter().filter(|token| token.kind == Kind::String);
    let (content, at) = strings.max_by_key(|token| token.text.len())?.content()?;
    let std::borrow::Cow::Borrowed(text) = content else {
        return None;
    };
    let mut tokens = token::body(text);
    for token in &mut tokens {
        token.at += at;
    }
    Some(tokens)
}

#[cfg(test)]
mod tests {
    use super::{Known, Place, Proven, pieces};
    use crate::lint::{cursor::Cursor, statement::Script, token::body};

    fn known(text: &str) -> Known {
        let mut known = Known::default();
        for (statement, one) in Script::read(text).statements.iter().enumerate() {
            for piece in pieces(&one.tokens) {
                let place = Place {
                    migration: 0,
                    statement,
                    at: 0,
                };
                known.learn(&piece, place, |schema| schema == Some("elsewhere"));
            }
        }
        known
    }

    #[test]
    fn tables_come_and_go_and_change_their_names() {
        for (text, expected) in [
            (
                "CREATE TABLE a (); CREATE VIEW b AS SELECT 1; CREATE TABLE elsewhere.c ()",
                &["a", "b"][..],
            ),
            ("CREATE TABLE a (); DROP TABLE IF EXISTS a, b", &[]),
            ("CREATE TABLE a (); ALTER TABLE a RENAME TO b", &["b"]),
            ("CREATE TABLE a (); ALTER TABLE a RENAME c TO d", &["a"]),
            (
                "DO $$ BEGIN IF x THEN CREATE TABLE a (); END IF; SELECT 1 INTO b; END $$",
                &["a"],
            ),
            (
                "DO 'BEGIN CREATE TABLE a (); END'; DO 'BEGIN x(''y''); END'",
                &["a"],
            ),
            ("SELECT 1 AS x INTO a; CREATE TEMP TABLE b ()", &["a"]),
        ] {
            let known = known(text);
            assert_eq!(
                known.relations.keys().collect::<Vec<_>>(),
                expected,
                "{text}"
            );
        }
    }

    #[test]
    fn a_function_is_volatile_unless_it_says_otherwise() {
        let known = known(
            "CREATE FUNCTION a() RETURNS int LANGUAGE sql AS 'SELECT 1';
             CREATE OR REPLACE FUNCTION b() RETURNS int STABLE RETURN 1",
        );
        assert!(known.volatile.contains("a") && !known.volatile.contains("b"));
    }

    #[test]
    fn a_column_is_proven_by_a_check_that_is_valid() {
        let mut proven = Proven::default();
        let mut learn = |text: &str| {
            proven.learn("t", Cursor::new(&body(text)));
            proven.holds("t", "c")
        };
        assert!(!learn("ADD CONSTRAINT k CHECK (d IS NOT NULL)"));
        assert!(!learn("ADD CONSTRAINT k CHECK (c IS NOT NULL) NOT VALID"));
        assert!(!learn("VALIDATE CONSTRAINT other"));
        assert!(learn("VALIDATE CONSTRAINT k"));
        let mut proven = Proven::default();
        proven.learn("t", Cursor::new(&body("ADD CHECK (c IS NOT NULL)")));
        assert!(proven.holds("t", "c") && !proven.holds("u", "c"));
    }
}
