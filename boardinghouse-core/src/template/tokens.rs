//! SQL text in tokens (PostgreSQL manual, 4.1 "Lexical Structure").

use super::text::whole_identifier;
use crate::scan;

/// A token.
#[derive(Clone, Copy, Debug)]
pub(super) struct Token<'t> {
    pub(super) text: &'t str,
    pub(super) kind: Kind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Word,
    String,
    Space,
    Other,
}

/// What is an escape in a constant or a quoted name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Escapes {
    None,
    /// `E'…'`.
    Backslash,
    /// `U&'…'`, and `U&"…"`: after this character come hexadecimal digits.
    Unicode(char),
}

impl Escapes {
    /// How many tokens say so.
    pub(super) fn prefix(self) -> usize {
        match self {
            Self::None => 0,
            Self::Backslash => 1,
            Self::Unicode(_) => 2,
        }
    }
}

/// What is an escape in the quoted token at `at`.
pub(super) fn escapes(tokens: &[Token<'_>], at: usize) -> Escapes {
    let before = |back: usize| at.checked_sub(back).map_or("", |at| tokens[at].text);
    let is_string = tokens[at].kind == Kind::String;
    if is_string && before(1).eq_ignore_ascii_case("e") {
        return Escapes::Backslash;
    }
    if before(1) != "&" || !before(2).eq_ignore_ascii_case("u") {
        return Escapes::None;
    }
    let mut after = tokens[at + 1..].iter().filter(|t| t.kind != Kind::Space);
    let other = match (after.next(), after.next()) {
        (Some(word), Some(escape)) if word.text.eq_ignore_ascii_case("uescape") => {
            escape.text.chars().nth(1)
        }
        _ => None,
    };
    Escapes::Unicode(other.unwrap_or('\\'))
}

/// The name that the word at `at` is, as the server understands it.
pub(super) fn identifier_at(tokens: &[Token<'_>], at: usize) -> Option<String> {
    let token = tokens[at];
    if token.kind != Kind::Word {
        return None;
    }
    let name = whole_identifier(token.text)?;
    match escapes(tokens, at) {
        Escapes::Unicode(escape) if token.text.starts_with('"') => Some(unicode(&name, escape)),
        _ => Some(name),
    }
}

/// Text with the escapes of `U&` (PostgreSQL manual, 4.1.2.3) replaced.
fn unicode(text: &str, escape: char) -> String {
    let mut units: Vec<u16> = Vec::new();
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        rest = &rest[c.len_utf8()..];
        let digits = match c == escape {
            true if rest.starts_with('+') => rest.get(1..7).map(|digits| (digits, 7)),
            true => rest.get(..4).map(|digits| (digits, 4)),
            false => None,
        };
        let decoded = digits
            .and_then(|(digits, length)| Some((u32::from_str_radix(digits, 16).ok()?, length)));
        match decoded {
            Some((code, length)) => {
                match (u16::try_from(code), char::from_u32(code)) {
                    // Perhaps one half of a pair.
                    (Ok(unit), _) => units.push(unit),
                    (_, Some(c)) => units.extend(c.encode_utf16(&mut [0; 2]).iter()),
                    _ => {}
                }
                rest = rest.get(length..).unwrap_or_default();
            }
            None => {
                units.extend(c.encode_utf16(&mut [0; 2]).iter());
                if c == escape {
                    rest = rest.strip_prefix(escape).unwrap_or(rest);
                }
            }
        }
    }
    String::from_utf16_lossy(&units)
}

/// Text with the escapes of `E'…'` (PostgreSQL manual, 4.1.2.2) replaced.
fn backslashes(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        rest = &rest[c.len_utf8()..];
        let Some(escaped) = rest.chars().next().filter(|_| c == '\\') else {
            bytes.extend(c.encode_utf8(&mut [0; 4]).bytes());
            continue;
        };
        let (skipped, most, radix) = match escaped {
            'x' => (1, 2, 16),
            'u' => (1, 4, 16),
            'U' => (1, 8, 16),
            '0'..='7' => (0, 3, 8),
            _ => (1, 0, 16),
        };
        let digits: String = rest
            .chars()
            .skip(skipped)
            .take(most)
            .take_while(|c| c.is_digit(radix))
            .collect();
        match u32::from_str_radix(&digits, radix) {
            // Of bytes, these two; of characters, the others.
            Ok(code) if matches!(escaped, 'x' | '0'..='7') => {
                bytes.push(u8::try_from(code & 0xff).unwrap_or_default());
            }
            Ok(code) => {
                let c = char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER);
                bytes.extend(c.encode_utf8(&mut [0; 4]).bytes());
            }
            Err(_) => {
                let c = match escaped {
                    'b' => '\u{8}',
                    'f' => '\u{c}',
                    'n' => '\n',
                    'r' => '\r',
                    't' => '\t',
                    other => other,
                };
                bytes.extend(c.encode_utf8(&mut [0; 4]).bytes());
                rest = &rest[escaped.len_utf8()..];
                continue;
            }
        }
        rest = &rest[skipped + digits.len()..];
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// What a string constant means.
pub(super) fn content(token: &str, escapes: Escapes) -> String {
    if let Some(rest) = token.strip_prefix('$') {
        let tag = rest.find('$').map_or(0, |end| end + 2);
        let inside = tag..token.len().saturating_sub(tag).max(tag);
        return token.get(inside).unwrap_or_default().to_owned();
    }
    let inside = token
        .strip_prefix('\'')
        .map(|text| text.strip_suffix('\'').unwrap_or(text))
        .unwrap_or(token)
        .replace("''", "'");
    match escapes {
        Escapes::Backslash => backslashes(&inside),
        Escapes::Unicode(escape) => unicode(&inside, escape),
        Escapes::None => inside,
    }
}

/// Splits text; what the pieces hold adds up to it.
pub(super) fn tokens(text: &str) -> Vec<Token<'_>> {
    let bytes = text.as_bytes();
    let mut found: Vec<Token<'_>> = Vec::new();
    let mut at = 0;
    while at < bytes.len() {
        let begins_word =
            scan::is_name(bytes[at]) && !bytes[at].is_ascii_digit() && bytes[at] != b'$';
        let (end, kind) = if begins_word {
            let length = bytes[at..].iter().position(|&b| !scan::is_name(b));
            (length.map_or(bytes.len(), |length| at + length), Kind::Word)
        } else {
            let end = scan::token(bytes, at);
            let kind = match &bytes[at..end] {
                [b'"', ..] => Kind::Word,
                [b'\'', ..] => Kind::String,
                [b'$', .., b'$'] => Kind::String,
                [b'-', b'-', ..] | [b'/', b'*', ..] => Kind::Space,
                [space] if space.is_ascii_whitespace() => Kind::Space,
                _ => Kind::Other,
            };
            (end, kind)
        };
        // A quoted constant that was ended by a doubled quote goes on.
        if let (Some(last), Kind::String) = (found.last_mut(), kind)
            && last.kind == Kind::String
            && bytes[at] == b'\''
            && last.text.ends_with('\'')
        {
            let begin = at - last.text.len();
            last.text = text.get(begin..end).unwrap_or_default();
        } else if let (Some(last), true) =
            (found.last_mut(), kind == Kind::Word && bytes[at] == b'"')
            && last.text.starts_with('"')
        {
            let begin = at - last.text.len();
            last.text = text.get(begin..end).unwrap_or_default();
        } else {
            // Tokens begin and end at ASCII characters, or at the end.
            found.push(Token {
                text: text.get(at..end).unwrap_or_default(),
                kind,
            });
        }
        at = end;
    }
    found
}

