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
    composed::{Composed, is_continued, is_left_open, is_message, solid},
    deparsed::readable,
    text::{Piece, identifier, whole_identifier},
    tokens::{Escapes, Kind, Token, content, escapes, identifier_at, tokens},
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
pub(super) const SCHEMA_WORDS: &[&str] = &[
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
    "schema",
    "schema_to_xml",
    "schema_to_xmlschema",
    "schema_to_xml_and_xmlschema",
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
        self.in_text(object, &readable(text), None)
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
        let unquoted = text.replace(['"', '\'', '`'], " ");
        if self.is_named_in(text)
            || self.is_named_in(&unquoted)
            || is_left_open(self.schema.as_str(), text)
        {
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
        let lower = text.to_ascii_lowercase();
        if !lower.contains(&bare)
            && !self.schema.as_str().contains(['"', '\'', '\\'])
            && !lower.contains(['\\', '&'])
        {
            return vec![Piece::Text(text.to_owned())];
        }
        let tokens = tokens(text);
        let solid = solid(&tokens);
        let at = |place: usize| solid.get(place).map(|&at| tokens[at]);
        let text_at = |place: usize| at(place).map_or("", |token| token.text);
        let is_schema = |place: usize| {
            solid.get(place).is_some_and(|&at| {
                identifier_at(&tokens, at).as_deref() == Some(self.schema.as_str())
            })
        };
        let after_dot = |place: usize| place > 0 && text_at(place - 1) == ".";
        // The name can also be that of an alias, a variable or a label: then it stands alone somewhere.
        let alone = (0..solid.len())
            .any(|place| is_schema(place) && text_at(place + 1) != "." && !after_dot(place));
        let is_variable = body_of == Some(self.schema.as_str())
            || matches!(self.schema.as_str(), "new" | "old" | "excluded");
        let composed = Composed::new(
            self.schema.as_str(),
            &self.members,
            &tokens,
            body_of.is_some(),
        );

        let mut replaced: Vec<(usize, Vec<Piece>)> = Vec::new();
        let mut refused: Vec<(usize, &str)> = Vec::new();
        for place in 0..solid.len() {
            let token = tokens[solid[place]];
            let escapes = escapes(&tokens, solid[place]);
            let is_unicode = matches!(escapes, Escapes::Unicode(_));
            if is_unicode && is_schema(place) && !after_dot(place - 2) {
                refused.push((solid[place], "it is written with escapes"));
            } else if body_of.is_some()
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
                let content = content(token.text, escapes);
                let before = |back: usize| place.checked_sub(back).map_or("", text_at);
                let called = |words: &[&str]| {
                    // `name(`, or `pg_catalog.name(`; a string that begins `E` has that before it.
                    let open = 1 + escapes.prefix();
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
                let mut replace = |pieces: Vec<Piece>| {
                    if is_unicode {
                        refused.push((solid[place], "it is written with escapes"));
                        return;
                    }
                    replaced.push((solid[place], vec![Piece::Quoted(pieces)]));
                    if escapes == Escapes::Backslash {
                        replaced.push((solid[place - 1], Vec::new()));
                    }
                };
                if is_name && (casts_to(&["regnamespace"]) || called(&["to_regnamespace"])) {
                    replace(vec![Piece::Bare]);
                } else if content == self.schema.as_str() || is_name {
                    let near = (1..=6).any(|back| {
                        let word = before(back).trim_matches('"');
                        SCHEMA_WORDS.iter().any(|w| word.eq_ignore_ascii_case(w))
                    });
                    if near
                        || composed.runs
                        || composed.sets_path
                        || body_of.is_some() && is_continued(&tokens, &solid, place)
                    {
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
                        replace(vec![Piece::Bare, Piece::Text(member)]);
                    } else {
                        refused.push((solid[place], "a string names something in it"));
                    }
                } else if self.is_named_in(&content) {
                    refused.push((solid[place], "a string names something in it"));
                } else if composed.may_be_path(&content) {
                    refused.push((solid[place], "a string may be a path with it"));
                } else if !is_message(&tokens, &solid, place) && composed.may_name(&content) {
                    refused.push((
                        solid[place],
                        "a string may name something in it, once it is put together",
                    ));
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
        let solid = solid(&tokens);
        let names = |place: usize| {
            identifier_at(&tokens, solid[place]).as_deref() == Some(self.schema.as_str())
        };
        let sets_path = solid
            .iter()
            .any(|&at| tokens[at].text.eq_ignore_ascii_case("search_path"));
        (0..solid.len()).any(|place| {
            let after = |on: usize| solid.get(place + on).map(|&at| tokens[at].text);
            let dotted = after(1) == Some(".");
            // `U&"…"` has two tokens before the name.
            let is_member = |at: &usize| {
                identifier_at(&tokens, *at).is_some_and(|name| self.members.contains(name.as_str()))
            };
            let member = solid.get(place + 2).is_some_and(is_member)
                || after(3) == Some("&") && solid.get(place + 4).is_some_and(is_member);
            names(place) && (dotted && member || sets_path)
                || tokens[solid[place]].kind == Kind::String && {
                    let at = solid[place];
                    let content = content(tokens[at].text, escapes(&tokens, at));
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
        assert!(cloned("tmpl", "'SELECT 1 FROM tmpl.notes'::text", false).is_err());
    }

    #[test]
    fn what_names_the_schema_once_it_is_put_together_is_refused() {
        for text in [
            "EXECUTE 'SELECT 1 FROM a.' || quote_ident(x)",
            "EXECUTE 'SELECT 1 FROM A. ' || x",
            "EXECUTE format('SELECT 1 FROM a.%I', x)",
            "EXECUTE format('SELECT 1 FROM \"a\".%I', x)",
            "EXECUTE 'SELECT 1 FROM \"a\".\"' || x || '\"'",
            "EXECUTE 'SELECT 1 FROM \"a' || '\".notes'",
            "EXECUTE 'SELECT 1 FROM a' || '.notes'",
            "EXECUTE 'SELECT 1 FROM a.' '\n'\n'notes'",
            "EXECUTE 'SELECT 1 FROM a.note' || 's'",
            "EXECUTE 'CREATE TABLE a.part_1 PARTITION OF notes DEFAULT'",
            "EXECUTE 'SELECT a.id FROM notes a; DROP TABLE a.gone'",
            "EXECUTE $q$SELECT 1 FROM a.$q$ || x",
            "EXECUTE 'DO ''BEGIN DELETE FROM a.' || x || '; END'''",
            "EXECUTE 'GRANT USAGE ON SCHEMA a TO x'",
            "EXECUTE 'SET SCHEMA ''a'''",
            "SET SCHEMA 'a'",
            "RETURN 'SELECT 1 FROM a.' || x",
            "RETURN concat('a.', x)",
            "PERFORM run('SELECT 1 FROM a' || '.notes')",
            "PERFORM run('SELECT 1 FROM ' || 'a' || '.notes')",
            "PERFORM run('SELECT 1 FROM ' || 'a' || '.\"We Ird\"')",
            "PERFORM run('SELECT 1 FROM ' || 'a' || '.' || x)",
            "RETURN dblink('', 'SELECT 1 FROM a.gone')",
            "RETURN query_to_xml('SELECT 1 FROM ' || 'a' || '.notes', true, false, '')",
            "RETURN schema_to_xml('a', true, false, '')",
            "PERFORM set_config('search_' || 'path', 'a' || ',public', true)",
            "PERFORM set_config(x, 'public, \"a\"', true)",
            "PERFORM set_config('search_path', 'a, public', true)",
            "x := 'a,public'; PERFORM set_config('search_path', x, true)",
            // Written with escapes.
            "SELECT 1 FROM U&\"\\0061\".notes",
            "SELECT 1 FROM u&\"!0061\" UESCAPE '!' . notes",
            "EXECUTE 'SELECT 1 FROM ' || E'\\x61.notes'",
            "EXECUTE E'SELECT 1 FROM \\141.notes'",
            "EXECUTE U&'SELECT 1 FROM \\0061.notes'",
            "EXECUTE 'SELECT 1 FROM U&\"\\0061\".notes'",
            "EXECUTE 'SELECT 1 FROM a.U&\"\\006eotes\"'",
            "RETURN U&'\\0061.notes'::regclass",
        ] {
            assert!(cloned("a", text, true).is_err(), "{text}");
        }
        let view = "query_to_xml(('SELECT 1 FROM a.'::text || x), true, false, ''::text)";
        assert!(cloned("a", view, false).is_err());
    }

    #[test]
    fn strings_that_cannot_name_the_schema_are_left_alone() {
        for (of, text) in [
            (
                "s",
                "EXECUTE 'SELECT s.id, s.* FROM notes s WHERE s.body = $1' USING x",
            ),
            ("s", "EXECUTE 'SELECT s.id ' || 'FROM notes AS s'"),
            (
                "a",
                "EXECUTE x; RAISE EXCEPTION 'option a.%, or a. %', x, y",
            ),
            ("a", "EXECUTE x; RAISE 'take a.'"),
            (
                "a",
                "EXECUTE x; y := 'See a. Or (a.), a.1, www.a.com, m@a.com, /a.txt and b-a.c'",
            ),
            ("a", "EXECUTE x; y := 'this is a note'"),
            ("a", "RETURN 'grade a.' || x"),
            ("file", "RETURN 'file' || x || '.pdf'"),
            ("a", "IF x = 'a' THEN RETURN y || '.' || z; END IF"),
            ("a", "RETURN x LIKE 'a.%' AND y = 'a.b.c'"),
            ("a", "PERFORM set_config(x, 'this is a note', true)"),
            ("a", "PERFORM set_config('app.x', x, true); y := 'a'"),
            ("a", "PERFORM set_config(x, y, true)"),
            ("a", "EXECUTE E'SELECT \\'b\\x61d\\'' || U&'\\0062'"),
            (
                "user",
                "EXECUTE 'SELECT user, current_user'; y := 'unknown user'",
            ),
            (
                "public2",
                "EXECUTE 'SELECT 1 FROM public.' || quote_ident(x)",
            ),
            ("new", "EXECUTE 'SELECT new.id' || x"),
            (
                "excluded",
                "EXECUTE 'INSERT … DO UPDATE SET x = excluded.x'",
            ),
        ] {
            assert_eq!(cloned(of, text, true).as_deref(), Ok(text), "{of}");
        }
        let default = "('a.'::text || nextval('notes'::regclass))";
        assert_eq!(cloned("a", default, false).as_deref(), Ok(default));
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
    fn a_setting_is_the_clones_or_refused() {
        let name = schema("tmpl");
        let allowed = HashSet::new();
        let mut mentions = Mentions::new(&name, HashSet::from(["notes"]), &allowed);
        let mut set = |setting: &str, value: &str| {
            let pieces = mentions.in_setting("function f()", setting, value);
            (
                render(&pieces, &schema("Clone's"), &name),
                std::mem::take(&mut mentions.refusals).len(),
            )
        };
        let (path, refused) = set("search_path", "tmpl, public, \"Tmpl\"");
        assert!(path.ends_with(" TO 'Clone''s', 'public', 'Tmpl'"), "{path}");
        assert_eq!(refused, 0);
        let (same, refused) = set("app.greeting", "of tmpl.");
        assert!(same.ends_with(" TO 'of tmpl.'"), "{same}");
        assert_eq!(refused, 0);
        assert_eq!(set("app.table", "tmpl.notes").1, 1);
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
        for text in [
            "plpy.execute(\"SELECT 1 FROM tmpl.notes\")",
            "plpy.execute('SELECT 1 FROM tmpl.' + x)",
            "plpy.execute(f\"SELECT 1 FROM tmpl.{x}\")",
        ] {
            mentions.refusals.clear();
            mentions.in_body("function f()", "f", "plpython3u", text);
            assert_eq!(mentions.refusals.len(), 1, "{text}");
        }
        mentions.refusals.clear();
        mentions.in_body(
            "function f()",
            "f",
            "plpython3u",
            "# Of tmpl.\nreturn tmpl.x + 'tmpl'",
        );
        assert!(mentions.refusals.is_empty());
        let half = "INSERT INTO tmpl.notes VALUES (1); EXECUTE 'DELETE FROM tmpl.notes'";
        let pieces = mentions.in_body("function g()", "g", "plpgsql", half);
        assert_eq!(pieces, [Piece::Text(half.to_owned())]);
    }
}
