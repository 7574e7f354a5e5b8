//! A checkout: the path, the proof that it leads to the tenant, and the mark of each statement.

use std::fmt::Write as _;

use super::{has_number, path, proof};
use crate::{lock, names::SchemaName};

/// What a path is proven against.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Claim<'a> {
    /// The schema that unqualified names are to be looked up in first.
    pub(crate) schema: &'a SchemaName,
    /// By what the schema is known again.
    pub(crate) mark: Mark,
    /// Whether the session also takes the lock that says that it uses the schema. It is refused where
    /// somebody waits to drop or rename it.
    pub(crate) in_use: bool,
}

/// By what a schema is known again, whatever its name was or will be. Numbers are never given twice.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Mark {
    /// Its own number: a schema that was dropped and created anew has another.
    pub(crate) schema: Option<u32>,
    /// The number of a table in it.
    pub(crate) table: Option<u32>,
}

impl Claim<'_> {
    /// What is true when the path leads where it should; NULL counts as false.
    ///
    /// PostgreSQL takes any path, and skips what is missing or not to be used by the role; the next
    /// query then reads the schema after it. So the server is asked where the path leads: whether a table
    /// of the schema is what its bare name means, which is all in one; else whether the schema of that
    /// name is the one, and what `current_schema()` is.
    fn led(&self) -> String {
        let name = self.schema.literal();
        let here = format!("pg_catalog.current_schema() OPERATOR(pg_catalog.=) {name}");
        match self.mark {
            Mark {
                table: Some(table), ..
            } => format!("pg_catalog.pg_table_is_visible('{table}'::pg_catalog.oid)"),
            Mark {
                schema: Some(schema),
                ..
            } => format!(
                "CASE WHEN {} THEN {here} END",
                has_number(self.schema, schema)
            ),
            _ => here,
        }
    }

    /// A number that is 1 when the path leads where it should, and 0 otherwise. What comes `first`, and
    /// the lock, happen before the question.
    ///
    /// It is asked when the lock is held, so that nobody can drop or rename the schema between the two.
    /// But a session answers from what it has cached, and hears of other sessions' changes when its
    /// transaction begins, which was before, and when it opens a relation. So it is made to open one in
    /// between: the function between the two opens the relation and does nothing else. CASE alone promises
    /// an order (PostgreSQL manual, 4.2.14 "Expression Evaluation Rules").
    fn verdict(&self, first: &str, lock: &str) -> String {
        let mut verdict = format!("CASE {first}");
        if self.in_use {
            let _ = write!(
                verdict,
                "WHEN NOT pg_catalog.{lock}({}, pg_catalog.hashtext({})) THEN 0 \
                 WHEN pg_catalog.pg_relation_is_updatable('pg_catalog.pg_namespace', false) \
                 OPERATOR(pg_catalog.=) 0 THEN 0 ",
                lock::IN_USE,
                self.schema.literal()
            );
        }
        let _ = write!(verdict, "WHEN {} THEN 1 ELSE 0 END", self.led());
        verdict
    }

    /// Prepares, under `number`, the proof that [`prove`] runs: it gives back the locks of the checkout
    /// before, takes its own, and divides by zero unless the path leads to the schema.
    ///
    /// A plan is made anew when it is run on another path than it was made for. This one is made, and
    /// always run, on the path that it proves; so it is planned once for each tenant and connection, and
    /// a checkout only runs it. It has no columns, which saves describing and sending them.
    pub(crate) fn prepare_proof(&self, number: u32) -> String {
        format!(
            "PREPARE boardinghouse_proof_{number} AS SELECT WHERE 1 OPERATOR(pg_catalog./) {} \
             OPERATOR(pg_catalog.=) 0",
            self.verdict(
                "WHEN pg_catalog.pg_advisory_unlock_all() IS NULL THEN 0 ",
                SESSION_LOCK
            )
        )
    }

    /// One row, without columns, if the path still leads to the schema, in a session that has had the lock
    /// since that was last proven.
    pub(crate) fn still(&self) -> String {
        format!("SELECT WHERE {}", self.led())
    }

    /// The proof as a statement of its own, which fails with a check violation: it tells a path that
    /// leads elsewhere from every other failure.
    pub(crate) fn diagnose(&self) -> String {
        format!("SELECT {}", proof(&self.verdict("", SESSION_LOCK)))
    }

    /// Sets the path until the transaction ends, and proves it.
    pub(crate) fn bind_transaction(&self, rest: &[&SchemaName]) -> String {
        format!(
            "SET LOCAL search_path TO {}; SELECT {}",
            path(std::iter::once(self.schema).chain(rest.iter().copied())),
            proof(&self.verdict("", "pg_try_advisory_xact_lock_shared"))
        )
    }
}

const SESSION_LOCK: &str = "pg_try_advisory_lock_shared";

/// Runs the proof that was prepared under `number`.
pub(crate) fn prove(number: u32) -> String {
    format!("EXECUTE boardinghouse_proof_{number}")
}

/// Forgets the proof that was prepared under `number`.
pub(crate) fn forget_proof(number: u32) -> String {
    format!("DEALLOCATE boardinghouse_proof_{number}")
}

/// Sets the path.
pub(crate) fn set_path<'a>(schemas: impl IntoIterator<Item = &'a SchemaName>) -> String {
    format!("SET search_path TO {}", path(schemas))
}

/// The comment that names a schema and its epoch in front of each statement.
///
/// A name that could end the comment, or open another one, is written in hexadecimal digits.
pub(crate) fn tag(schema: &SchemaName, epoch: i64) -> String {
    let name = schema.as_str();
    if name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_') {
        format!("/*{name}.{epoch}*/ ")
    } else {
        let digits: String = name.bytes().map(|b| format!("{b:02x}")).collect();
        format!("/*x'{digits}'.{epoch}*/ ")
    }
}
