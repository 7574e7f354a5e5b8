//! SQL text in tokens that know where they are (PostgreSQL manual, 4.1 "Lexical Structure").

use std::borrow::Cow;

use crate::scan;

/// A token. Spaces are none.
#[derive(Clone, Copy, Debug)]
pub(super) struct Token<'t> {
    pub(super) kind: Kind,
    pub(super) text: &'t str,
    /// Where it begins, in bytes.
    pub(super) at: usize,
    /// Whether it ends before the text does, or needs no end.
    pub(super) closed: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// A keyword, or a name without quotes.
    Word,
    /// `"…"`
    Quoted,
    /// `'…'`, `E'…'`, `$$…$$` and the like.
    String,
    Number,
    /// One character.
    Symbol,
    Comment,
    /// A command of psql, to the end of its line: no server knows it.
    Command,
}

impl<'t> Token<'t> {
    /// Whether it is this keyword.
    pub(super) fn is(&self, word: &str) -> bool {
        self.kind == Kind::Word && self.text.eq_ignore_ascii_case(word)
    }

    pub(super) fn is_any(&self, words: &[&str]) -> bool {
        words.iter().any(|word| self.is(word))
    }

    pub(super) fn is_symbol(&self, symbol: &str) -> bool {
        self.kind == Kind::Symbol && self.text == symbol
    }

    /// What it names: a word in lower case, a quoted name as it is.
    pub(super) fn name(&self) -> Option<Cow<'t, str>> {
        match self.kind {
            Kind::Word if self.text.bytes().any(|b| b.is_ascii_uppercase()) => {
                Some(self.text.to_ascii_lowercase().into())
            }
            Kind::Word => Some(self.text.into()),
            Kind::Quoted => {
                let open = self.text.find('"').unwrap_or_default();
                let inside = &self.text[open + 1..];
                let inside = inside.strip_suffix('"').unwrap_or(inside);
                let plain = inside.replace("\"\"", "\"");
                Some(match open {
                    0 => plain.into(),
                    _ => unicode(&plain).into(),
                })
            }
            _ => None,
        }
    }

    /// What a string constant holds, and where that begins in the text.
    pub(super) fn content(&self) -> Option<(Cow<'t, str>, usize)> {
        if self.kind != Kind::String {
            return None;
        }
        if let Some(rest) = self.text.strip_prefix('$') {
            let tag = rest.find('$').map_or(self.text.len(), |end| end + 2);
            let end = self.text.len() - if self.closed { tag } else { 0 };
            let inside = self.text.get(tag..end.max(tag)).unwrap_or_default();
            return Some((inside.into(), self.at + tag));
        }
        let open = self.text.find('\'').map_or(0, |at| at + 1);
        let inside = &self.text[open..];
        let inside = inside.strip_suffix('\'').unwrap_or(inside);
        let content = match (self.text.as_bytes(), inside) {
            ([b'e' | b'E', ..], _) => escaped(inside).into(),
            (_, inside) if inside.contains("''") => inside.replace("''", "'").into(),
            _ => inside.into(),
        };
        Some((content, self.at + open))
    }
}

/// A name or a constant written `U&"…"`: `\0061` is an `a`.
fn unicode(text: &str) -> String {
    let mut parts = text.split('\\');
    let mut out = parts.next().unwrap_or_default().to_owned();
    let mut literal = false;
    for part in parts {
        let (digits, rest) = match part.strip_prefix('+') {
            Some(long) if long.is_char_boundary(6) => long.split_at(6),
            None if part.is_char_boundary(4) => part.split_at(4),
            _ => ("", part),
        };
        let decoded = u32::from_str_radix(digits, 16)
            .ok()
            .and_then(char::from_u32);
        match decoded {
            Some(c) if !literal => {
                out.push(c);
                out.push_str(rest);
            }
            _ if part.is_empty() && !literal => {
                out.push('\\');
                literal = true;
                continue;
            }
            _ => out.push_str(part),
        }
        literal = false;
    }
    out
}

/// Of the escapes only what can spell a quote: that is all that the rules look at.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '\\' => out.extend(chars.next().map(|c| if c == 'n' { '\n' } else { c })),
            '\'' if chars.peek() == Some(&'\'') => {}
            c => out.push(c),
        }
    }
    out
}

/// Reads tokens one after the other.
#[derive(Clone, Debug)]
pub(super) struct Lexer<'t> {
    text: &'t str,
    at: usize,
    /// Whether a backslash begins a command of psql. Inside the body of a function it does not.
    commands: bool,
}

impl<'t> Lexer<'t> {
    pub(super) fn new(text: &'t str) -> Self {
        Self {
            text,
            at: 0,
            commands: true,
        }
    }

