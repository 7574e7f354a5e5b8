//! What the text of a migration says about how it can be run.

use crate::scan;

/// Whether migrations of several schemas can share a message and a transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Sharing {
    /// Structure and nothing else: it leaves nothing in the session.
    Freely,
    /// What it runs can leave settings behind.
    WithReset,
    /// It must have the session, or the transaction, to itself.
    Never,
}

/// First words of statements that define something, and of which nothing else remains.
const DEFINES: [&str; 6] = ["ALTER", "COMMENT", "CREATE", "DROP", "GRANT", "REVOKE"];

/// First words of statements that run what somebody wrote, inside the transaction.
const RUNS: [&str; 10] = [
    "ANALYZE", "CALL", "DELETE", "DO", "INSERT", "LOCK", "SELECT", "TRUNCATE", "UPDATE", "WITH",
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
        || lower
            .split(|c: char| !c.is_alphanumeric() && c != '_')
            .any(|word| TEMPORARY.contains(&word))
    {
        return Sharing::Never;
    }
    scan::statements(text)
        .into_iter()
        .map(|statement| match scan::words(statement).first() {
            Some(word) if DEFINES.contains(&word.as_str()) => Sharing::Freely,
            Some(word) if RUNS.contains(&word.as_str()) => Sharing::WithReset,
            _ => Sharing::Never,
        })
        .max()
        .unwrap_or(Sharing::Freely)
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
            "CREATE FUNCTION f() RETURNS int LANGUAGE plpgsql AS $$ BEGIN RETURN 1; END $$;",
            "/* x */ comment ON TABLE notes IS 'SET role'",
        ] {
            assert_eq!(sharing(text), Sharing::Freely, "{text}");
        }
    }

    #[test]
    fn what_runs_code_is_reset_in_between() {
        for text in [
            "UPDATE notes SET body = ''",
            "ALTER TABLE notes ADD COLUMN more text; INSERT INTO notes (body) VALUES ('x')",
            "DO $$ BEGIN NULL; END $$",
        ] {
            assert_eq!(sharing(text), Sharing::WithReset, "{text}");
        }
    }

    #[test]
    fn what_needs_the_session_shares_nothing() {
        for text in [
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
