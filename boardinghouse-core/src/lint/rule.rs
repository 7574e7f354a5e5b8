//! The rules: what each looks for, what it weighs, and what to do.

use serde::Serialize;

use crate::doctor::Severity;

/// One thing that is looked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Rule {
    /// What it is called, in findings and in comments that allow it.
    pub id: &'static str,
    /// How much it weighs.
    pub severity: Severity,
    /// What it finds.
    pub finds: &'static str,
    /// What to do instead.
    pub hint: &'static str,
}

macro_rules! rules {
    ($($name:ident: $severity:ident, $id:literal, $finds:literal, $hint:literal;)*) => {
        $(pub(super) const $name: &Rule = &Rule {
            id: $id,
            severity: Severity::$severity,
            finds: $finds,
            hint: $hint,
        };)*

        /// All rules: first those about whose tables are whose, then those about the session, then those
        /// about what a large fleet, or a running release, does not bear.
        pub const RULES: &[Rule] = &[$(*$name),*];
    };
}

rules! {
    WRITES_SHARED: Error, "writes-shared",
        "a tenant migration that writes to the shared schema",
        "move the statement to a shared migration: here it would run once for each tenant";
    QUALIFIED_OWN: Error, "qualified-own",
        "a tenant's table that is named with a schema",
        "leave the schema out: the path leads to the tenant that is being migrated, a name to one schema";
    QUALIFIED_WRITE: Error, "qualified-write",
        "writing to a schema that is neither the tenant's nor the shared one",
        "migrate only schemas that belong to the set; write to others from a program of their own";
    NAMES_TENANT: Error, "names-tenant",
        "the template, or the schema of one tenant, by its name",
        "leave the schema out in a tenant migration; a shared migration cannot speak of tenants' tables";
    SHARED_REFERS_TENANT: Error, "shared-refers-tenant",
        "a shared migration that refers to a table of tenants",
        "refer the other way round, from the tenant's table to the shared one";
    UNQUALIFIED_SHARED: Error, "unqualified-shared",
        "a foreign key to a shared table without its schema",
        "write the shared schema in front: while tenants are migrated it is not on the path";
    SHADOWS: Warning, "shadows",
        "a name that is a table in both sets",
        "rename one: a tenant never sees the shared table, and where a tenant lacks its own, the shared \
         one is read and written";
    SEARCH_PATH: Error, "search-path",
        "changing the search_path",
        "take it out: the path is set, and proven, before each migration";
    EXTENSION: Error, "extension",
        "an extension in a tenant migration",
        "move it to a shared migration: a database has an extension once";
    SCHEMA: Error, "schema",
        "creating, changing or dropping a schema in a tenant migration",
        "schemas of tenants are created and dropped by `boardinghouse tenant`; others belong into a \
         shared migration";
    NOT_PER_TENANT: Error, "not-per-tenant",
        "what a server or a database has once, in a tenant migration",
        "move it to a shared migration, or do it when the server is set up";
    OWN_TYPE: Info, "own-type",
        "a type or a domain in a tenant migration",
        "each tenant gets a type of its own, with its own numbers (two in pg_type, and a row for each \
         label), which each connection looks up for each tenant; in the shared schema there is one";
    NOT_SQL: Error, "not-sql",
        "what psql understands and the server does not, and what is not closed",
        "write statements only, and close every quote, comment and parenthesis";
    TRANSACTION_CONTROL: Error, "transaction-control",
        "beginning or ending a transaction in a migration that runs in one",
        "take it out: the migration and the row that remembers it commit together; or set \
         `run_in_transaction = false` in metadata.toml";
    NOT_IN_TRANSACTION: Error, "not-in-transaction",
        "what PostgreSQL refuses in a transaction, in a migration that runs in one",
        "put it into a migration of its own, with `run_in_transaction = false` in metadata.toml";
    NOT_ALONE: Error, "not-alone",
        "what PostgreSQL refuses in a transaction, together with other statements",
        "put it into a migration of its own: statements that are sent together are one transaction";
    ENUM_VALUE_USED: Error, "enum-value-used",
        "a label that is added to an enum and used by the same transaction",
        "use the label in a later migration: PostgreSQL refuses it until the transaction has committed";
    SESSION_STATE: Warning, "session-state",
        "what stays with the session after the migration: SET without LOCAL, LISTEN, advisory locks, \
         prepared statements, temporary tables",
        "use what ends with the transaction (`SET LOCAL`, `pg_advisory_xact_lock`, `ON COMMIT DROP`): \
         tenants are migrated one after the other by one session";
    HIDDEN_SQL: Info, "hidden-sql",
        "SQL that a block or a function builds and runs with EXECUTE",
        "look at it yourself: what it does is not known here";
    COLUMN_REWRITES: Warning, "column-rewrites",
        "a new column whose value is computed for each row: the table is written anew",
        "add the column without a default, set the default, and fill it in batches; now() and constants \
         cost nothing";
    COLUMN_TYPE: Warning, "column-type",
        "another type for a column: the table is written anew, and nobody reads it meanwhile",
        "add a new column, fill it in batches, and change over with the release that uses it";
    COLUMN_NOT_NULL: Error, "column-not-null",
        "a new column that is NOT NULL and has no default: it fails where there are rows",
        "give it a default, or add it without NOT NULL, fill it, and set NOT NULL later";
    SET_NOT_NULL: Warning, "set-not-null",
        "SET NOT NULL: the whole table is read while nobody uses it",
        "add CHECK (column IS NOT NULL) NOT VALID, validate it in a later migration, then set NOT NULL";
    FOREIGN_KEY_VALID: Warning, "foreign-key-valid",
        "a foreign key that is checked at once: nobody writes to either table meanwhile",
        "add it NOT VALID, and validate it in a later migration";
    CHECK_VALID: Warning, "check-valid",
        "a check that is made at once: nobody uses the table meanwhile",
        "add it NOT VALID, and validate it in a later migration";
    VALIDATED_AT_ONCE: Warning, "validated-at-once",
        "a constraint that is added and validated in one transaction",
        "validate it in a later migration: here the lock of adding it is kept for as long as it takes";
    UNIQUE: Warning, "unique",
        "a primary key, a unique or an exclusion constraint: its index is built while nobody uses the table",
        "build a unique index concurrently, then add the constraint USING INDEX";
    INDEX: Warning, "index",
        "an index on a table that is there already: nobody writes to the table until it is built",
        "build it CONCURRENTLY, in a migration of its own with `run_in_transaction = false`";
    RENAME: Warning, "rename",
        "renaming a table or a column: the release that is running does not know the new name",
        "add the new one, write to both, and drop the old one when no release reads it";
    DROP: Warning, "drop",
        "dropping a table or a column, which the release that is running may still use",
        "drop it in the release after the one that stopped using it, and allow it here then";
    LOCK: Warning, "lock",
        "LOCK: writers and readers of all tenants wait in turn",
        "leave it out; statements take the locks that they need";
    REWRITE: Warning, "rewrite",
        "what writes a table or an index anew while nobody uses it: CLUSTER, VACUUM FULL, REINDEX, \
         SET TABLESPACE, SET LOGGED",
        "do it as maintenance, table by table, and where it can be done CONCURRENTLY";
    NO_DOWN: Info, "no-down",
        "a migration that cannot be reverted: down.sql is missing, or holds no statement",
        "write down.sql, or say in a comment that it is meant so, and allow it";
    UNUSED_ALLOW: Warning, "unused-allow",
        "a comment that allows a rule where it finds nothing, or one that does not exist",
        "take it out, or put it on the line above the statement";
}

#[cfg(test)]
mod tests {
    use super::RULES;

    #[test]
    fn ids_are_kebab_case_and_unique() {
        let mut ids: Vec<_> = RULES.iter().map(|rule| rule.id).collect();
        assert!(
            ids.iter()
                .all(|id| id.bytes().all(|b| b.is_ascii_lowercase() || b == b'-'))
        );
        ids.sort_unstable();
        ids.dedup();
        assert_eq!(ids.len(), RULES.len());
    }

    #[test]
    fn every_rule_is_in_the_modules_table() {
        let docs = include_str!("../lint.rs");
        for rule in RULES {
            let severity = rule.severity;
            let line = format!("//! | `{}` | {severity} | {} |", rule.id, rule.finds);
            assert!(docs.contains(&line), "{line}");
        }
        let rows = docs
            .lines()
            .filter(|line| line.starts_with("//! | `"))
            .count();
        assert_eq!(rows, RULES.len());
    }
}