    /// Passes over the rows that follow `COPY … FROM STDIN`, where there are any.
    pub(super) fn skip_rows(&mut self) {
        let rest = &self.text[self.at..];
        if let Some(end) = rest.find("\n\\.") {
            self.at += end + 3;
        }
    }

    /// The end of the token that begins at `at`, what it is, and whether it is closed.
    fn token(&self, at: usize) -> (Option<usize>, Kind) {
        let bytes = self.text.as_bytes();
        let rest = &bytes[at..];
        let ends = |length: Option<usize>| length.map(|length| at + length);
        match rest {
            [b'-', b'-', ..] => {
                let end = rest.iter().position(|b| b"\r\n".contains(b));
                (Some(at + end.unwrap_or(rest.len())), Kind::Comment)
            }
            [b'/', b'*', ..] => (ends(scan::comment(rest)), Kind::Comment),
            [b'\'', ..] => (ends(scan::quoted(rest, b'\'', false)), Kind::String),
            [b'e' | b'E', b'\'', ..] => (self.with_escapes(at), Kind::String),
            [b'b' | b'B' | b'x' | b'X' | b'n' | b'N', b'\'', ..] => {
                let end = scan::quoted(&rest[1..], b'\'', false);
                (ends(end.map(|end| end + 1)), Kind::String)
            }
            [b'u' | b'U', b'&', quote @ (b'\'' | b'"'), ..] => {
                let end = scan::quoted(&rest[2..], *quote, false);
                let kind = match quote {
                    b'"' => Kind::Quoted,
                    _ => Kind::String,
                };
                (ends(end.map(|end| end + 2)), kind)
            }
            [b'"', ..] => (ends(scan::quoted(rest, b'"', false)), Kind::Quoted),
            [b'$', ..] => match scan::token(bytes, at) {
                end if end == at + 1 => (Some(end), Kind::Symbol),
                end => (
                    scan::dollar_is_closed(&bytes[at..end]).then_some(end),
                    Kind::String,
                ),
            },
            [b'\\', ..] if self.commands => {
                let end = rest.iter().position(|b| b"\r\n".contains(b));
                (Some(at + end.unwrap_or(rest.len())), Kind::Command)
            }
            [digit, ..] if digit.is_ascii_digit() => (Some(self.number(at)), Kind::Number),
            [first, ..] if scan::is_name(*first) => {
                let end = rest.iter().position(|&b| !scan::is_name(b));
                (Some(at + end.unwrap_or(rest.len())), Kind::Word)
            }
            _ => (Some(at + 1), Kind::Symbol),
        }
    }

    /// `E'…'`, which a constant on a following line carries on, escapes and all.
    fn with_escapes(&self, at: usize) -> Option<usize> {
        let bytes = self.text.as_bytes();
        let mut end = at + 1 + scan::quoted(&bytes[at + 1..], b'\'', true)?;
        loop {
            let rest = &bytes[end..];
            let spaces = rest.iter().take_while(|b| b.is_ascii_whitespace()).count();
            if !rest[..spaces].contains(&b'\n') || rest.get(spaces) != Some(&b'\'') {
                return Some(end);
            }
            end += spaces + scan::quoted(&rest[spaces..], b'\'', true)?;
        }
    }

    fn number(&self, at: usize) -> usize {
        let bytes = self.text.as_bytes();
        let digit = |at: usize| bytes.get(at).is_some_and(u8::is_ascii_digit);
        let mut end = at;
        while bytes.get(end).is_some_and(|&b| scan::is_name(b))
            || bytes.get(end) == Some(&b'.') && digit(end + 1)
        {
            end += 1;
        }
        end
    }
}

impl<'t> Iterator for Lexer<'t> {
    type Item = Token<'t>;

    fn next(&mut self) -> Option<Token<'t>> {
        let bytes = self.text.as_bytes();
        // PostgreSQL's spaces; it knows no others.
        while matches!(
            bytes.get(self.at),
            Some(b' ' | b'\t' | b'\n' | b'\r' | 0x0b | 0x0c)
        ) {
            self.at += 1;
        }
        if self.at == bytes.len() {
            return None;
        }
        let (end, kind) = self.token(self.at);
        let at = std::mem::replace(&mut self.at, end.unwrap_or(bytes.len()));
        // Tokens begin and end at ASCII characters, or at the end.
        let text = self.text.get(at..self.at).unwrap_or_default();
        Some(Token {
            kind,
            text,
            at,
            closed: end.is_some(),
        })
    }
}

/// The tokens of the body of a function, without comments.
pub(super) fn body(text: &str) -> Vec<Token<'_>> {
    let lexer = Lexer {
        commands: false,
        ..Lexer::new(text)
    };
    lexer.filter(|token| token.kind != Kind::Comment).collect()
}

