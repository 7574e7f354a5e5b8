//! Strings that may become SQL, or a part of it, when the text that holds them runs.
//!
//! What such a string says is known, and what is put next to it is not. So a string is taken to name the
//! schema where nothing but a name in it can follow: the schema's name before a dot, at the end or before a
//! place holder. Where the text runs SQL itself, any name after the dot will do.
//!
//! A schema may be called `a` or `s`: a word that stands alone, a sentence's end where nothing is put
//! together, `s.*`, an alias' column, a host name and the message of a RAISE are none of its.

use std::collections::HashSet;

use super::{
    mentions::SCHEMA_WORDS,
    text::identifiers,
    tokens::{Kind, Token, content, escapes, identifier_at, tokens},
};

/// Words that run a string as SQL, or take the name of a schema, wherever they stand.
const RUNNERS: &[&str] = &["ts_rewrite", "ts_stat", "connectby"];
const RUNNERS_BEGIN: &[&str] = &["query_to_xml", "schema_to_xml", "dblink", "crosstab"];

/// Words that put strings together.
const BUILDERS: &[&str] = &[
    "concat",
    "concat_ws",
    "replace",
    "overlay",
    "string_agg",
    "array_to_string",
    "quote_ident",
];

/// Words before the name of a relation or the like, where no column can stand.
const BEFORE_OBJECTS: &[&str] = &[
    "call",
    "exists",
    "from",
    "function",
    "index",
    "into",
    "join",
    "only",
    "procedure",
    "references",
    "sequence",
    "table",
    "type",
    "update",
    "view",
];

/// What a text does with its strings.
#[derive(Debug)]
pub(super) struct Composed<'a> {
    schema: &'a str,
    members: &'a HashSet<&'a str>,
    /// It runs SQL that it has as a string.
    pub(super) runs: bool,
    /// It puts strings together.
    builds: bool,
    /// It may set the path.
    pub(super) sets_path: bool,
    /// The name stands alone in some string: there it is that of an alias, most likely.
    alone: bool,
    /// Some string begins with a dot.
    goes_on: bool,
}

