//! Statements that move a table between the shared schema and those of the tenants.

use std::fmt::Write as _;

use super::{Ident, Literal};
use crate::names::SchemaName;

/// Where the rows of all schemas are put together.
const ROWS: &str = "pg_temp.boardinghouse_rows";

/// Keeps tenants from being registered, renamed and removed, until the transaction ends.
pub(crate) const HOLD_REGISTRY: &str = "LOCK TABLE boardinghouse.tenants, boardinghouse.named_templates, \
     boardinghouse.ready_schemas IN SHARE ROW EXCLUSIVE MODE";

/// Puts PostgreSQL's own schema on the path, alone; and has a row that a policy hides be an error.
pub(crate) const APART: &str =
    "SET LOCAL row_security TO off; SET LOCAL search_path TO pg_catalog, pg_temp";

/// Has the names of a schema written, and read, without it.
pub(crate) fn enter(schema: &SchemaName) -> String {
    format!(
        "SET LOCAL search_path TO {}, pg_catalog, pg_temp;",
        schema.quoted()
    )
}

fn name(schema: &SchemaName, object: &str) -> String {
    format!("{}.{}", schema.quoted(), Ident(object))
}

/// Locks tables: for everybody, or against writing.
pub(crate) fn lock_tables<'a>(
    tables: impl IntoIterator<Item = (&'a SchemaName, &'a str)>,
    exclusive: bool,
) -> String {
    let names: Vec<String> = tables
        .into_iter()
        .map(|(schema, table)| format!("ONLY {}", name(schema, table)))
        .collect();
    let mode = match exclusive {
        true => "ACCESS EXCLUSIVE",
        false => "SHARE ROW EXCLUSIVE",
    };
    match names.is_empty() {
        true => String::new(),
        false => format!("LOCK TABLE {} IN {mode} MODE;", names.join(", ")),
    }
}

/// Creates a schema, and moves a table there, with what belongs to it.
pub(crate) fn take_aside(
    schema: &SchemaName,
    table: &str,
    statistics: &[(SchemaName, String)],
    aside: &SchemaName,
) -> String {
    let mut text = format!(
        "CREATE SCHEMA {0}; ALTER TABLE {1} SET SCHEMA {0};",
        aside.quoted(),
        name(schema, table)
    );
    for (schema, one) in statistics {
        let _ = write!(
            text,
            "ALTER STATISTICS {} SET SCHEMA {};",
            name(schema, one),
            aside.quoted()
        );
    }
    text
}

/// Drops a table; fails where anything depends on it.
pub(crate) fn drop_table(schema: &SchemaName, table: &str) -> String {
    format!("DROP TABLE {};", name(schema, table))
}

/// Drops a schema; fails where anything is in it.
pub(crate) fn drop_empty_schema(schema: &SchemaName) -> String {
    format!("DROP SCHEMA {};", schema.quoted())
}

/// Adds a foreign key. The path decides which table it leads to.
pub(crate) fn add_foreign_key(
    schema: &SchemaName,
    table: &str,
    constraint: &str,
    definition: &str,
    comment: Option<&str>,
) -> String {
    let table = name(schema, table);
    let constraint = Ident(constraint);
    let mut text = format!("ALTER TABLE {table} ADD CONSTRAINT {constraint} {definition};");
    if let Some(comment) = comment {
        let comment = Literal(comment);
        let _ = write!(
            text,
            "\nCOMMENT ON CONSTRAINT {constraint} ON {table} IS {comment};"
        );
    }
    text
}

/// The same for a table on the path, in a migration. `maybe`: where there is such a table, and without the
/// comment.
pub(crate) fn add_own_foreign_key(
    table: &str,
    constraint: &str,
    definition: &str,
    comment: Option<&str>,
    maybe: bool,
) -> String {
    let table = Ident(table).bare_if_possible();
    let constraint = Ident(constraint).bare_if_possible();
    let if_exists = if maybe { "IF EXISTS " } else { "" };
    let mut text =
        format!("ALTER TABLE {if_exists}{table} ADD CONSTRAINT {constraint} {definition};");
    if let Some(comment) = comment.filter(|_| !maybe) {
        let comment = Literal(comment);
        let _ = write!(
            text,
            "\nCOMMENT ON CONSTRAINT {constraint} ON {table} IS {comment};"
        );
    }
    text
}

/// As a foreign key is defined whose table is in a schema that is not on the path. It is shown, and never run.
pub(crate) fn led_to(definition: &str, schema: &SchemaName) -> String {
    match definition.split_once(" REFERENCES ") {
        Some((columns, rest)) => format!(
            "{columns} REFERENCES {}.{rest}",
            schema.quoted().bare_if_possible()
        ),
        None => definition.to_owned(),
    }
}

