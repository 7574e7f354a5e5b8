//! The only place where a name becomes part of SQL text.
//!
//! Identifiers and literals are quoted here, always, whatever they hold; every statement that has a
//! name in it is put together here. Values go as bind parameters.

use std::fmt;

use crate::tenant::SchemaName;

/// An identifier in double quotes, for use in SQL text
/// (PostgreSQL manual, 4.1.1 "Identifiers and Key Words").
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ident<'a>(pub(crate) &'a str);

impl fmt::Display for Ident<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{}\"", self.0.replace('"', "\"\""))
    }
}

/// A string constant, for use in SQL text (PostgreSQL manual, 4.1.2 "Constants").
///
/// A backslash makes it an escape string, so that it means the same under either setting of
/// `standard_conforming_strings`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Literal<'a>(pub(crate) &'a str);

impl fmt::Display for Literal<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = self.0.replace('\'', "''");
        if text.contains('\\') {
            write!(f, " E'{}'", text.replace('\\', "\\\\"))
        } else {
            write!(f, "'{text}'")
        }
    }
}

impl SchemaName {
    /// This name, quoted for use in SQL text.
    pub(crate) fn quoted(&self) -> Ident<'_> {
        Ident(self.as_str())
    }

    /// This name as a string constant for use in SQL text.
    pub(crate) fn literal(&self) -> Literal<'_> {
        Literal(self.as_str())
    }
}
