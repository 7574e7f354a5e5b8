//! Where the text of a definition names the schema that it is read from.
//!
//! What the server deparses under the schema's own path names it nowhere but in string constants. The
//! body of a function is text of its author's. Both are split into tokens (PostgreSQL manual, 4.1
//! "Lexical Structure"), never searched as text: a schema may be called `s` or `user`, and most words
//! that look like its name are not.
//!
//! A mention is left open for the name of the clone where it can only mean the schema; where it may mean
//! something else it is refused, unless somebody answers for the object.

use std::collections::HashSet;

use super::{
    text::{Piece, identifier, whole_identifier},
    tokens::{Kind, Token, content, tokens},
};
use crate::names::SchemaName;

/// Looks for the name of a schema.
#[derive(Debug)]
pub(super) struct Mentions<'a> {
    schema: &'a SchemaName,
    /// The names of everything in the schema that a name can be qualified for.
    members: HashSet<&'a str>,
    /// The objects for whose text somebody answers.
    allowed: &'a HashSet<String>,
    pub(super) refusals: Vec<String>,
}

/// Functions whose argument is the name of an object.
const LOOK_UPS: &[&str] = &[
    "nextval",
    "currval",
    "setval",
    "to_regclass",
    "to_regtype",
    "to_regproc",
    "to_regprocedure",
    "to_regoper",
    "to_regcollation",
    "pg_get_serial_sequence",
];

/// Words next to which a string is the name of a schema.
const SCHEMA_WORDS: &[&str] = &[
    "nspname",
    "schemaname",
    "schema_name",
    "table_schema",
    "routine_schema",
    "specific_schema",
    "sequence_schema",
    "constraint_schema",
    "trigger_schema",
    "udt_schema",
    "tg_table_schema",
    "search_path",
    "set_config",
    "current_schema",
    "has_schema_privilege",
    "quote_ident",
];

impl<'a> Mentions<'a> {
    pub(super) fn new(
        schema: &'a SchemaName,
        members: HashSet<&'a str>,
        allowed: &'a HashSet<String>,
    ) -> Self {
        Self {
            schema,
            members,
            allowed,
            refusals: Vec::new(),
        }
    }

    /// Text that the server has deparsed.
    pub(super) fn in_expression(&mut self, object: &str, text: &str) -> Vec<Piece> {
        self.in_text(object, text, None)
    }

    /// The body of a function called `name`, which is text.
    pub(super) fn in_body(
        &mut self,
        object: &str,
        name: &str,
        language: &str,
        text: &str,
    ) -> Vec<Piece> {
        if matches!(language, "sql" | "plpgsql") {
            return self.in_text(object, text, Some(name));
        }
        // Another language has other tokens, so that nothing can be rewritten.
        if self.is_named_in(text) {
            self.refuse(object, text, "in a language that cannot be read here");
        }
        vec![Piece::Text(text.to_owned())]
    }

    /// The setting of a function: `SET name TO …`.
    pub(super) fn in_setting(&mut self, object: &str, name: &str, value: &str) -> Vec<Piece> {
        const LISTS: &[&str] = &[
            "search_path",
            "temp_tablespaces",
            "local_preload_libraries",
            "session_preload_libraries",
        ];
        let mut pieces = vec![Piece::Text(format!(
            " SET {} TO ",
            super::text::quoted(name)
        ))];
        let list = LISTS
            .contains(&name)
            .then(|| super::text::identifiers(value));
        let Some(list) = list.flatten() else {
            if self.is_named_in(value) {
                self.refuse(object, value, &format!("in its setting {name}"));
            }
            pieces.push(Piece::Quoted(vec![Piece::Text(value.to_owned())]));
            return pieces;
        };
        if list.is_empty() {
            pieces.push(Piece::Text("''".to_owned()));
        }
        for (number, item) in list.into_iter().enumerate() {
            if number > 0 {
                pieces.push(Piece::Text(", ".to_owned()));
            }
            let item = match name == "search_path" && item == self.schema.as_str() {
                true => Piece::Name,
                false => Piece::Text(item),
            };
            pieces.push(Piece::Quoted(vec![item]));
        }
        pieces
    }

