//! Turns the definitions in a template into the statements of a plan.
//!
//! Pure: nothing here talks to the server. Names are written bare and always quoted.

use std::collections::{BTreeMap, HashMap, HashSet};

use super::{
    comments::comments,
    plan::{ObjectKind, Step},
    rows::TableRows,
};
use crate::{
    catalog::read::{Column, Constraint, Definitions, Sequence, Table},
    sql::{Ident, Literal},
};

/// Builds the steps of a plan.
#[derive(Debug)]
pub(super) struct Builder<'a> {
    found: &'a Definitions,
    tables: HashMap<u32, &'a Table>,
    columns: HashMap<u32, Vec<&'a Column>>,
    /// The sequences of identity columns, by table and column.
    identities: HashMap<(u32, i32), &'a Sequence>,
    /// What exists only once all tables do: the tables, and the sequences of identity columns.
    with_tables: HashSet<u32>,
    steps: Vec<Step>,
}

impl<'a> Builder<'a> {
    pub(super) fn new(found: &'a Definitions) -> Self {
        let mut columns: HashMap<u32, Vec<&Column>> = HashMap::new();
        for column in &found.columns {
            columns.entry(column.table).or_default().push(column);
        }
        let identities: HashMap<_, _> = found
            .sequences
            .iter()
            .filter(|sequence| sequence.identity)
            .filter_map(|sequence| Some(((sequence.table?, sequence.column?), sequence)))
            .collect();
        let with_tables = found
            .tables
            .iter()
            .map(|table| table.oid)
            .chain(identities.values().map(|sequence| sequence.oid))
            .collect();
        Self {
            found,
            tables: found
                .tables
                .iter()
                .map(|table| (table.oid, table))
                .collect(),
            columns,
            identities,
            with_tables,
            steps: Vec::new(),
        }
    }

    /// What cannot be put in an order that works.
    pub(super) fn refusals(&self) -> Vec<String> {
        self.found
            .columns
            .iter()
            .filter(|column| {
                !column.generated.is_empty() && self.default_waits(column)
                    || !matches!(column.generated.as_str(), "" | "s" | "v")
                    || !matches!(column.identity.as_str(), "" | "a" | "d")
            })
            .map(|column| {
                let table = self
                    .tables
                    .get(&column.table)
                    .map_or("", |table| &table.name);
                format!(
                    "column {} of table {table}: a generated value of this form cannot be cloned \
                     yet",
                    column.name
                )
            })
            .collect()
    }

    /// Every table with those of its columns that hold values of their own.
    pub(super) fn tables_with_columns(&self) -> impl Iterator<Item = (&'a str, Vec<&'a str>)> {
        self.found.tables.iter().map(|table| {
            let columns = self.columns.get(&table.oid).into_iter().flatten();
            let columns = columns.filter(|column| column.generated.is_empty());
            (
                table.name.as_str(),
                columns.map(|column| column.name.as_str()).collect(),
            )
        })
    }