/// Drops a foreign key of a table on the path. `maybe`: where there is such a table.
pub(crate) fn drop_own_foreign_key(table: &str, constraint: &str, maybe: bool) -> String {
    format!(
        "ALTER TABLE {}{} DROP CONSTRAINT {};",
        if maybe { "IF EXISTS " } else { "" },
        Ident(table).bare_if_possible(),
        Ident(constraint).bare_if_possible()
    )
}

/// Drops a table on the path, in a migration; fails where it has rows, and so was not moved there.
pub(crate) fn drop_own_empty_table(table: &str, to: impl std::fmt::Display) -> String {
    let own = Ident(table).bare_if_possible();
    let message = format!(
        "table {table} has rows: move them by `boardinghouse table move {table} --to {to}`, and mark this \
         migration as applied; or delete them first"
    );
    let body = format!(
        "BEGIN LOCK TABLE {own} IN ACCESS EXCLUSIVE MODE; IF EXISTS (SELECT FROM {own}) THEN \
         RAISE EXCEPTION USING MESSAGE = {}; END IF; END",
        Literal(&message)
    );
    format!("DO {};\nDROP TABLE {own};", Literal(&body))
}

/// Takes the strongest lock on sequences, which `LOCK TABLE` does not: their owners stay who they are.
pub(crate) fn lock_sequences<'a>(
    sequences: impl IntoIterator<Item = (&'a str, &'a str, &'a str)>,
) -> String {
    let mut text = String::new();
    for (schema, sequence, owner) in sequences {
        let _ = write!(
            text,
            "ALTER SEQUENCE {}.{} OWNER TO {};",
            Ident(schema),
            Ident(sequence),
            Ident(owner)
        );
    }
    text
}

/// How many rows a table has in each of the schemas, by their place in the list.
pub(crate) fn count_rows(schemas: &[(usize, &SchemaName)], table: &str) -> String {
    let one = |(place, schema): &(usize, &SchemaName)| {
        format!(
            "SELECT {place}::int8 AS place, count(*) AS number FROM ONLY {}",
            name(schema, table)
        )
    };
    let all: Vec<_> = schemas.iter().map(one).collect();
    all.join(" UNION ALL ")
}

/// A key of a unique index: an expression, and what text is compared by.
#[derive(Debug)]
pub(crate) struct Key {
    pub(crate) text: String,
    /// Schema and name.
    pub(crate) collation: Option<(String, String)>,
}

impl Key {
    fn collate(&self) -> String {
        match &self.collation {
            Some((schema, name)) => format!(" COLLATE {}.{}", Ident(schema), Ident(name)),
            None => String::new(),
        }
    }
}

/// The columns of the table in which rows are put together, besides those of the rows: names that none of
/// these columns has.
#[derive(Debug)]
pub(crate) struct Marks {
    /// Whose row it is.
    source: String,
    /// A hash of all that it says.
    hash: String,
    /// Which one it is, of those of one schema that say the same.
    number: String,
}

impl Marks {
    pub(crate) fn unlike(columns: &[String]) -> Self {
        let free = |mark: &str| {
            let mut name = format!("boardinghouse {mark}");
            while columns.contains(&name) {
                name.push('_');
            }
            Ident(&name).to_string()
        };
        Self {
            source: free("source"),
            hash: free("hash"),
            number: free("number"),
        }
    }

    /// Creates the table for rows like those of `schema`.
    pub(crate) fn create(&self, schema: &SchemaName, table: &str, columns: &[String]) -> String {
        format!(
            "CREATE TEMP TABLE boardinghouse_rows ON COMMIT DROP AS \
             SELECT 0::int8 AS {}, ''::bytea AS {}, 0::int8 AS {}, {} FROM ONLY {} WITH NO DATA",
            self.source,
            self.hash,
            self.number,
            list("", columns),
            name(schema, table)
        )
    }

    /// Adds the rows of the schema at `place`.
    pub(crate) fn add(
        &self,
        place: usize,
        schema: &SchemaName,
        table: &str,
        columns: &[String],
    ) -> String {
        let values = list("t.", columns);
        // What a row says is what it is written as: not every type can be compared.
        format!(
            "INSERT INTO {ROWS} SELECT {place}, h.hash, row_number() OVER (PARTITION BY h.hash), {values} \
             FROM ONLY {} AS t CROSS JOIN LATERAL (SELECT sha256(convert_to(ROW({values})::text, 'UTF8')) \
             AS hash) AS h;",
            name(schema, table)
        )
    }

    /// How many rows there are when those that say the same are one.
    pub(crate) fn count(&self) -> String {
        format!(
            "SELECT count(DISTINCT ({}, {})) AS number, 0::int8 AS place FROM {ROWS}",
            self.hash, self.number
        )
    }

