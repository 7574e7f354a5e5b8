//! The definition of a column.

use super::token::Token;

/// What the definition of a column says, behind its name.
#[derive(Debug, Default)]
pub(super) struct Definition {
    /// A default that is not NULL.
    pub(super) has_default: bool,
    /// The functions that the default calls.
    pub(super) calls: Vec<String>,
    /// An identity, a serial, or a stored expression.
    pub(super) is_computed: bool,
    pub(super) not_null: bool,
    pub(super) unique: bool,
    pub(super) check: bool,
    pub(super) references: bool,
}

impl Definition {
    pub(super) fn read(tokens: &[Token<'_>]) -> Self {
        const SERIAL: [&str; 6] = [
            "serial",
            "bigserial",
            "smallserial",
            "serial2",
            "serial4",
            "serial8",
        ];
        let mut this = Self {
            is_computed: tokens.first().is_some_and(|kind| kind.is_any(&SERIAL)),
            ..Self::default()
        };
        let (mut depth, mut in_default) = (0_usize, false);
        for (at, token) in tokens.iter().enumerate() {
            let before = |word: &str| {
                at.checked_sub(1)
                    .is_some_and(|before| tokens[before].is(word))
            };
            let next = tokens.get(at + 1);
            let opens = next.is_some_and(|next| next.is_symbol("("));
            if token.is_symbol("(") {
                depth += 1;
            } else if token.is_symbol(")") {
                depth = depth.saturating_sub(1);
            }
            if in_default
                && opens
                && let Some(name) = token.name()
            {
                this.calls.push(name.into_owned());
            }
            if depth > 0 {
                continue;
            }
            if token.is("default") && !before("set") {
                in_default = true;
                this.has_default = !next.is_some_and(|next| next.is("null"));
                continue;
            }
            let null = next.is_some_and(|next| next.is("null"));
            // A keyword right behind DEFAULT is its value.
            if !before("default")
                && token.is_any(&[
                    "not",
                    "null",
                    "constraint",
                    "check",
                    "unique",
                    "primary",
                    "references",
                    "generated",
                    "collate",
                    "deferrable",
                    "initially",
                ])
            {
                in_default = false;
            }
            this.not_null |= token.is("not") && null || token.is("primary");
            this.unique |= token.is("unique") || token.is("primary");
            this.check |= token.is("check") && opens;
            this.references |= token.is("references");
            this.is_computed |= token.is_any(&["stored", "identity"]);
        }
        this
    }
}
