//! What the text of a migration says about how it can be run.

use crate::scan;

/// Whether migrations of several schemas can share a message and a transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Sharing {
    /// Structure and nothing else: it runs nobody's code, and leaves nothing in the session.
    Freely,
    /// Structure, but functions may run while it is made, and leave something behind.
    WithReset,
    /// It must have the session, or the transaction, to itself: all that reads or writes rows.
    Never,
}

/// First words of statements that define something.
const DEFINES: [&str; 6] = ["ALTER", "COMMENT", "CREATE", "DROP", "GRANT", "REVOKE"];

/// What can make the server run a function while it defines something: for the rows that are there, or for
/// those that are made.
const MAY_RUN: [&str; 12] = [
    "as",
    "call",
    "check",
    "default",
    "do",
    "exclude",
    "execute",
    "generated",
    "select",
    "type",
    "using",
    "where",
];

/// What leaves something in the session, or looks at what is there, wherever it stands in the text.
const STAYS: [&str; 4] = ["search_path", "set_config", "pg_advisory", "dblink"];

/// The same, where it is a word of its own.
const TEMPORARY: [&str; 3] = ["temp", "temporary", "pg_temp"];

/// Finds out. In doubt a migration shares nothing, which costs time and is right.
pub(super) fn sharing(text: &str) -> Sharing {
    let lower = text.to_ascii_lowercase();
    if !scan::is_closed(text)
        || text.contains('\0')
        || STAYS.iter().any(|word| lower.contains(word))
        || words(&lower).any(|word| TEMPORARY.contains(&word))
    {
        return Sharing::Never;
    }
    let defines = |statement: &&str| {
        scan::words(statement)
            .first()
            .is_some_and(|word| DEFINES.contains(&word.as_str()))
    };
    if !scan::statements(text).iter().all(defines) {
        return Sharing::Never;
    }
    match words(&lower).any(|word| MAY_RUN.contains(&word)) || calls_inside(&lower) {
        true => Sharing::WithReset,
        false => Sharing::Freely,
    }
}

fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(|c: char| !c.is_alphanumeric() && c != '_')
}

/// Whether something with parentheses stands inside parentheses: in the definition of an index it would be a
/// call.
fn calls_inside(text: &str) -> bool {
    let mut depth = 0_usize;
    for c in text.chars() {
        match c {
            '(' if depth > 0 => return true,
            '(' => depth += 1,
            ')' => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    false
}

/// Whether some statement of the text speaks with the client while it runs, who would have to answer.
pub(super) fn talks_to_client(text: &str) -> bool {
    scan::statements(text).iter().any(|statement| {
        scan::keyword(statement) == "COPY"
            && words(&statement.to_ascii_lowercase()).any(|w| ["stdin", "stdout"].contains(&w))
    })
}

#[cfg(test)]
mod tests {
    use super::{Sharing, sharing};

    #[test]
    fn what_only_defines_shares_freely() {
        for text in [
            "",
            "-- nothing",
            "ALTER TABLE templates ADD COLUMN temperature int",
            "ALTER TABLE notes ADD COLUMN more text; CREATE INDEX ON notes (more)",
            "CREATE TABLE tags (id serial PRIMARY KEY)",
            "/* x */ comment ON TABLE notes IS 'SET role'",
            "DROP TABLE tags",
        ] {
            assert_eq!(sharing(text), Sharing::Freely, "{text}");
        }
    }

    #[test]
    fn what_may_run_code_is_reset_in_between() {
        for text in [
            "CREATE TABLE fresh AS SELECT leave()",
            "ALTER TABLE notes ADD COLUMN more text DEFAULT leave()",
            "ALTER TABLE notes ALTER COLUMN body TYPE int USING leave(body)",
            "CREATE INDEX ON notes (leave(body))",
            "CREATE TABLE t (name varchar(50))",
            "ALTER TABLE notes ADD CHECK (leave(body))",
            "CREATE FUNCTION f() RETURNS int LANGUAGE plpgsql AS $$ BEGIN RETURN 1; END $$;",
        ] {
            assert_eq!(sharing(text), Sharing::WithReset, "{text}");
        }
    }

    #[test]
    fn what_needs_the_session_shares_nothing() {
        for text in [
            "UPDATE notes SET body = ''",
            "ALTER TABLE notes ADD COLUMN more text; INSERT INTO notes (body) VALUES ('x')",
            "DO $$ BEGIN NULL; END $$",
            "-- note\rCOMMIT; BEGIN;",
            "SET lock_timeout = 0; ALTER TABLE notes ADD COLUMN more text",
            "SELECT pg_catalog.set_config('role', 'x', false)",
            "CREATE TEMP TABLE t (id int)",
            "CREATE FUNCTION f() RETURNS int SET search_path = x LANGUAGE sql AS 'SELECT 1'",
            "COMMIT",
            "BEGIN; ALTER TABLE notes ADD COLUMN more text; COMMIT",
            "ALTER TABLE notes ADD COLUMN more text; COMMENT ON TABLE notes IS 'open",
            "CREATE FUNCTION f() RETURNS int BEGIN ATOMIC SELECT 1; END",
            "DECLARE c CURSOR FOR SELECT 1",
            "COPY notes FROM STDIN",
            "(SELECT 1)",
            "\\d",
        ] {
            assert_eq!(sharing(text), Sharing::Never, "{text}");
        }
    }
}