    /// `body_of` is the function's name, where the text is a body.
    fn in_text(&mut self, object: &str, text: &str, body_of: Option<&str>) -> Vec<Piece> {
        // Most text does not hold the name in any form.
        let bare = self.schema.as_str().to_ascii_lowercase();
        if !text.to_ascii_lowercase().contains(&bare)
            && !self.schema.as_str().contains(['"', '\'', '\\'])
        {
            return vec![Piece::Text(text.to_owned())];
        }
        let tokens = tokens(text);
        let solid: Vec<usize> = (0..tokens.len())
            .filter(|&at| tokens[at].kind != Kind::Space)
            .collect();
        let at = |place: usize| solid.get(place).map(|&at| tokens[at]);
        let text_at = |place: usize| at(place).map_or("", |token| token.text);
        let is_schema = |place: usize| {
            at(place).is_some_and(|token| {
                token.kind == Kind::Word
                    && whole_identifier(token.text).as_deref() == Some(self.schema.as_str())
            })
        };
        let after_dot = |place: usize| place > 0 && text_at(place - 1) == ".";
        // The name can also be that of an alias, a variable or a label: then it stands alone somewhere.
        let alone = (0..solid.len())
            .any(|place| is_schema(place) && text_at(place + 1) != "." && !after_dot(place));
        let is_variable = body_of == Some(self.schema.as_str())
            || matches!(self.schema.as_str(), "new" | "old" | "excluded");
        let is_dynamic = body_of.is_some()
            && solid.iter().any(|&at| {
                let word = tokens[at].text;
                tokens[at].kind == Kind::Word
                    && (word.eq_ignore_ascii_case("execute") || word.eq_ignore_ascii_case("format"))
            });

        let mut replaced: Vec<(usize, Vec<Piece>)> = Vec::new();
        let mut refused: Vec<(usize, &str)> = Vec::new();
        for place in 0..solid.len() {
            let token = tokens[solid[place]];
            if body_of.is_some()
                && is_schema(place)
                && text_at(place + 1) == "."
                && !after_dot(place)
            {
                let member = identifier(text_at(place + 2))
                    .is_some_and(|(name, _)| self.members.contains(name.as_str()))
                    || !text_at(place + 2)
                        .starts_with(|c: char| c == '"' || c == '_' || c.is_alphabetic());
                match (member, alone || is_variable) {
                    (true, false) => {
                        // In quotes as its author wrote it.
                        let quoted = token.text.starts_with('"');
                        let piece = if quoted { Piece::Schema } else { Piece::Bare };
                        replaced.push((solid[place], vec![piece]));
                    }
                    (true, true) => {
                        refused.push((solid[place], "it may also be an alias or a variable"));
                    }
                    (false, true) => {}
                    (false, false) => refused.push((solid[place], "nothing of that name is in it")),
                }
            } else if body_of.is_some() && is_schema(place) && !after_dot(place) {
                // `SET search_path TO …`, which need not be dynamic.
                let before = (place.saturating_sub(6)..place).map(text_at);
                if before
                    .clone()
                    .any(|word| word.eq_ignore_ascii_case("search_path"))
                    || before
                        .clone()
                        .any(|word| word.eq_ignore_ascii_case("schema"))
                {
                    refused.push((solid[place], "it sets or names the schema"));
                }
            } else if token.kind == Kind::String {
                let escapes = place > 0
                    && text_at(place - 1).eq_ignore_ascii_case("e")
                    && solid[place] == solid[place - 1] + 1;
                let content = content(token.text, escapes);
                let before = |back: usize| place.checked_sub(back).map_or("", text_at);
                let called = |words: &[&str]| {
                    // `name(`, or `pg_catalog.name(`; a string that begins `E` has that before it.
                    let open = if escapes { 2 } else { 1 };
                    before(open) == "("
                        && words
                            .iter()
                            .any(|w| before(open + 1).eq_ignore_ascii_case(w))
                };
                let casts_to = |kinds: &[&str]| {
                    // `::regclass`, `::text)::regclass`, `::pg_catalog.regclass`.
                    (1..=12).any(|on| {
                        text_at(place + on) == ":"
                            && kinds.iter().any(|kind| {
                                text_at(place + on + 1) == ":"
                                    && text_at(place + on + 2).eq_ignore_ascii_case(kind)
                            })
                            && (1..on).all(|k| {
                                matches!(
                                    text_at(place + k),
                                    ":" | ")" | "text" | "character" | "varying"
                                )
                            })
                    })
                };
                let is_name = whole_identifier(&content).as_deref() == Some(self.schema.as_str());
                if is_name && (casts_to(&["regnamespace"]) || called(&["to_regnamespace"])) {
                    replaced.push((solid[place], vec![Piece::Quoted(vec![Piece::Bare])]));
                    if escapes {
                        replaced.push((solid[place - 1], Vec::new()));
                    }
                } else if content == self.schema.as_str() || is_name {
                    let near = (1..=6).any(|back| {
                        let word = before(back).trim_matches('"');
                        SCHEMA_WORDS.iter().any(|w| word.eq_ignore_ascii_case(w))
                    });
                    if near || is_dynamic {
                        refused.push((solid[place], "a string is its name"));
                    }
                } else if let Some(member) = self.qualified(&content) {
                    const KINDS: &[&str] = &[
                        "regclass",
                        "regtype",
                        "regproc",
                        "regprocedure",
                        "regoper",
                        "regoperator",
                        "regcollation",
                        "regconfig",
                        "regdictionary",
                    ];
                    if casts_to(KINDS) || called(LOOK_UPS) {
                        let name = vec![Piece::Bare, Piece::Text(member)];
                        replaced.push((solid[place], vec![Piece::Quoted(name)]));
                        if escapes {
                            replaced.push((solid[place - 1], Vec::new()));
                        }
                    } else {
                        refused.push((solid[place], "a string names something in it"));
                    }
                } else if self.is_named_in(&content) {
                    refused.push((solid[place], "a string names something in it"));
                }
            }
        }
        // Whoever answers for a text answers for all of it: half of it for the clone would be worse than none.
        if !refused.is_empty() && self.allowed.contains(object) {
            return vec![Piece::Text(text.to_owned())];
        }
        for (at, why) in refused {
            self.refuse(object, &around(&tokens, at), why);
        }
        replaced.sort_by_key(|(at, _)| *at);
        let mut pieces = Vec::new();
        let mut plain = String::new();
        let mut replaced = replaced.into_iter().peekable();
        for (at, token) in tokens.iter().enumerate() {
            match replaced.next_if(|(place, _)| *place == at) {
                Some((_, new)) => {
                    pieces.push(Piece::Text(std::mem::take(&mut plain)));
                    pieces.extend(new);
                }
                None => plain.push_str(token.text),
            }
        }
        pieces.push(Piece::Text(plain));
        pieces.retain(|piece| *piece != Piece::Text(String::new()));
        pieces
    }