impl<'a> Composed<'a> {
    pub(super) fn new(
        schema: &'a str,
        members: &'a HashSet<&'a str>,
        text: &[Token<'_>],
        is_body: bool,
    ) -> Self {
        let solid = solid(text);
        let word = |place: usize| solid.get(place).map_or("", |&at| text[at].text);
        let is = |place: usize, words: &[&str]| {
            words.iter().any(|w| word(place).eq_ignore_ascii_case(w))
        };
        let mut found = Self {
            schema,
            members,
            runs: false,
            builds: false,
            sets_path: false,
            alone: matches!(schema, "new" | "old" | "excluded"),
            goes_on: false,
        };
        for (place, &at) in solid.iter().enumerate() {
            let lower = || word(place).to_ascii_lowercase();
            match text[at].kind {
                Kind::Word => {
                    found.runs |= is_body && is(place, &["execute", "format"])
                        || is(place, RUNNERS)
                        || RUNNERS_BEGIN.iter().any(|begin| lower().starts_with(begin));
                    found.builds |= is(place, BUILDERS);
                    found.sets_path |= is(place, &["search_path"])
                        || is(place, &["set_config"]) && !has_plain_argument(text, &solid, place);
                }
                Kind::String => {
                    // Two constants on two lines are one.
                    found.builds |= place > 0 && text[solid[place - 1]].kind == Kind::String;
                    let said = content(text[at].text, escapes(text, at));
                    found.sets_path |= said.to_ascii_lowercase().contains("search_path");
                    found.goes_on |= begins_with_dot(&said);
                    found.alone |= !is_message(text, &solid, place) && found.has_alone(&said);
                }
                _ => found.builds |= word(place) == "|" && word(place + 1) == "|",
            }
        }
        // An expression's value is run by nobody, unless it says so.
        found.builds = found.builds && is_body || found.runs;
        found
    }

    fn has_alone(&self, said: &str) -> bool {
        let tokens = tokens(said);
        let solid = solid(&tokens);
        let dot = |place: Option<usize>| {
            place
                .and_then(|place| solid.get(place))
                .is_some_and(|&at| tokens[at].text == ".")
        };
        solid.len() > 1
            && (0..solid.len()).any(|place| {
                let before = place.checked_sub(1);
                let is_schemas = before
                    .is_some_and(|place| tokens[solid[place]].text.eq_ignore_ascii_case("schema"));
                identifier_at(&tokens, solid[place]).as_deref() == Some(self.schema)
                    && !dot(Some(place + 1))
                    && !dot(before)
                    && !is_schemas
            })
    }

    /// Whether a string may name the schema, or something in it, once it is put together.
    pub(super) fn may_name(&self, said: &str) -> bool {
        if !self.builds {
            return false;
        }
        let tokens = tokens(said);
        let solid = solid(&tokens);
        let word = |place: usize| solid.get(place).map_or("", |&at| tokens[at].text);
        (0..solid.len()).any(|place| {
            let at = solid[place];
            let token = tokens[at];
            if token.kind == Kind::String {
                let inner = content(token.text, escapes(&tokens, at));
                let is_near = || {
                    let mut near = (1..=6).filter_map(|back| place.checked_sub(back).map(word));
                    near.any(|word| SCHEMA_WORDS.iter().any(|w| word.eq_ignore_ascii_case(w)))
                };
                return inner == self.schema && is_near()
                    || inner.len() < said.len() && self.may_name(&inner);
            }
            let is_last = place + 1 == solid.len();
            // A quoted name whose other quote comes with the next string.
            if is_last && token.text.strip_prefix('"') == Some(self.schema) {
                return true;
            }
            if identifier_at(&tokens, at).as_deref() != Some(self.schema) {
                return false;
            }
            // Of a host name, a path or another name.
            let before = at.checked_sub(1).map_or("", |at| tokens[at].text);
            if matches!(before, "." | "@" | "/" | "-") {
                return false;
            }
            let before = place.checked_sub(1).map_or("", word);
            let is_object = BEFORE_OBJECTS
                .iter()
                .any(|word| before.eq_ignore_ascii_case(word));
            // What is only put together here may be run elsewhere, if it looks like SQL or a name.
            let is_likely = self.runs || is_object || place == 0;
            if is_last {
                return self.runs && (self.goes_on || before.eq_ignore_ascii_case("schema"))
                    || is_object && self.goes_on;
            }
            if tokens[at + 1].text != "." {
                return self.runs && before.eq_ignore_ascii_case("schema");
            }
            let after = tokens.get(at + 2);
            let is_end = place + 2 == solid.len();
            match after {
                None => is_likely,
                // A sentence's, if another follows.
                Some(space) if space.kind == Kind::Space => is_end && is_likely,
                Some(next) if next.kind == Kind::Word => match identifier_at(&tokens, at + 2) {
                    None => is_likely,
                    Some(member) => {
                        let ends = place + 3 == solid.len();
                        ends && self.members.iter().any(|m| m.starts_with(member.as_str()))
                            || self.runs && (is_object || !self.alone)
                    }
                },
                Some(next) => {
                    is_likely
                        && !next.text.starts_with(|c: char| {
                            c.is_ascii_digit()
                                || matches!(c, '*' | ')' | ',' | ';' | '.' | '!' | '?')
                        })
                }
            }
        })
    }

    /// Whether a string may be a path, or a part of one, that holds the schema.
    pub(super) fn may_be_path(&self, said: &str) -> bool {
        let list = said.trim_matches(|c: char| c == ',' || c.is_whitespace());
        self.sets_path
            && identifiers(list).is_some_and(|names| names.iter().any(|n| n == self.schema))
    }
}

fn begins_with_dot(said: &str) -> bool {
    let inside = said.trim_start().trim_start_matches('"');
    inside.starts_with('.')
}

/// Whether what stands at `place` is followed by a string that begins with a dot.
pub(super) fn is_continued(text: &[Token<'_>], solid: &[usize], place: usize) -> bool {
    let word = |place: usize| solid.get(place).map_or("", |&at| text[at].text);
    let mut next = place + 1;
    // `'a'::text || '.notes'::text`.
    while matches!(word(next), ":" | "text" | ")") {
        next += 1;
    }
    word(next) == "|"
        && word(next + 1) == "|"
        && (next + 2..next + 5)
            .filter_map(|place| solid.get(place))
            .find(|&&at| text[at].kind == Kind::String)
            .is_some_and(|&at| begins_with_dot(&content(text[at].text, escapes(text, at))))
}

/// Whether the string at `place` is the message of a RAISE, which is for people.
pub(super) fn is_message(text: &[Token<'_>], solid: &[usize], place: usize) -> bool {
    let is = |back: usize, words: &[&str]| {
        place.checked_sub(back).is_some_and(|place| {
            let word = text[solid[place]].text;
            words.iter().any(|w| word.eq_ignore_ascii_case(w))
        })
    };
    let levels = ["debug", "log", "info", "notice", "warning", "exception"];
    is(1, &["raise"]) || is(1, &levels) && is(2, &["raise"])
}

/// Whether the first argument of the function at `place` is a string and nothing else.
fn has_plain_argument(text: &[Token<'_>], solid: &[usize], place: usize) -> bool {
    let token = |place: usize| solid.get(place).map(|&at| text[at]);
    let word = |place: usize| token(place).map_or("", |token| token.text);
    if word(place + 1) != "(" {
        // A name and no call.
        return true;
    }
    let Some(string) = (place + 2..place + 5)
        .find(|&place| token(place).is_some_and(|token| token.kind == Kind::String))
    else {
        return false;
    };
    let prefix: String = (place + 2..string).map(word).collect();
    let mut next = string + 1;
    while matches!(word(next), ":" | "text") {
        next += 1;
    }
    matches!(prefix.to_ascii_lowercase().as_str(), "" | "e" | "u&") && word(next) == ","
}

/// Where the tokens are that mean something.
pub(super) fn solid(tokens: &[Token<'_>]) -> Vec<usize> {
    let all = 0..tokens.len();
    all.filter(|&at| tokens[at].kind != Kind::Space).collect()
}

/// Whether text in a language with other tokens holds the name before a dot, and then the end of a string or
/// a place holder.
pub(super) fn is_left_open(schema: &str, text: &str) -> bool {
    let name = format!("{schema}.");
    text.match_indices(&name).any(|(at, _)| {
        let before = text.get(..at).and_then(|before| before.chars().next_back());
        let after = text
            .get(at + name.len()..)
            .and_then(|after| after.chars().next());
        let is_whole = !before
            .is_some_and(|c| c.is_alphanumeric() || matches!(c, '_' | '$' | '.' | '@' | '/' | '-'));
        is_whole && after.is_none_or(|c| matches!(c, '"' | '\'' | '`' | '{' | '%' | '$'))
    })
}
