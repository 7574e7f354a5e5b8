//! What the server deparses into text that it does not read as the same again, written so that it does.

use std::borrow::Cow;

use super::tokens::{Kind, Token, tokens};

/// `text`, which the server has deparsed, without what it would refuse or read as something else:
///
/// * the marks of a `CYCLE` clause, `TO 'Y'::text DEFAULT 'N'::text`, where a cast is no constant, and
/// * `EXTRACT(YEAR FROM …)` for what was written as `EXTRACT('YEAR' FROM …)`, and would become `year`.
///
/// The words are those of the server: a name in upper case would be in quotes.
pub(super) fn readable(text: &str) -> Cow<'_, str> {
    if !text.contains(" CYCLE ") && !text.contains("EXTRACT(") {
        return Cow::Borrowed(text);
    }
    let tokens = tokens(text);
    let mut out = String::with_capacity(text.len());
    // Within a `CYCLE` clause, whose end is the word `USING`.
    let mut cycle = false;
    let mut at = 0;
    while let Some(token) = tokens.get(at) {
        out.push_str(token.text);
        at += 1;
        match token.text {
            "CYCLE" => cycle = true,
            "USING" => cycle = false,
            "TO" | "DEFAULT" if cycle => {
                let end = match token.text {
                    "TO" => "DEFAULT",
                    _ => "USING",
                };
                let rest = tokens.get(at..).unwrap_or_default();
                let length = rest.iter().position(|t| t.text == end).unwrap_or_default();
                out.push_str(&constant(rest.get(..length).unwrap_or_default()));
                at += length;
            }
            "EXTRACT" => {
                if let [open, field, space, from, ..] = tokens.get(at..).unwrap_or_default()
                    && (open.text, space.kind, from.text) == ("(", Kind::Space, "FROM")
                    && field.kind == Kind::Word
                    && field.text.contains(char::is_uppercase)
                {
                    out.push_str(&format!("('{}'", field.text));
                    at += 2;
                }
            }
            _ => {}
        }
    }
    Cow::Owned(out)
}

/// `'Y'::text` as the constant `text 'Y'`. That of a null comes from the other mark.
fn constant(mark: &[Token<'_>]) -> String {
    let joined = |part: &[Token<'_>]| part.iter().map(|t| t.text).collect::<String>();
    let Some(colon) = mark.iter().position(|t| t.text.starts_with(':')) else {
        return joined(mark);
    };
    let (value, cast) = mark.split_at(colon);
    let (value, cast) = (joined(value), joined(cast));
    match value.trim() {
        "NULL" => " NULL ".to_owned(),
        value => format!(" {} {value} ", cast.trim_start_matches(':').trim()),
    }
}

#[cfg(test)]
mod tests {
    use super::readable;

    #[test]
    fn the_marks_of_a_cycle_are_constants() {
        for (marks, expected) in [
            (
                "TO 'Y'::text DEFAULT 'N'::text USING",
                "TO text 'Y' DEFAULT text 'N' USING",
            ),
            (
                "TO E'\\\\::'::\"we ird\".\"a::b\" DEFAULT NULL::text USING",
                "TO \"we ird\".\"a::b\" E'\\\\::' DEFAULT NULL USING",
            ),
            (
                "TO '1'::character varying(3) DEFAULT 'USING'::character varying(3) USING",
                "TO character varying(3) '1' DEFAULT character varying(3) 'USING' USING",
            ),
            ("TO 1 DEFAULT 0 USING", "TO 1 DEFAULT 0 USING"),
            ("USING", "USING"),
        ] {
            let text = |marks| format!("x) CYCLE n SET c {marks} p SELECT 'a'::text");
            assert_eq!(readable(&text(marks)), text(expected));
        }
    }

    #[test]
    fn the_field_of_an_extract_keeps_its_case() {
        for (text, expected) in [
            ("EXTRACT(YEAR FROM now())", "EXTRACT('YEAR' FROM now())"),
            (
                "EXTRACT(day FROM EXTRACT(Epoch FROM x))",
                "EXTRACT(day FROM EXTRACT('Epoch' FROM x))",
            ),
            ("'EXTRACT(YEAR FROM '::text", "'EXTRACT(YEAR FROM '::text"),
            ("\"EXTRACT\"(a)", "\"EXTRACT\"(a)"),
        ] {
            assert_eq!(readable(text), expected);
        }
    }
}
