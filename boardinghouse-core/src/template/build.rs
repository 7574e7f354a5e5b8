//! Turns the definitions in a schema into things to be created.
//!
//! Pure: nothing here talks to the server. Names are written bare and always quoted.

mod about;
mod constraints;
mod tables;

use std::collections::{HashMap, HashSet};

use self::tables::column_settings;
pub(super) use self::{about::grantable_name, tables::identity_clause};
use super::{
    graph::{ADDED_TO_FAMILY, Draft, Fragment, Graph, Node, Statement, draft},
    plan::ObjectKind,
    rows::TableRows,
};
use crate::{
    catalog::{
        Object,
        address::Addresses,
        define::{Defined, Defines},
        tables::{Column, Table, Tables},
    },
    sql::{Ident, Literal},
};

/// Everything that was read of a schema.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) tables: Tables,
    pub(super) defines: Defines,
    pub(super) addresses: Addresses,
}

impl Found {
    /// The names of everything that a name in the schema can lead to.
    pub(super) fn names(&self) -> HashSet<&str> {
        let tables = &self.tables;
        let defines = &self.defines;
        let types = [
            &defines.enums,
            &defines.composites,
            &defines.domains,
            &defines.ranges,
        ];
        let others = [
            &defines.collations,
            &defines.configurations,
            &defines.dictionaries,
            &defines.parsers,
            &defines.templates,
            &defines.statistics,
        ];
        let defined = types.into_iter().chain(others).flatten();
        tables
            .tables
            .iter()
            .map(|table| table.name.as_str())
            .chain(tables.sequences.iter().map(|it| it.name.as_str()))
            .chain(tables.indexes.iter().map(|it| it.name.as_str()))
            .chain(defines.views.iter().map(|it| it.name.as_str()))
            .chain(defines.routines.iter().map(|it| it.bare_name.as_str()))
            .chain(defines.aggregates.iter().map(|it| it.bare_name()))
            .chain(defined.map(|it| it.name.as_str()))
            .collect()
    }
}

/// The order of things where nothing else decides it.
mod phase {
    pub(super) const COLLATION: u8 = 0;
    pub(super) const TYPE: u8 = 1;
    pub(super) const ROUTINE: u8 = 2;
    pub(super) const OPERATOR: u8 = 3;
    pub(super) const CLASS: u8 = 4;
    pub(super) const SEQUENCE: u8 = 5;
    pub(super) const TABLE: u8 = 6;
    pub(super) const ATTACH: u8 = 7;
    pub(super) const PROPERTY: u8 = 8;
    pub(super) const VIEW: u8 = 9;
    pub(super) const ROWS: u8 = 10;
    pub(super) const INDEX: u8 = 11;
    pub(super) const ATTACH_INDEX: u8 = 12;
    pub(super) const MATERIALIZED: u8 = 13;
    pub(super) const AFTER_INDEX: u8 = 14;
    pub(super) const STATISTICS: u8 = 15;
    pub(super) const RULE: u8 = 16;
    pub(super) const STATE: u8 = 17;
    pub(super) const FOREIGN_KEY_OF_PARTITION: u8 = 18;
    pub(super) const FOREIGN_KEY: u8 = 19;
    pub(super) const POSITION: u8 = 20;
    /// Who is to own an object must be allowed to create some.
    pub(super) const PRIVILEGE_OF_SCHEMA: u8 = 21;
    pub(super) const OWNER: u8 = 22;
    pub(super) const PRIVILEGE: u8 = 23;
    pub(super) const COMMENT: u8 = 24;
    /// Those lock tables that all tenants use until the end of the transaction.
    pub(super) const SHARED_FOREIGN_KEY: u8 = 25;
    pub(super) const LAST_COMMENT: u8 = 26;
}

