//! SQL text in tokens (PostgreSQL manual, 4.1 "Lexical Structure").

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

/// What a string constant means.
pub(super) fn content(token: &str, escapes: bool) -> String {
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
        true => inside.replace("\\\\", "\\").replace("\\'", "'"),
        false => inside,
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
    use super::tokens;

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
