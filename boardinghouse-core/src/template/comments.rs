//! The comments on everything in a template.

use std::collections::HashMap;

use super::plan::{ObjectKind, Step};
use crate::{
    catalog::read::Definitions,
    sql::{Ident, Literal},
};

/// The comments, in the order of what they are about.
pub(super) fn comments(found: &Definitions) -> Vec<Step> {
    // By catalog, oid and column, as the server names what a comment is about.
    let mut names: HashMap<(&str, u32, i32), String> = HashMap::new();
    let mut tables: HashMap<u32, &str> = HashMap::new();
    for table in &found.tables {
        tables.insert(table.oid, &table.name);
        names.insert(
            ("pg_class", table.oid, 0),
            format!("TABLE {}", Ident(&table.name)),
        );
    }
    for column in &found.columns {
        if let Some(table) = tables.get(&column.table) {
            names.insert(
                ("pg_class", column.table, column.number),
                format!("COLUMN {}.{}", Ident(table), Ident(&column.name)),
            );
        }
    }
    for sequence in &found.sequences {
        let name = format!("SEQUENCE {}", Ident(&sequence.name));
        names.insert(("pg_class", sequence.oid, 0), name);
    }
    for index in &found.indexes {
        names.insert(
            ("pg_class", index.oid, 0),
            format!("INDEX {}", Ident(&index.name)),
        );
    }
    for constraint in &found.constraints {
        if let Some(table) = tables.get(&constraint.table) {
            names.insert(
                ("pg_constraint", constraint.oid, 0),
                format!("CONSTRAINT {} ON {}", Ident(&constraint.name), Ident(table)),
            );
        }
    }
    let mut steps: Vec<Step> = found
        .comments
        .iter()
        .filter_map(|comment| {
            let name = names.get(&(comment.class.as_str(), comment.object, comment.column))?;
            Some(Step {
                object: ObjectKind::Comment,
                sql: format!("COMMENT ON {name} IS {}", Literal(&comment.text)),
            })
        })
        .collect();
    steps.sort_by(|one, other| one.sql.cmp(&other.sql));
    steps
}