    /// What follows the schema's name in a string that is the qualified name of a member.
    fn qualified(&self, content: &str) -> Option<String> {
        let (schema, after) = identifier(content.trim())?;
        let member = after.strip_prefix('.')?;
        let (name, rest) = identifier(member)?;
        let fits = schema == self.schema.as_str()
            && self.members.contains(name.as_str())
            && (rest.is_empty() || rest.starts_with('('));
        fits.then(|| after.to_owned())
    }

    /// Whether text holds the name before a dot and a member's, or next to `search_path`.
    fn is_named_in(&self, text: &str) -> bool {
        let tokens = tokens(text);
        let solid: Vec<&Token<'_>> = tokens.iter().filter(|t| t.kind != Kind::Space).collect();
        let names = |at: usize| {
            solid.get(at).is_some_and(|token| {
                token.kind == Kind::Word
                    && whole_identifier(token.text).as_deref() == Some(self.schema.as_str())
            })
        };
        let sets_path = solid
            .iter()
            .any(|token| token.text.eq_ignore_ascii_case("search_path"));
        (0..solid.len()).any(|at| {
            let dotted = solid.get(at + 1).is_some_and(|token| token.text == ".");
            let member = solid
                .get(at + 2)
                .and_then(|token| identifier(token.text))
                .is_some_and(|(name, _)| self.members.contains(name.as_str()));
            names(at) && (dotted && member || sets_path)
                || solid[at].kind == Kind::String && {
                    let content = content(solid[at].text, false);
                    content.len() < text.len() && self.is_named_in(&content)
                }
        })
    }

    fn refuse(&mut self, object: &str, place: &str, why: &str) {
        if self.allowed.contains(object) {
            return;
        }
        let place = place.trim();
        let end = place
            .char_indices()
            .nth(120)
            .map_or(place.len(), |(at, _)| at);
        self.refusals.push(format!(
            "{object}: names the schema in \"{}\", and {why}; allow it by name if that is meant",
            place.get(..end).unwrap_or_default().replace('\n', " "),
        ));
    }
}