/// Builds the graph of what is to be created.
#[derive(Debug)]
pub(super) struct Builder<'a> {
    found: &'a Found,
    tables: HashMap<u32, &'a Table>,
    columns: HashMap<u32, Vec<&'a Column>>,
    parents: HashMap<u32, Vec<u32>>,
    /// The tables that are created with what their parents have.
    created: HashSet<u32>,
    rows: HashSet<&'a str>,
    graph: Graph,
    refusals: Vec<String>,
}

/// How a child gets what its parents have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Inheritance {
    None,
    /// `CREATE TABLE … INHERITS`.
    Created,
    /// A table of its own that becomes a child, or a partition, later.
    Attached,
}

impl<'a> Builder<'a> {
    pub(super) fn new(found: &'a Found) -> Self {
        let mut columns: HashMap<u32, Vec<&Column>> = HashMap::new();
        for column in &found.tables.columns {
            columns.entry(column.table).or_default().push(column);
        }
        let mut parents: HashMap<u32, Vec<u32>> = HashMap::new();
        for parent in &found.tables.parents {
            parents.entry(parent.child).or_default().push(parent.parent);
        }
        Self {
            found,
            tables: found.tables.tables.iter().map(|t| (t.oid, t)).collect(),
            columns,
            parents,
            created: HashSet::new(),
            rows: HashSet::new(),
            graph: Graph::default(),
            refusals: Vec::new(),
        }
    }

    /// Every table that holds rows itself, with those of its columns that hold values of their own.
    pub(super) fn tables_with_columns(&self) -> Vec<(&'a str, Vec<&'a Column>)> {
        let tables = self.found.tables.tables.iter();
        tables
            .filter(|table| table.kind == "r")
            .map(|table| {
                let columns = self.columns.get(&table.oid).into_iter().flatten();
                let columns = columns.copied();
                let columns = columns.filter(|column| column.generated.is_empty());
                (table.name.as_str(), columns.collect())
            })
            .collect()
    }