/// The line and the column of a place, both from 1. A column is a character.
pub(super) fn position(text: &str, at: usize) -> (usize, usize) {
    let mut at = at.min(text.len());
    while !text.is_char_boundary(at) {
        at -= 1;
    }
    let before = &text[..at];
    let begin = before.rfind('\n').map_or(0, |feed| feed + 1);
    let line = before.bytes().filter(|&b| b == b'\n').count() + 1;
    (line, before[begin..].chars().count() + 1)
}

#[cfg(test)]
mod tests {
    use super::{Kind, Lexer, body, position};

    #[test]
    fn a_text_is_split_as_postgresql_splits_it() {
        for (text, expected) in [
            (
                "a.\"B\"\"c\" 'd''e'",
                &["a", ".", "\"B\"\"c\"", "'d''e'"][..],
            ),
            (r"E'a''\';' x", &[r"E'a''\';'", "x"]),
            ("E'a'\n  '\\';' x", &["E'a'\n  '\\';'", "x"]),
            ("E'a' '\\' x", &["E'a'", "'\\'", "x"]),
            (
                "u&\"d\\0061\" U&'x' n'y' b'1' x'F'",
                &["u&\"d\\0061\"", "U&'x'", "n'y'", "b'1'", "x'F'"],
            ),
            ("u & 'x'", &["u", "&", "'x'"]),
            ("some'x'", &["some", "'x'"]),
            (
                "$a$ $b$ ; $a$ $1 a$b$c",
                &["$a$ $b$ ; $a$", "$", "1", "a$b$c"],
            ),
            (
                "/* a /* b */ c */ d -- e\rf",
                &["/* a /* b */ c */", "d", "-- e", "f"],
            ),
            (
                "1.5e3 1..2 0x1F 1_000",
                &["1.5e3", "1", ".", ".", "2", "0x1F", "1_000"],
            ),
            ("é\u{a0}b c", &["é\u{a0}b", "c"]),
            (
                "SELECT 1 \\gset x 'y\nz",
                &["SELECT", "1", "\\gset x 'y", "z"],
            ),
        ] {
            let tokens: Vec<&str> = Lexer::new(text).map(|token| token.text).collect();
            assert_eq!(tokens, expected, "{text:?}");
        }
    }

    #[test]
    fn what_is_not_closed_goes_to_the_end_and_says_so() {
        for text in [
            "'a ; b",
            "\"a",
            "$x$ a $y$",
            "/* /* */ a",
            "E'a\\'",
            "U&'a",
            "$$ $",
        ] {
            let tokens: Vec<_> = Lexer::new(text).collect();
            assert_eq!(tokens.len(), 1, "{text}");
            assert!(!tokens[0].closed, "{text}");
            assert_eq!(tokens[0].text, text);
        }
        assert!(Lexer::new("-- a").all(|token| token.closed));
        assert!(Lexer::new("$$a$$ '' \"a\"").all(|token| token.closed));
    }

    #[test]
    fn names_are_folded_as_postgresql_folds_them() {
        for (text, expected) in [
            ("Notes", "notes"),
            ("\"Notes\"", "Notes"),
            ("\"a\"\"b\"", "a\"b"),
            ("U&\"\\0070ub\\+00006Cic\"", "public"),
            ("U&\"a\\\\0062\"", "a\\0062"),
            ("É", "É"),
        ] {
            let token = Lexer::new(text).next().unwrap();
            assert_eq!(token.name().unwrap(), expected, "{text}");
        }
        assert_eq!(Lexer::new("'a'").next().unwrap().name(), None);
    }

    #[test]
    fn constants_give_what_they_hold_and_where_it_begins() {
        for (text, expected, begins) in [
            ("'a''b'", "a'b", 1),
            (r"E'a\'b\\c'", r"a'b\c", 2),
            ("$x$ a $x$", " a ", 3),
            ("$$$$", "", 2),
            ("$x$ a", " a", 3),
            ("'open", "open", 1),
        ] {
            let token = Lexer::new(text).next().unwrap();
            let (content, at) = token.content().unwrap();
            assert_eq!((&*content, at), (expected, begins), "{text}");
        }
    }

    #[test]
    fn a_backslash_is_a_command_of_psql_only_outside_of_bodies() {
        let kinds = |text| Lexer::new(text).map(|token| token.kind).collect::<Vec<_>>();
        assert_eq!(kinds("\\i x.sql"), [Kind::Command]);
        assert_eq!(body("\\ a -- b").len(), 2);
    }

    #[test]
    fn a_place_is_told_in_lines_and_characters() {
        let text = "é\nöü x";
        assert_eq!(position(text, 0), (1, 1));
        assert_eq!(position(text, text.find('x').unwrap()), (2, 4));
        assert_eq!(position(text, 99), (2, 5));
    }
}
