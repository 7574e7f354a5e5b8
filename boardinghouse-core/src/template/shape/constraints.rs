//! Views, constraints and indexes.

use std::collections::HashMap;

use super::{Alter, Key, Maker, PartKind, bare};
use crate::{catalog::tables::Constraint, sql::Ident};

impl Maker<'_, '_> {
    pub(super) fn views(&mut self) {
        for view in &self.found.defines.views {
            let name = bare(&view.name);
            let (kind, word) = match view.materialized {
                true => (PartKind::MaterializedView, "MATERIALIZED VIEW"),
                false => (PartKind::View, "VIEW"),
            };
            let make = format!("CREATE {word} {name}{}", view.definition);
            let drop = format!("DROP {word} IF EXISTS {name}");
            let part = self.add(
                kind,
                &view.name,
                &make,
                std::slice::from_ref(&make),
                &[drop],
            );
            part.address = Some(format!("{word} {name}"));
            let itself = Some((kind, view.name.clone()));
            let columns = self.found.tables.columns.iter();
            for column in columns.filter(|column| column.table == view.oid) {
                let label = format!("{}.{}", view.name, column.name);
                let alter = format!("ALTER {word} {name} ALTER COLUMN {}", bare(&column.name));
                if let Some(expression) = &column.expression {
                    let make = format!("{alter} SET DEFAULT {expression}");
                    let unmake = format!("{alter} DROP DEFAULT");
                    let part = self.set(PartKind::Default, &label, expression, make, unmake);
                    part.within.clone_from(&itself);
                    part.about = Some(format!("{word} {name}"));
                }
                if view.materialized {
                    self.column_settings(&label, column, &alter, itself.clone());
                }
            }
        }
    }

    pub(super) fn constraints(&mut self) {
        for constraint in &self.found.tables.constraints {
            let name = bare(&constraint.name);
            let domains = &self.found.defines.domains;
            let domain = constraint
                .domain
                .and_then(|oid| domains.iter().find(|d| d.oid == oid));
            let table = constraint
                .table
                .and_then(|oid| self.tables.get(&oid).copied());
            let (on, word, within) = match (table, domain) {
                (Some(table), _) => (table.name.clone(), "TABLE", PartKind::Table),
                (_, Some(domain)) => (domain.name.clone(), "DOMAIN", PartKind::Type),
                _ => continue,
            };
            self.constraint(constraint, &name, &on, word, (within, on.clone()));
        }
    }

    pub(super) fn constraint(
        &mut self,
        constraint: &Constraint,
        name: &str,
        on: &str,
        word: &str,
        within: Key,
    ) {
        let kind = match constraint.kind.as_str() {
            "f" => PartKind::ForeignKey,
            _ => PartKind::Constraint,
        };
        let alter = format!("ALTER {word} {}", bare(on));
        let make = format!("{alter} ADD CONSTRAINT {name} {}", constraint.definition);
        let drop = format!("{alter} DROP CONSTRAINT IF EXISTS {name}");
        let its_own = constraint.local && constraint.parent.is_none();
        let local = if its_own { "" } else { " (inherited)" };
        let label = format!("{} on {on}", constraint.name);
        let (make, unmake) = match its_own {
            true => (vec![make], vec![drop]),
            false => (Vec::new(), Vec::new()),
        };
        let definition = format!("{}{local}", constraint.definition);
        let part = self.add(kind, &label, &definition, &make, &unmake);
        part.within = Some(within);
        let of = if word == "DOMAIN" { "DOMAIN " } else { "" };
        part.address = Some(format!("CONSTRAINT {name} ON {of}{}", bare(on)));
        if !its_own {
            part.alter = Alter::ByHand;
        }
    }

    pub(super) fn indexes(&mut self) {
        use PartKind as K;
        let constraints = self.found.tables.constraints.iter();
        let of_constraints: HashMap<u32, &Constraint> = constraints
            .filter(|constraint| constraint.kind != "f")
            .map(|constraint| (constraint.index, constraint))
            .collect();
        for index in &self.found.tables.indexes {
            let name = bare(&index.name);
            let table = self
                .tables
                .get(&index.table)
                .map(|table| table.name.clone());
            let mut views = self.found.defines.views.iter();
            let view = views
                .find(|view| view.oid == index.table)
                .map(|view| view.name.clone());
            let Some(relation) = table.or(view) else {
                continue;
            };
            let on = self.relation(&relation);
            let alter = format!("ALTER INDEX {name}");
            let itself = match of_constraints.get(&index.oid) {
                Some(constraint) => (K::Constraint, format!("{} on {relation}", constraint.name)),
                None => {
                    let mut definition = index.definition.clone();
                    if let Some(space) = &index.tablespace {
                        definition.push_str(&format!(" TABLESPACE {}", Ident(space)));
                    }
                    let drop = format!("DROP INDEX IF EXISTS {name}");
                    let make = [index.definition.clone()];
                    let part = self.add(K::Index, &index.name, &definition, &make, &[drop]);
                    part.within.clone_from(&on);
                    part.address = Some(format!("INDEX {name}"));
                    if index.parent.is_some() {
                        part.alter = Alter::ByHand;
                        part.unmake.clear();
                    }
                    (K::Index, index.name.clone())
                }
            };
            let mut indexes = self.found.tables.indexes.iter();
            let parent = indexes.find(|other| index.parent == Some(other.oid));
            if let Some(parent) = parent {
                let make = format!("ALTER INDEX {} ATTACH PARTITION {name}", bare(&parent.name));
                let label = format!("index {}", index.name);
                let part = self.add(
                    K::Inheritance,
                    &label,
                    &make,
                    std::slice::from_ref(&make),
                    &[],
                );
                part.within = Some(itself.clone());
                part.alter = Alter::ByHand;
            }
            if let (Some(options), true) = (&index.options, itself.0 == K::Constraint) {
                self.options(&index.name, &alter, options, Some(itself.clone()));
            }
            let statistics = self.found.tables.index_statistics.iter();
            for one in statistics.filter(|one| one.index == index.oid) {
                let label = format!("{} {}", index.name, one.column);
                let make = format!(
                    "{alter} ALTER COLUMN {} SET STATISTICS {}",
                    one.column, one.target
                );
                let unmake = format!("{alter} ALTER COLUMN {} SET STATISTICS -1", one.column);
                let part = self.set(K::Statistics, &label, &one.target.to_string(), make, unmake);
                part.within = Some(itself.clone());
                part.about = Some(format!("INDEX {name}"));
            }
            if index.clustered {
                let label = format!("{relation} cluster");
                let make = format!("ALTER TABLE {} CLUSTER ON {name}", bare(&relation));
                let unmake = format!("ALTER TABLE {} SET WITHOUT CLUSTER", bare(&relation));
                let part = self.set(
                    K::Storage,
                    &label,
                    &format!("CLUSTER ON {name}"),
                    make,
                    unmake,
                );
                part.within.clone_from(&on);
                part.about = Some(format!("INDEX {name}"));
            }
        }
    }
}