    /// The graph of everything, with these rows, or what cannot be cloned.
    pub(super) fn build(mut self, rows: &[TableRows<'a>]) -> Result<Graph, Vec<String>> {
        self.rows = rows.iter().map(|rows| rows.table).collect();
        self.defined();
        self.routines();
        self.sequences();
        let tables = &self.found.tables.tables;
        let inheritances: Vec<Inheritance> = tables.iter().map(|t| self.inheritance(t)).collect();
        for (table, inheritance) in tables.iter().zip(&inheritances) {
            if *inheritance == Inheritance::Created {
                self.created.insert(table.oid);
            }
        }
        for (table, inheritance) in tables.iter().zip(inheritances) {
            self.table(table, inheritance);
        }
        self.views();
        self.constraints();
        self.indexes();
        for rows in rows {
            let table = self.table_named(rows.table);
            self.node(
                ObjectKind::Rows,
                phase::ROWS,
                rows.table,
                Statement::Draft(rows.draft()),
                table.into_iter().collect(),
            );
        }
        self.positions();
        self.addresses();
        match self.refusals.is_empty() {
            true => Ok(self.graph),
            false => Err(self.refusals),
        }
    }

    fn table_named(&self, name: &str) -> Option<Object> {
        let table = self.found.tables.tables.iter().find(|t| t.name == name)?;
        Some(class("pg_class", table.oid))
    }

    fn node(
        &mut self,
        kind: ObjectKind,
        phase: u8,
        name: &str,
        statement: Statement,
        needs: Vec<Object>,
    ) -> usize {
        self.graph.push(Node {
            kind,
            phase,
            name: name.to_owned(),
            statement,
            needs,
            inline: None,
        })
    }

    fn alter(&mut self, kind: ObjectKind, phase: u8, head: &str, action: &str, needs: Vec<Object>) {
        let statement = Statement::Alter {
            head: head.to_owned(),
            action: action.to_owned(),
        };
        self.node(kind, phase, head, statement, needs);
    }

    /// What the server has put together itself.
    fn defined(&mut self) {
        use ObjectKind as K;
        let d = &self.found.defines;
        let groups: [(&[Defined], &str, K, u8); 18] = [
            (
                &d.collations,
                "pg_collation",
                K::Collation,
                phase::COLLATION,
            ),
            (&d.enums, "pg_type", K::Type, phase::TYPE),
            (&d.composites, "pg_type", K::Type, phase::TYPE),
            (&d.ranges, "pg_type", K::Type, phase::TYPE),
            (&d.aggregates, "pg_proc", K::Function, phase::ROUTINE),
            (&d.operators, "pg_operator", K::Operator, phase::OPERATOR),
            (&d.families, "pg_opfamily", K::Operator, phase::OPERATOR),
            (&d.classes, "pg_opclass", K::Operator, phase::CLASS),
            (&d.casts, "pg_cast", K::Cast, phase::CLASS),
            (
                &d.conversions,
                "pg_conversion",
                K::Conversion,
                phase::OPERATOR,
            ),
            (&d.parsers, "pg_ts_parser", K::TextSearch, phase::OPERATOR),
            (
                &d.templates,
                "pg_ts_template",
                K::TextSearch,
                phase::OPERATOR,
            ),
            (
                &d.dictionaries,
                "pg_ts_dict",
                K::TextSearch,
                phase::OPERATOR,
            ),
            (
                &d.configurations,
                "pg_ts_config",
                K::TextSearch,
                phase::CLASS,
            ),
            (
                &d.statistics,
                "pg_statistic_ext",
                K::Statistics,
                phase::STATISTICS,
            ),
            (&d.rules, "pg_rewrite", K::Rule, phase::RULE),
            (&d.policies, "pg_policy", K::Policy, phase::RULE),
            (&d.triggers, "pg_trigger", K::Trigger, phase::RULE),
        ];
        for (all, catalog, kind, phase) in groups {
            for one in all {
                let node = self.node(
                    kind,
                    phase,
                    &one.name,
                    Statement::Draft(draft(one.sql.as_str())),
                    Vec::new(),
                );
                self.graph.creates(node, catalog, one.oid);
            }
        }
        for domain in &d.domains {
            let list = Statement::List {
                head: domain.sql.clone(),
                columns: Vec::new(),
                tail: String::new(),
                empty: "",
            };
            let node = self.node(K::Type, phase::TYPE, &domain.name, list, Vec::new());
            self.graph.creates(node, "pg_type", domain.oid);
        }
        // What comes on top of something that is there.
        let additions: [(&[Defined], &str, K, u8); 5] = [
            (&d.loose, "pg_opfamily", K::Operator, phase::CLASS),
            (&d.mappings, "pg_ts_config", K::TextSearch, phase::CLASS),
            (
                &d.statistics_targets,
                "pg_statistic_ext",
                K::Property,
                phase::STATE,
            ),
            (&d.trigger_states, "pg_trigger", K::Property, phase::STATE),
            (&d.rule_states, "pg_rewrite", K::Property, phase::STATE),
        ];
        for (all, catalog, kind, phase) in additions {
            for one in all {
                let statement = Statement::Draft(draft(one.sql.as_str()));
                let needs = vec![class(catalog, one.oid)];
                let node = self.node(kind, phase, &one.name, statement, needs);
                if catalog == "pg_opfamily" {
                    self.graph.creates(node, ADDED_TO_FAMILY, one.oid);
                }
            }
        }
    }

    fn routines(&mut self) {
        for routine in &self.found.defines.routines {
            let mut text: Draft = draft(routine.head.as_str());
            for setting in &routine.settings {
                if let Some((name, value)) = setting.split_once('=') {
                    text.push(Fragment::Setting {
                        name: name.to_owned(),
                        value: value.to_owned(),
                    });
                }
            }
            match (&routine.parsed_body, &routine.file) {
                (Some(body), _) => text.push(Fragment::Expression(format!(" {body}"))),
                (None, Some(file)) => text.push(Fragment::Expression(format!(
                    " AS {}, {}",
                    Literal(file),
                    Literal(&routine.body)
                ))),
                (None, None) => {
                    text.push(Fragment::Expression(" AS ".to_owned()));
                    text.push(Fragment::Body {
                        language: routine.language.clone(),
                        text: routine.body.clone(),
                    });
                }
            }
            let node = self.node(
                ObjectKind::Function,
                phase::ROUTINE,
                &routine.name,
                Statement::Draft(text),
                Vec::new(),
            );
            self.graph.creates(node, "pg_proc", routine.oid);
        }
    }

    fn sequences(&mut self) {
        for sequence in &self.found.tables.sequences {
            if sequence.identity {
                continue;
            }
            let name = Ident(&sequence.name);
            let node = self.node(
                ObjectKind::Sequence,
                phase::SEQUENCE,
                &sequence.name,
                Statement::Draft(draft(format!(
                    "CREATE {}SEQUENCE {name} AS {} {}",
                    if sequence.unlogged { "UNLOGGED " } else { "" },
                    sequence.type_name,
                    sequence.options,
                ))),
                Vec::new(),
            );
            self.graph.creates(node, "pg_class", sequence.oid);
            let owner = sequence.table.zip(sequence.column);
            if let Some((table, number)) = owner
                && let Some(column) = self.column_name(table, number)
            {
                self.node(
                    ObjectKind::Owner,
                    phase::PROPERTY,
                    &sequence.name,
                    Statement::Draft(draft(format!("ALTER SEQUENCE {name} OWNED BY {column}"))),
                    vec![class("pg_class", sequence.oid), class("pg_class", table)],
                );
            }
        }
    }

    fn views(&mut self) {
        for view in &self.found.defines.views {
            let name = Ident(&view.name);
            let (kind, phase, statement) = match view.materialized {
                false => (
                    ObjectKind::View,
                    phase::VIEW,
                    Statement::View {
                        head: format!("VIEW {name}"),
                        definition: view.definition.clone(),
                        stand_in: view.stand_in.clone(),
                    },
                ),
                true => (
                    ObjectKind::MaterializedView,
                    phase::MATERIALIZED,
                    Statement::Draft(draft(format!(
                        "CREATE MATERIALIZED VIEW {name}{}",
                        view.definition
                    ))),
                ),
            };
            let node = self.node(kind, phase, &view.name, statement, Vec::new());
            self.graph.creates(node, "pg_class", view.oid);
            let columns = self.columns.get(&view.oid).cloned().unwrap_or_default();
            for column in columns {
                let mut actions = Vec::new();
                if let (Some(expression), Some(oid)) = (&column.expression, column.default_oid) {
                    let action = format!(
                        "ALTER COLUMN {} SET DEFAULT {expression}",
                        Ident(&column.name)
                    );
                    let statement = Statement::Alter {
                        head: format!("ALTER VIEW {name}"),
                        action,
                    };
                    let needs = vec![class("pg_class", view.oid)];
                    let node = self.node(
                        ObjectKind::Default,
                        phase::STATE,
                        &view.name,
                        statement,
                        needs,
                    );
                    self.graph.creates(node, "pg_attrdef", oid);
                }
                if view.materialized {
                    actions.extend(column_settings(column, None));
                }
                for action in actions {
                    let head = format!("ALTER MATERIALIZED VIEW {name}");
                    let needs = vec![class("pg_class", view.oid)];
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
        // Types of rows come with what has the rows, as their arrays do; the rule of a view is the view.
    }

    fn positions(&mut self) {
        for value in &self.found.tables.values {
            let mut sequences = self.found.tables.sequences.iter();
            let Some(sequence) = sequences.find(|s| s.oid == value.oid) else {
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
                let statement = Statement::Draft(vec![Fragment::Data(sql)]);
                let needs = vec![class("pg_class", sequence.oid)];
                let phase = phase::POSITION;
                self.node(
                    ObjectKind::Position,
                    phase,
                    &sequence.name,
                    statement,
                    needs,
                );
            }
        }
    }
}

fn class(class: &str, oid: u32) -> Object {
    (class.to_owned(), oid)
}
