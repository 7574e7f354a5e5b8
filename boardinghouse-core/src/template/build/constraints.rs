//! Constraints and indexes, of tables and of domains.

use std::collections::HashSet;

use super::{Builder, class, phase};
use crate::{
    catalog::tables::{Constraint, Table},
    sql::{Ident, Literal},
    template::{
        graph::{Inline, Node, Statement, draft},
        plan::ObjectKind,
    },
};

impl Builder<'_> {
    pub(super) fn constraints(&mut self) {
        // CREATE TABLE creates one of two keys over the same columns only.
        let mut keys: HashSet<(u32, &str)> = HashSet::new();
        let mut come_along = Vec::new();
        for constraint in &self.found.tables.constraints {
            let made_by = self.made_by(constraint);
            if made_by.oid != constraint.oid {
                come_along.push((constraint.oid, made_by.oid));
                continue;
            }
            match (constraint.table, constraint.domain) {
                (_, Some(domain)) => self.domain_constraint(constraint, domain),
                (Some(oid), None) => {
                    let Some(table) = self.tables.get(&oid).copied() else {
                        continue;
                    };
                    let first = match constraint.kind.as_str() {
                        "p" | "u" => {
                            let columns = constraint.definition.find('(');
                            let columns = &constraint.definition[columns.unwrap_or(0)..];
                            keys.insert((oid, columns))
                        }
                        _ => true,
                    };
                    self.table_constraint(constraint, table, first);
                }
                (None, None) => {}
            }
        }
        for (constraint, made_by) in come_along {
            if let Some(node) = self.graph.node_of("pg_constraint", made_by) {
                self.graph.creates(node, "pg_constraint", constraint);
            }
        }
    }

    /// The foreign key with which this one comes: that of the partitioned table, or the one to the
    /// partitioned table. One whose name is its own must be there before, or it would get another.
    pub(super) fn made_by<'c>(&'c self, constraint: &'c Constraint) -> &'c Constraint {
        let mut constraint = constraint;
        while constraint.kind == "f" {
            let mut all = self.found.tables.constraints.iter();
            let parent = all.find(|other| Some(other.oid) == constraint.parent);
            match parent {
                Some(parent)
                    if parent.table == constraint.table || parent.name == constraint.name =>
                {
                    constraint = parent;
                }
                _ => break,
            }
        }
        constraint
    }

    pub(super) fn domain_constraint(&mut self, constraint: &Constraint, domain: u32) {
        let found = self.found.defines.domains.iter().find(|d| d.oid == domain);
        let Some(domain) = found else { return };
        let text = named(constraint);
        let into = self.graph.node_of("pg_type", domain.oid);
        let node = self.graph.push(Node {
            kind: ObjectKind::Constraint,
            phase: phase::PROPERTY,
            name: format!("{} {}", domain.name, constraint.name),
            statement: Statement::Draft(draft(format!(
                "ALTER DOMAIN {} ADD {text}",
                Ident(&domain.name)
            ))),
            needs: vec![class("pg_type", domain.oid)],
            inline: into.filter(|_| constraint.validated).map(|into| Inline {
                into,
                column: None,
                text: format!(" {text}"),
            }),
        });
        self.graph.creates(node, "pg_constraint", constraint.oid);
    }

    pub(super) fn table_constraint(&mut self, constraint: &Constraint, table: &Table, first: bool) {
        let is_partition = table.bound.is_some();
        let Some(into) = self.graph.node_of("pg_class", table.oid) else {
            return;
        };
        let plain = table.kind == "r" && !is_partition;
        let children = !self.parents_of(table.oid).is_empty() && !is_partition;
        if children && !constraint.local && constraint.kind != "f" {
            // It comes with the parent's.
            self.graph.creates(into, "pg_constraint", constraint.oid);
            return;
        }
        let text = named(constraint);
        let name = Ident(&table.name);
        let mut needs = vec![class("pg_class", table.oid)];
        let (kind, phase, head, inline) = match constraint.kind.as_str() {
            "f" => {
                let phase = self.foreign_key(constraint);
                let inside = self.tables.get(&constraint.foreign_table);
                let inline = plain
                    && constraint.validated
                    && phase == phase::FOREIGN_KEY
                    && inside.is_some_and(|other| other.kind == "r")
                    && !self.rows.contains(table.name.as_str());
                if inside.is_some() {
                    needs.push(class("pg_class", constraint.foreign_table));
                    // Of a partitioned table it goes to all partitions, which must be there.
                    let tables = self.found.tables.tables.iter();
                    let partitions = tables.filter(|table| table.bound.is_some());
                    needs.extend(partitions.map(|table| class("attached", table.oid)));
                }
                let only = if table.kind == "p" { "" } else { "ONLY " };
                (
                    ObjectKind::ForeignKey,
                    phase,
                    format!("ALTER TABLE {only}{name}"),
                    inline,
                )
            }
            "p" | "u" | "x" => {
                needs.extend(self.attached(table.oid));
                let index = self.found.tables.indexes.iter();
                let elsewhere = index
                    .clone()
                    .any(|index| index.oid == constraint.index && index.tablespace.is_some());
                (
                    ObjectKind::Constraint,
                    phase::INDEX,
                    format!("ALTER TABLE ONLY {name}"),
                    plain && first && !elsewhere,
                )
            }
            _ => (
                ObjectKind::Constraint,
                phase::INDEX,
                format!(
                    "ALTER TABLE {}{name}",
                    if table.kind == "p" { "ONLY " } else { "" }
                ),
                constraint.validated,
            ),
        };
        let tablespace = self
            .found
            .tables
            .indexes
            .iter()
            .find(|index| index.oid == constraint.index && constraint.kind != "f")
            .and_then(|index| index.tablespace.as_deref());
        let statement = match tablespace {
            None => Statement::Alter {
                head,
                action: format!("ADD {text}"),
            },
            Some(space) => {
                Statement::Draft(draft(in_tablespace(space, &format!("{head} ADD {text}"))))
            }
        };
        let node = self.graph.push(Node {
            kind,
            phase,
            name: table.name.clone(),
            statement,
            needs,
            inline: inline.then_some(Inline {
                into,
                column: None,
                text,
            }),
        });
        self.graph.creates(node, "pg_constraint", constraint.oid);
        if constraint.kind != "f" && constraint.index != 0 {
            self.graph.creates(node, "pg_class", constraint.index);
        }
    }

    /// When a foreign key is created.
    pub(super) fn foreign_key(&self, constraint: &Constraint) -> u8 {
        match constraint.parent {
            // Its own name is kept only when it is there before the parent's.
            Some(_) => phase::FOREIGN_KEY_OF_PARTITION,
            None if self.tables.contains_key(&constraint.foreign_table) => phase::FOREIGN_KEY,
            None => phase::SHARED_FOREIGN_KEY,
        }
    }

    pub(super) fn indexes(&mut self) {
        let of_constraints: HashSet<u32> = self
            .found
            .tables
            .constraints
            .iter()
            .filter(|constraint| constraint.kind != "f")
            .map(|constraint| constraint.index)
            .collect();
        for index in &self.found.tables.indexes {
            let name = Ident(&index.name);
            let itself = || vec![class("pg_class", index.oid)];
            let of_constraint = of_constraints.contains(&index.oid);
            if !of_constraint {
                let sql = match &index.tablespace {
                    Some(space) => in_tablespace(space, &index.definition),
                    None => index.definition.clone(),
                };
                let mut needs = self.attached(index.table);
                needs.push(class("pg_class", index.table));
                let statement = Statement::Draft(draft(sql));
                let node = self.node(
                    ObjectKind::Index,
                    phase::INDEX,
                    &index.name,
                    statement,
                    needs,
                );
                self.graph.creates(node, "pg_class", index.oid);
            }
            // The definition of a constraint leaves the parameters of its index out.
            let head = format!("ALTER INDEX {name}");
            if let (Some(options), true) = (&index.options, of_constraint) {
                let action = format!("SET ({options})");
                self.alter(
                    ObjectKind::Property,
                    phase::AFTER_INDEX,
                    &head,
                    &action,
                    itself(),
                );
            }
            let statistics = self.found.tables.index_statistics.iter();
            for setting in statistics.filter(|s| s.index == index.oid) {
                let action = format!(
                    "ALTER COLUMN {} SET STATISTICS {}",
                    setting.column, setting.target
                );
                self.alter(
                    ObjectKind::Property,
                    phase::AFTER_INDEX,
                    &head,
                    &action,
                    itself(),
                );
            }
            let mut indexes = self.found.tables.indexes.iter();
            if let Some(parent) = index.parent
                && let Some(parent_index) = indexes.find(|other| other.oid == parent)
            {
                let mut needs = itself();
                needs.push(class("pg_class", parent));
                needs.push(class("attached", index.table));
                let sql = format!(
                    "ALTER INDEX {} ATTACH PARTITION {name}",
                    Ident(&parent_index.name)
                );
                let statement = Statement::Draft(draft(sql));
                let node = self.node(
                    ObjectKind::Index,
                    phase::ATTACH_INDEX,
                    &index.name,
                    statement,
                    needs,
                );
                self.graph.creates(node, "attached index", index.oid);
            }
            let relation = self
                .tables
                .get(&index.table)
                .map(|table| table.name.as_str());
            let mut views = self.found.defines.views.iter();
            let view = views.find(|view| view.oid == index.table);
            let relation = relation.or(view.map(|view| view.name.as_str()));
            if let Some(relation) = relation {
                let head = format!("ALTER TABLE ONLY {}", Ident(relation));
                let mut needs = itself();
                needs.push(class("attached index", index.oid));
                if index.clustered {
                    let action = format!("CLUSTER ON {name}");
                    self.alter(
                        ObjectKind::Property,
                        phase::AFTER_INDEX,
                        &head,
                        &action,
                        needs.clone(),
                    );
                }
                if index.replica_identity {
                    let action = format!("REPLICA IDENTITY USING INDEX {name}");
                    self.alter(
                        ObjectKind::Property,
                        phase::AFTER_INDEX,
                        &head,
                        &action,
                        needs,
                    );
                }
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

/// The server's definitions leave out where an index is.
fn in_tablespace(tablespace: &str, sql: &str) -> String {
    format!(
        "SET LOCAL default_tablespace TO {};\n{sql};\nSET LOCAL default_tablespace TO ''",
        Literal(tablespace)
    )
}