#[cfg(test)]
mod tests {
    use super::{Escapes, content, escapes, identifier_at, tokens};

    #[test]
    fn escapes_are_read_as_postgresql_does() {
        for (text, expected) in [
            (r"E'\x61.\141\u0061\U00000061\\\'x'", r"a.aaa\'x"),
            (r"e'\xc3\xa9\n\q\x'", "é\nqx"),
            (r"U&'\0061\+000061\\\d83d\de00'", r"aa\😀"),
            (r"u&'!0061\0061' UESCAPE '!'", r"a\0061"),
            (r"'\x61'", r"\x61"),
            (r"$$\x61$$", r"\x61"),
            (r"U&'\", r"\"),
            (r"E'\", r"\"),
        ] {
            let tokens = tokens(text);
            let at = tokens.iter().position(|t| t.kind == super::Kind::String);
            let at = at.unwrap_or_default();
            assert_eq!(
                content(tokens[at].text, escapes(&tokens, at)),
                expected,
                "{text}"
            );
        }
        let quoted = tokens("U&\"\\0061\".b");
        assert_eq!(identifier_at(&quoted, 2).as_deref(), Some("a"));
        assert_eq!(escapes(&quoted, 4), Escapes::None);
        assert_eq!(
            identifier_at(&tokens("\"\\0061\""), 0).as_deref(),
            Some("\\0061")
        );
    }

    #[test]
    fn tokens_add_up_to_the_text() {
        for text in [
            "a 'b''c' \"d\"\"e\" E'f\\'g' $x$ $y$ $x$ -- h\n/* i /* j */ */ k.l $1 é",
            "'open",
            "\"open",
            "$a$ open",
        ] {
            let joined: String = tokens(text).iter().map(|token| token.text).collect();
            assert_eq!(joined, text);
        }
    }
}