    /// The keys of a unique index that rows have which do not say the same: at most `most` of them, with at
    /// most `holders` places each, and how many there are of either.
    pub(crate) fn conflicts(
        &self,
        keys: &[Key],
        predicate: Option<&str>,
        nulls_are_equal: bool,
        most: usize,
        holders: usize,
    ) -> String {
        // By name: in GROUP BY a constant would be a position.
        let named: Vec<String> = (0..keys.len()).map(|place| format!("k{place}")).collect();
        let values: Vec<String> = keys
            .iter()
            .zip(&named)
            .map(|(key, name)| format!("({}){} AS {name}", key.text, key.collate()))
            .collect();
        let mut conditions: Vec<String> = Vec::new();
        if !nulls_are_equal {
            conditions.extend(
                named
                    .iter()
                    .map(|key| format!("{key} IS DISTINCT FROM NULL")),
            );
        }
        if conditions.is_empty() {
            conditions.push("true".to_owned());
        }
        let predicate = predicate.unwrap_or("true");
        let (source, hash, number) = (&self.source, &self.hash, &self.number);
        format!(
            "SELECT c.key, c.places[1:{holders}] AS places, cardinality(c.places)::int8 AS holders, \
             count(*) OVER () AS number FROM (SELECT concat_ws(', ', {}) AS key, \
             array_agg(DISTINCT source ORDER BY source) AS places FROM (SELECT {source} AS source, \
             {hash} AS hash, {number} AS number, {} FROM {ROWS} WHERE ({predicate})) AS r WHERE {} \
             GROUP BY {} HAVING count(DISTINCT (hash, number)) > 1) AS c ORDER BY c.key COLLATE \"C\" \
             LIMIT {most}",
            named
                .iter()
                .map(|key| format!(
                    "CASE WHEN {key} IS DISTINCT FROM NULL THEN format('%s', {key}) ELSE 'NULL' END"
                ))
                .collect::<Vec<_>>()
                .join(", "),
            values.join(", "),
            conditions.join(" AND "),
            named.join(", "),
        )
    }

    /// Writes the rows, each once, into a table on the path.
    pub(crate) fn write(&self, table: &str, columns: &[String]) -> String {
        let (source, hash, number) = (&self.source, &self.hash, &self.number);
        let list = list("", columns);
        format!(
            "INSERT INTO {} ({list}) OVERRIDING SYSTEM VALUE SELECT {list} FROM (SELECT DISTINCT ON \
             ({hash}, {number}) * FROM {ROWS} ORDER BY {hash}, {number}, {source}) AS r \
             ORDER BY {source}, {number}",
            Ident(table)
        )
    }
}

fn list(of: &str, columns: &[String]) -> String {
    let all: Vec<String> = columns
        .iter()
        .map(|column| format!("{of}{}", Ident(column)))
        .collect();
    all.join(", ")
}

/// A sequence that a column has for itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct OwnSequence {
    pub(crate) name: String,
    pub(crate) column: String,
    /// Whether the values of the column are whole numbers.
    pub(crate) counts: bool,
    pub(crate) increment: i64,
    pub(crate) least: i64,
    pub(crate) most: i64,
}

impl OwnSequence {
    /// The outermost of the positions that the sequence has in these schemas.
    pub(crate) fn positions(&self, schemas: &[&SchemaName]) -> String {
        let one = |schema: &&SchemaName| {
            format!(
                "SELECT CASE WHEN is_called THEN last_value::numeric \
                 ELSE last_value::numeric - {} END AS value FROM {}",
                self.increment,
                name(schema, &self.name)
            )
        };
        let all: Vec<_> = schemas.iter().map(one).collect();
        let outer = if self.increment < 0 { "min" } else { "max" };
        format!(
            "SELECT {outer}(p.value)::int8 AS value FROM ({}) AS p WHERE p.value BETWEEN {} AND {}",
            all.join(" UNION ALL "),
            self.least,
            self.most
        )
    }

    /// Lets the sequence of the schema go on after a value, and after all that the table holds.
    pub(crate) fn go_on(&self, schema: &SchemaName, table: &str, after: Option<i64>) -> String {
        let outer = if self.increment < 0 { "min" } else { "max" };
        let held = match self.counts {
            true => format!(
                " UNION ALL SELECT {outer}({0}) FROM {1} WHERE {0} BETWEEN {2} AND {3}",
                Ident(&self.column),
                name(schema, table),
                self.least,
                self.most
            ),
            false => String::new(),
        };
        let after = after.map_or_else(|| "NULL".to_owned(), |value| value.to_string());
        format!(
            "SELECT setval({}::regclass, v.value, true) FROM (SELECT {outer}(p.value)::int8 AS value \
             FROM (SELECT {after}::numeric AS value{held}) AS p) AS v WHERE v.value IS NOT NULL",
            Literal(&name(schema, &self.name))
        )
    }
}