    /// The whole plan, with these rows.
    pub(super) fn steps(&mut self, rows: &[TableRows<'_>]) -> Vec<Step> {
        self.sequences();
        self.create_tables();
        self.owners_and_defaults();
        self.indexes_and_constraints();
        // Before the foreign keys, which need no order then.
        for table in rows {
            self.push(ObjectKind::Rows, table.insert());
        }
        self.foreign_keys();
        self.positions();
        self.steps.extend(comments(self.found));
        std::mem::take(&mut self.steps)
    }

    fn push(&mut self, object: ObjectKind, sql: String) {
        self.steps.push(Step { object, sql });
    }

    /// Whether a member names a relation that is not there yet when `own` table is created.
    fn waits(&self, class: &str, oid: u32, own: u32) -> bool {
        self.found.references.iter().any(|reference| {
            reference.class == class
                && reference.object == oid
                && reference.target_class == "pg_class"
                && reference.target != own
                && self.with_tables.contains(&reference.target)
        })
    }

    fn default_waits(&self, column: &Column) -> bool {
        column
            .default_oid
            .is_some_and(|oid| self.waits("pg_attrdef", oid, column.table))
    }

    fn sequences(&mut self) {
        for sequence in &self.found.sequences {
            if !sequence.identity {
                self.push(
                    ObjectKind::Sequence,
                    format!(
                        "CREATE {}SEQUENCE {} AS {} {}",
                        if sequence.unlogged { "UNLOGGED " } else { "" },
                        Ident(&sequence.name),
                        sequence.type_name,
                        sequence.options,
                    ),
                );
            }
        }
    }

    fn create_tables(&mut self) {
        for table in &self.found.tables {
            let columns = self.columns.get(&table.oid).cloned().unwrap_or_default();
            let mut parts: Vec<String> = columns.iter().map(|column| self.column(column)).collect();
            let inline = |constraint: &&Constraint| {
                constraint.table == table.oid && self.is_inline(constraint)
            };
            parts.extend(self.found.constraints.iter().filter(inline).map(named));
            let mut sql = format!(
                "CREATE {}TABLE {} ({})",
                if table.unlogged { "UNLOGGED " } else { "" },
                Ident(&table.name),
                parts.join(", "),
            );
            if let Some(options) = &table.options {
                sql.push_str(&format!(" WITH ({options})"));
            }
            self.push(ObjectKind::Table, sql);

            let settings: Vec<String> =
                columns.iter().flat_map(|column| settings(column)).collect();
            if !settings.is_empty() {
                let sql = format!("ALTER TABLE {} {}", Ident(&table.name), settings.join(", "));
                self.push(ObjectKind::Property, sql);
            }
        }
    }

    fn column(&self, column: &Column) -> String {
        let mut sql = format!("{} {}", Ident(&column.name), column.type_name);
        if let Some(collation) = &column.collation {
            sql.push_str(&format!(" COLLATE {collation}"));
        }
        match (&column.expression, column.generated.as_str()) {
            (Some(expression), "s") => {
                sql.push_str(&format!(" GENERATED ALWAYS AS ({expression}) STORED"));
            }
            (Some(expression), "v") => {
                sql.push_str(&format!(" GENERATED ALWAYS AS ({expression}) VIRTUAL"));
            }
            (Some(expression), _) if !self.default_waits(column) => {
                sql.push_str(&format!(" DEFAULT {expression}"));
            }
            _ => {}
        }
        if let Some(sequence) = self.identities.get(&(column.table, column.number)) {
            sql.push_str(&format!(
                " GENERATED {} AS IDENTITY (SEQUENCE NAME {} {})",
                if column.identity == "a" {
                    "ALWAYS"
                } else {
                    "BY DEFAULT"
                },
                Ident(&sequence.name),
                sequence.options,
            ));
        }
        if column.not_null && !self.found.not_null_is_a_constraint {
            sql.push_str(" NOT NULL");
        }
        sql
    }

    /// Whether a constraint can be said in CREATE TABLE. One that is NOT VALID cannot: it would be
    /// created as valid.
    fn is_inline(&self, constraint: &Constraint) -> bool {
        constraint.kind != "f"
            && constraint.validated
            && !self.waits("pg_constraint", constraint.oid, constraint.table)
    }

    fn owners_and_defaults(&mut self) {
        for sequence in self
            .found
            .sequences
            .iter()
            .filter(|sequence| !sequence.identity)
        {
            let owner = sequence.table.zip(sequence.column);
            if let Some(column) = owner.and_then(|(table, number)| self.column_name(table, number))
            {
                let sql = format!("ALTER SEQUENCE {} OWNED BY {column}", Ident(&sequence.name));
                self.push(ObjectKind::Owner, sql);
            }
        }
        for column in &self.found.columns {
            if let (Some(expression), true) = (&column.expression, self.default_waits(column))
                && let Some(table) = self.tables.get(&column.table)
            {
                let sql = format!(
                    "ALTER TABLE {} ALTER COLUMN {} SET DEFAULT {expression}",
                    Ident(&table.name),
                    Ident(&column.name),
                );
                self.push(ObjectKind::Default, sql);
            }
        }
    }

    /// The quoted name of a column with its table's.
    fn column_name(&self, table: u32, number: i32) -> Option<String> {
        let columns = self.columns.get(&table)?;
        let column = columns.iter().find(|column| column.number == number)?;
        Some(format!(
            "{}.{}",
            Ident(&self.tables.get(&table)?.name),
            Ident(&column.name)
        ))
    }

    fn indexes_and_constraints(&mut self) {
        let found = self.found;
        let constraints = found
            .constraints
            .iter()
            .filter(|constraint| constraint.kind != "f");
        let of_constraints: HashSet<u32> = constraints
            .clone()
            .map(|constraint| constraint.index)
            .collect();
        for index in &found.indexes {
            if !of_constraints.contains(&index.oid) {
                self.push(ObjectKind::Index, index.definition.clone());
            }
        }
        for constraint in constraints {
            if !self.is_inline(constraint) {
                self.add_constraints(ObjectKind::Constraint, &[constraint]);
            }
        }
        for index in &found.indexes {
            let name = Ident(&index.name);
            // The definition of a constraint leaves the parameters of its index out.
            if let (Some(options), true) = (&index.options, of_constraints.contains(&index.oid)) {
                self.push(
                    ObjectKind::Property,
                    format!("ALTER INDEX {name} SET ({options})"),
                );
            }
            for setting in found
                .index_statistics
                .iter()
                .filter(|s| s.index == index.oid)
            {
                let sql = format!(
                    "ALTER INDEX {name} ALTER COLUMN {} SET STATISTICS {}",
                    setting.column, setting.target
                );
                self.push(ObjectKind::Property, sql);
            }
        }
    }

    /// Foreign keys inside the schema first: those to other schemas lock tables that all tenants
    /// use until the end of the transaction.
    fn foreign_keys(&mut self) {
        let found = self.found;
        let mut by_table: BTreeMap<(bool, &str), Vec<&Constraint>> = BTreeMap::new();
        for constraint in found
            .constraints
            .iter()
            .filter(|constraint| constraint.kind == "f")
        {
            if let Some(table) = self.tables.get(&constraint.table) {
                let outside = !self.tables.contains_key(&constraint.foreign_table);
                by_table
                    .entry((outside, &table.name))
                    .or_default()
                    .push(constraint);
            }
        }
        for constraints in by_table.values() {
            self.add_constraints(ObjectKind::ForeignKey, constraints);
        }
    }

    /// Adds constraints of one table in one statement.
    fn add_constraints(&mut self, kind: ObjectKind, constraints: &[&Constraint]) {
        let table = constraints
            .first()
            .and_then(|first| self.tables.get(&first.table));
        if let Some(table) = table {
            let parts: Vec<String> = constraints
                .iter()
                .map(|constraint| format!("ADD {}", named(constraint)))
                .collect();
            let sql = format!("ALTER TABLE {} {}", Ident(&table.name), parts.join(", "));
            self.push(kind, sql);
        }
    }

    fn positions(&mut self) {
        for value in &self.found.values {
            let Some(sequence) = self.found.sequences.iter().find(|s| s.oid == value.oid) else {
                continue;
            };
            if value.is_called || value.last_value != sequence.start {
                let name = Ident(&sequence.name).to_string();
                let sql = format!(
                    "SELECT pg_catalog.setval({}::pg_catalog.regclass, {}, {})",
                    Literal(&name),
                    value.last_value,
                    value.is_called,
                );
                self.push(ObjectKind::Position, sql);
            }
        }
    }
}

fn named(constraint: &Constraint) -> String {
    format!(
        "CONSTRAINT {} {}",
        Ident(&constraint.name),
        constraint.definition
    )
}

/// The properties of a column that CREATE TABLE cannot say in all versions.
fn settings(column: &Column) -> Vec<String> {
    let storage = column
        .storage
        .as_ref()
        .map(|value| format!("STORAGE {value}"));
    let compression = column
        .compression
        .as_ref()
        .map(|value| format!("COMPRESSION {value}"));
    let statistics = column.statistics.map(|value| format!("STATISTICS {value}"));
    [storage, compression, statistics]
        .into_iter()
        .flatten()
        .map(|setting| format!("ALTER COLUMN {} SET {setting}", Ident(&column.name)))
        .collect()
}