/// A few tokens on both sides.
fn around(tokens: &[Token<'_>], at: usize) -> String {
    let begin = at.saturating_sub(8);
    let end = (at + 6).min(tokens.len());
    tokens[begin..end].iter().map(|token| token.text).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::Mentions;
    use crate::{
        names::SchemaName,
        template::text::{Piece, render},
    };

    fn schema(name: &str) -> SchemaName {
        SchemaName::existing(name).unwrap_or_else(|e| panic!("{e}"))
    }

    /// The text for clone `Clone's`, or what was refused.
    fn cloned(of: &str, text: &str, body: bool) -> Result<String, Vec<String>> {
        let name = schema(of);
        let allowed = HashSet::new();
        let mut mentions = Mentions::new(&name, HashSet::from(["notes", "We Ird", "f"]), &allowed);
        let pieces = match body {
            true => mentions.in_body("function f()", "f", "plpgsql", text),
            false => mentions.in_expression("column c", text),
        };
        match mentions.refusals.is_empty() {
            true => Ok(render(&pieces, &schema("Clone's"), &name)),
            false => Err(mentions.refusals),
        }
    }

    #[test]
    fn what_can_only_mean_the_schema_is_left_open() {
        let own = "\"Clone's\"";
        let body = "SELECT tmpl.notes.id FROM Tmpl . notes, \"tmpl\".\"We Ird\" WHERE tmpl.f()";
        let expected =
            format!("SELECT {own}.notes.id FROM {own} . notes, {own}.\"We Ird\" WHERE {own}.f()");
        assert_eq!(cloned("tmpl", body, true).as_deref(), Ok(expected.as_str()));
        for (text, expected) in [
            (
                "nextval('tmpl.notes'::text)",
                "nextval('\"Clone''s\".notes'::text)",
            ),
            (
                "nextval(('tmpl.notes'::text)::regclass)",
                "nextval(('\"Clone''s\".notes'::text)::regclass)",
            ),
            ("'tmpl'::regnamespace", "'\"Clone''s\"'::regnamespace"),
            ("'see tmpl, or a tmpl'::text", "'see tmpl, or a tmpl'::text"),
            ("'tmpl'::text", "'tmpl'::text"),
        ] {
            assert_eq!(
                cloned("tmpl", text, false).as_deref(),
                Ok(expected),
                "{text}"
            );
        }
    }

    #[test]
    fn what_may_mean_something_else_is_refused() {
        for text in [
            "SELECT 1 FROM tmpl.notes tmpl",
            "SELECT 1 FROM tmpl.gone",
            "EXECUTE 'SELECT * FROM tmpl.notes'",
            "EXECUTE format('DROP TABLE %I.x', 'tmpl')",
            "PERFORM set_config('search_path', 'tmpl', true)",
            "SET search_path TO tmpl, public",
            "SELECT 1 FROM pg_tables WHERE schemaname = 'tmpl'",
            "PERFORM 'tmpl.notes'",
        ] {
            assert!(cloned("tmpl", text, true).is_err(), "{text}");
        }
        assert!(cloned("tmpl", "'tmpl.notes'::text", false).is_err());
    }

    #[test]
    fn other_uses_of_the_word_are_left_alone() {
        for (of, text) in [
            ("s", "SELECT s.id, s.body FROM notes s"),
            (
                "a",
                "IF kind = 'a' THEN RAISE NOTICE 'this is a note'; END IF",
            ),
            ("new", "NEW.id := 1; RETURN NEW"),
            ("f", "SELECT f.id"),
            ("user", "SELECT user, current_user -- user.notes"),
            ("a", "SELECT x.a.notes"),
        ] {
            assert_eq!(cloned(of, text, true).as_deref(), Ok(text), "{of}");
        }
    }

    #[test]
    fn other_languages_are_only_looked_at() {
        let name = schema("tmpl");
        let allowed = HashSet::from(["function g()".to_owned()]);
        let mut mentions = Mentions::new(&name, HashSet::from(["notes"]), &allowed);
        for object in ["function f()", "function g()"] {
            let text = "plpy.execute('SELECT 1 FROM tmpl.notes')";
            let pieces = mentions.in_body(object, "f", "plpython3u", text);
            assert_eq!(pieces, [Piece::Text(text.to_owned())]);
        }
        assert_eq!(mentions.refusals.len(), 1);
        assert!(mentions.refusals[0].starts_with("function f()"));
        let half = "INSERT INTO tmpl.notes VALUES (1); EXECUTE 'DELETE FROM tmpl.notes'";
        let pieces = mentions.in_body("function g()", "g", "plpgsql", half);
        assert_eq!(pieces, [Piece::Text(half.to_owned())]);
    }
}
