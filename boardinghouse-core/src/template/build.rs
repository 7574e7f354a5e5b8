//! Turns the definitions in a schema into things to be created.
//!
//! Pure: nothing here talks to the server. Names are written bare and always quoted.

use std::collections::{HashMap, HashSet};

use super::{
    graph::{Draft, Fragment, Graph, Inline, Node, Statement, draft},
    plan::ObjectKind,
    rows::TableRows,
};
use crate::{
    catalog::{
        Object,
        address::{Addresses, Privilege},
        define::{Defined, Defines},
        tables::{Column, Constraint, Table, Tables},
    },
    sql::{Ident, Literal},
};

/// Stands for a catalog: what is added to an operator family once it is there.
pub(super) const ADDED_TO_FAMILY: &str = "added to pg_opfamily";

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
    pub(super) const OWNER: u8 = 21;
    pub(super) const PRIVILEGE: u8 = 22;
    pub(super) const COMMENT: u8 = 23;
    /// Those lock tables that all tenants use until the end of the transaction.
    pub(super) const SHARED_FOREIGN_KEY: u8 = 24;
    pub(super) const LAST_COMMENT: u8 = 25;
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

    fn parents_of(&self, table: u32) -> &[u32] {
        self.parents.get(&table).map_or(&[], Vec::as_slice)
    }

    /// A table that is attached to what it is a partition of, and its partitions to it: what is created on
    /// it before that is created on each of them as they are attached.
    fn attached(&self, table: u32) -> Vec<Object> {
        let parents = self.found.tables.parents.iter();
        parents
            .filter(|parent| parent.parent == table)
            .map(|parent| parent.child)
            .chain([table])
            .map(|oid| class("attached", oid))
            .collect()
    }

    /// The same column of the parents.
    fn inherited_columns(&self, column: &Column) -> Vec<&'a Column> {
        let parents = self.parents_of(column.table).iter();
        parents
            .filter_map(|parent| {
                let columns = self.columns.get(parent)?;
                columns.iter().copied().find(|c| c.name == column.name)
            })
            .collect()
    }

    fn inheritance(&mut self, table: &Table) -> Inheritance {
        let parents = self.parents_of(table.oid).to_vec();
        if parents.is_empty() {
            return Inheritance::None;
        }
        if table.bound.is_some() {
            return Inheritance::Attached;
        }
        // What the parents have comes first, then what the table adds.
        let mut expected: Vec<&str> = Vec::new();
        let own = self.columns.get(&table.oid).cloned().unwrap_or_default();
        let theirs = parents.iter().filter_map(|p| self.columns.get(p)).flatten();
        for column in theirs.chain(&own) {
            if !expected.contains(&column.name.as_str()) {
                expected.push(&column.name);
            }
        }
        if own.iter().map(|c| c.name.as_str()).eq(expected) {
            return Inheritance::Created;
        }
        if !own.iter().all(|column| column.local) {
            self.refusals.push(format!(
                "table {}: the order of its inherited columns cannot be cloned",
                table.name
            ));
        }
        Inheritance::Attached
    }

    fn table(&mut self, table: &'a Table, inheritance: Inheritance) {
        let name = Ident(&table.name);
        let created = inheritance == Inheritance::Created;
        let columns = self.columns.get(&table.oid).cloned().unwrap_or_default();
        let mut head = format!(
            "CREATE {}TABLE {name}",
            if table.unlogged { "UNLOGGED " } else { "" }
        );
        if let Some(of_type) = &table.of_type {
            head.push_str(&format!(" OF {of_type}"));
        }
        let mut tail = String::new();
        let parents = self.parents_of(table.oid).to_vec();
        let names: Vec<String> = parents
            .iter()
            .filter_map(|parent| self.tables.get(parent))
            .map(|parent| Ident(&parent.name).to_string())
            .collect();
        if created {
            tail.push_str(&format!(" INHERITS ({})", names.join(", ")));
        }
        if let Some(key) = &table.partition_key {
            tail.push_str(&format!(" PARTITION BY {key}"));
        }
        if let Some(method) = &table.access_method {
            tail.push_str(&format!(" USING {}", Ident(method)));
        }
        if let Some(options) = &table.options {
            tail.push_str(&format!(" WITH ({options})"));
        }
        if let Some(tablespace) = &table.tablespace {
            tail.push_str(&format!(" TABLESPACE {}", Ident(tablespace)));
        }

        let needs = match created {
            true => parents.iter().map(|&p| class("pg_class", p)).collect(),
            false => Vec::new(),
        };
        let node = self.node(
            ObjectKind::Table,
            phase::TABLE,
            &table.name,
            Statement::Nothing,
            needs,
        );
        self.graph.creates(node, "pg_class", table.oid);
        let mut texts = Vec::new();
        let only = format!("ALTER TABLE ONLY {name}");
        let mut settings = Vec::new();
        for column in &columns {
            let inherited = created && !column.local;
            let place = texts.len();
            if !inherited {
                texts.extend(self.column(table, column, node, place));
            }
            if created && !self.inherited_columns(column).is_empty() {
                self.inherited_default(column, node, &only);
            }
            if inherited {
                let theirs = self.inherited_columns(column);
                if column.not_null
                    && !self.found.tables.not_null_is_a_constraint
                    && !theirs.iter().any(|c| c.not_null)
                {
                    settings.push(format!("ALTER COLUMN {} SET NOT NULL", Ident(&column.name)));
                }
            }
            let base = match inherited {
                true => self.inherited_columns(column).first().copied(),
                false => None,
            };
            settings.extend(column_settings(column, base));
        }
        self.graph.nodes[node].statement = Statement::List {
            head,
            columns: texts,
            tail,
            empty: if table.of_type.is_some() { "" } else { " ()" },
        };
        let itself = || vec![class("pg_class", table.oid)];
        if !settings.is_empty() {
            let action = settings.join(", ");
            self.alter(
                ObjectKind::Property,
                phase::PROPERTY,
                &only,
                &action,
                itself(),
            );
        }
        if inheritance == Inheritance::Attached {
            let needs = parents
                .iter()
                .chain([&table.oid])
                .map(|&oid| class("pg_class", oid))
                .collect::<Vec<_>>();
            let statement = match (&table.bound, names.first()) {
                (Some(bound), Some(parent)) => Statement::Draft(draft(format!(
                    "ALTER TABLE ONLY {parent} ATTACH PARTITION {name} {bound}"
                ))),
                _ => Statement::Alter {
                    head: only.clone(),
                    action: names
                        .iter()
                        .map(|parent| format!("INHERIT {parent}"))
                        .collect::<Vec<_>>()
                        .join(", "),
                },
            };
            let attach = self.node(
                ObjectKind::Table,
                phase::ATTACH,
                &table.name,
                statement,
                needs,
            );
            self.graph.creates(attach, "attached", table.oid);
        }
        let mut later = Vec::new();
        if table.row_security {
            later.push("ENABLE ROW LEVEL SECURITY");
        }
        if table.forced_row_security {
            later.push("FORCE ROW LEVEL SECURITY");
        }
        match table.replica_identity.as_str() {
            "f" => later.push("REPLICA IDENTITY FULL"),
            "n" => later.push("REPLICA IDENTITY NOTHING"),
            "i" if !self.has_replica_index(table.oid) => self.refusals.push(format!(
                "table {}: a replica identity whose index is gone cannot be cloned",
                table.name
            )),
            _ => {}
        }
        for action in later {
            self.alter(ObjectKind::Property, phase::RULE, &only, action, itself());
        }
    }

    fn has_replica_index(&self, table: u32) -> bool {
        let mut indexes = self.found.tables.indexes.iter();
        indexes.any(|index| index.table == table && index.replica_identity)
    }

    /// A column as CREATE TABLE says it; its default is a node of its own.
    fn column(
        &mut self,
        table: &Table,
        column: &Column,
        node: usize,
        place: usize,
    ) -> Option<String> {
        let name = Ident(&column.name);
        let typed = table.of_type.is_some();
        let mut sql = match typed {
            true => format!("{name} WITH OPTIONS"),
            false => format!("{name} {}", column.type_name),
        };
        let bare = sql.len();
        if let (Some(collation), false) = (&column.collation, typed) {
            sql.push_str(&format!(" COLLATE {collation}"));
        }
        let mut has_default = false;
        if let (Some(expression), Some(oid)) = (&column.expression, column.default_oid) {
            match column.generated.as_str() {
                "" => {
                    has_default = true;
                    let default = self.graph.push(Node {
                        kind: ObjectKind::Default,
                        phase: phase::PROPERTY,
                        name: format!("{} {}", table.name, column.name),
                        statement: Statement::Alter {
                            head: format!("ALTER TABLE ONLY {}", Ident(&table.name)),
                            action: format!("ALTER COLUMN {name} SET DEFAULT {expression}"),
                        },
                        needs: vec![class("pg_class", table.oid)],
                        inline: Some(Inline {
                            into: node,
                            column: Some(place),
                            text: format!(" DEFAULT {expression}"),
                        }),
                    });
                    self.graph.creates(default, "pg_attrdef", oid);
                }
                generated => {
                    let kind = if generated == "v" {
                        "VIRTUAL"
                    } else {
                        "STORED"
                    };
                    sql.push_str(&format!(" GENERATED ALWAYS AS ({expression}) {kind}"));
                    self.graph.creates(node, "pg_attrdef", oid);
                }
            }
        }
        let sequences = &self.found.tables.sequences;
        let identity = sequences.iter().find(|sequence| {
            sequence.identity
                && sequence.table == Some(table.oid)
                && sequence.column == Some(column.number)
        });
        if let Some(sequence) = identity {
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
            self.graph.creates(node, "pg_class", sequence.oid);
        }
        if column.not_null && !self.found.tables.not_null_is_a_constraint {
            sql.push_str(" NOT NULL");
        }
        (!typed || has_default || sql.len() > bare).then_some(sql)
    }

    /// What a column's default is when its table has just been created.
    fn default_at_first(&self, column: &Column) -> Option<&'a str> {
        let created = self.created.contains(&column.table);
        let columns = self.columns.get(&column.table).into_iter().flatten();
        let own = columns.copied().find(|own| own.number == column.number);
        let own = own.and_then(|own| own.expression.as_deref());
        if !created || column.local && own.is_some() {
            return own;
        }
        let theirs = self.inherited_columns(column).into_iter();
        theirs
            .filter_map(|theirs| self.default_at_first(theirs))
            .next()
    }

    /// The default of a column that a parent has, too, where it is not the parent's.
    fn inherited_default(&mut self, column: &Column, node: usize, only: &str) {
        let theirs = self.inherited_columns(column);
        let name = Ident(&column.name);
        if let (Some(oid), false) = (column.default_oid, column.local) {
            self.graph.creates(node, "pg_attrdef", oid);
        }
        if self.default_at_first(column) == column.expression.as_deref() {
            return;
        }
        let is_generated = |column: &Column| !column.generated.is_empty();
        if is_generated(column) || theirs.iter().copied().any(is_generated) {
            self.refusals.push(format!(
                "column {}: a generated value unlike that of its parent cannot be cloned",
                column.name
            ));
            return;
        }
        let action = match &column.expression {
            Some(expression) => format!("ALTER COLUMN {name} SET DEFAULT {expression}"),
            None => format!("ALTER COLUMN {name} DROP DEFAULT"),
        };
        let needs = vec![class("pg_class", column.table)];
        // Its default may need more than the table; then it is read from the table's references.
        self.alter(ObjectKind::Default, phase::PROPERTY, only, &action, needs);
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

    fn constraints(&mut self) {
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
    fn made_by<'c>(&'c self, constraint: &'c Constraint) -> &'c Constraint {
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

    fn domain_constraint(&mut self, constraint: &Constraint, domain: u32) {
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

    fn table_constraint(&mut self, constraint: &Constraint, table: &Table, first: bool) {
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
            inline: inline.then(|| Inline {
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
    fn foreign_key(&self, constraint: &Constraint) -> u8 {
        match constraint.parent {
            // Its own name is kept only when it is there before the parent's.
            Some(_) => phase::FOREIGN_KEY_OF_PARTITION,
            None if self.tables.contains_key(&constraint.foreign_table) => phase::FOREIGN_KEY,
            None => phase::SHARED_FOREIGN_KEY,
        }
    }

    fn indexes(&mut self) {
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

    fn addresses(&mut self) {
        let found = &self.found.addresses;
        for owned in &found.owned {
            let sql = format!("ALTER {} OWNER TO {}", owned.object, owned.owner);
            let statement = Statement::Draft(draft(sql));
            self.node(
                ObjectKind::Owner,
                phase::OWNER,
                &owned.object,
                statement,
                Vec::new(),
            );
        }
        self.privileges();
        for default in &found.default_privileges {
            let statement = Statement::Draft(vec![
                Fragment::Expression(format!(
                    "ALTER DEFAULT PRIVILEGES FOR ROLE {} IN SCHEMA ",
                    default.role
                )),
                Fragment::Schema,
                Fragment::Expression(format!(" {}", default.grant)),
            ]);
            let kind = ObjectKind::Privilege;
            self.node(kind, phase::PRIVILEGE, "~", statement, Vec::new());
        }
        let late: HashSet<String> = self
            .found
            .tables
            .constraints
            .iter()
            .filter(|constraint| constraint.kind == "f")
            .filter(|constraint| !self.tables.contains_key(&constraint.foreign_table))
            .filter_map(|constraint| {
                let table = self.tables.get(&constraint.table?)?;
                Some((constraint, *table))
            })
            .map(|(constraint, table)| {
                let (name, table) = (bare(&constraint.name), bare(&table.name));
                format!("CONSTRAINT {name} ON {table}")
            })
            .collect();
        for comment in &found.comments {
            let mut text = draft(format!("COMMENT ON {}", comment.object));
            if comment.object == "SCHEMA" {
                text.push(Fragment::Expression(" ".to_owned()));
                text.push(Fragment::Schema);
            }
            text.push(Fragment::Data(format!(" IS {}", Literal(&comment.text))));
            let phase = match late.contains(&unquoted(&comment.object)) {
                true => phase::LAST_COMMENT,
                false => phase::COMMENT,
            };
            let statement = Statement::Draft(text);
            self.node(
                ObjectKind::Comment,
                phase,
                &comment.object,
                statement,
                Vec::new(),
            );
        }
    }

    /// One statement for all that one role gets of an object.
    fn privileges(&mut self) {
        let role = self.found.addresses.schema.role.clone();
        let same = |one: &Privilege, other: &Privilege| {
            (
                &one.object,
                &one.column,
                one.revoked,
                &one.grantor,
                &one.grantee,
                one.grantable,
            ) == (
                &other.object,
                &other.column,
                other.revoked,
                &other.grantor,
                &other.grantee,
                other.grantable,
            )
        };
        let groups = self.found.addresses.privileges.chunk_by(same);
        for (position, group) in groups.enumerate() {
            let Some(one) = group.first() else { continue };
            let names: Vec<String> = group
                .iter()
                .map(|one| format!("{}{}", one.privilege, one.column))
                .collect();
            let (verb, to, option) = match (one.revoked, one.grantable) {
                (true, _) => ("REVOKE", "FROM", ""),
                (false, true) => ("GRANT", "TO", " WITH GRANT OPTION"),
                (false, false) => ("GRANT", "TO", ""),
            };
            let mut text: Draft = Vec::new();
            if !one.grantor.is_empty() {
                text.push(Fragment::Data(format!("SET LOCAL ROLE {};\n", one.grantor)));
            }
            text.push(Fragment::Data(format!(
                "{verb} {} ON {}",
                names.join(", "),
                grantable_name(&one.object)
            )));
            if one.object == "SCHEMA" {
                text.push(Fragment::Schema);
            }
            text.push(Fragment::Data(format!(" {to} {}{option}", one.grantee)));
            if !one.grantor.is_empty() {
                text.push(Fragment::Data(format!(";\nSET LOCAL ROLE {role}")));
            }
            let statement = Statement::Draft(text);
            let name = format!("{position:09}");
            self.node(
                ObjectKind::Privilege,
                phase::PRIVILEGE,
                &name,
                statement,
                Vec::new(),
            );
        }
    }
}

/// GRANT knows fewer kinds than other statements do.
fn grantable_name(object: &str) -> String {
    if object == "SCHEMA" {
        return "SCHEMA ".to_owned();
    }
    for view in ["VIEW ", "MATERIALIZED VIEW "] {
        if let Some(name) = object.strip_prefix(view) {
            return format!("TABLE {name}");
        }
    }
    match object.strip_prefix("AGGREGATE ") {
        Some(name) => {
            let name = name.replace("(*)", "()");
            let name = name.replace("(ORDER BY ", "(").replace(" ORDER BY ", ", ");
            format!("FUNCTION {name}")
        }
        None => object.to_owned(),
    }
}

fn class(class: &str, oid: u32) -> Object {
    (class.to_owned(), oid)
}

fn named(constraint: &Constraint) -> String {
    format!(
        "CONSTRAINT {} {}",
        Ident(&constraint.name),
        constraint.definition
    )
}

/// What the server quotes only where it must, without quotes.
fn unquoted(object: &str) -> String {
    object.replace('"', "")
}

fn bare(name: &str) -> String {
    name.replace('"', "")
}

/// The server's definitions leave out where an index is.
fn in_tablespace(tablespace: &str, sql: &str) -> String {
    format!(
        "SET LOCAL default_tablespace TO {};\n{sql};\nSET LOCAL default_tablespace TO ''",
        Literal(tablespace)
    )
}

/// The properties of a column that CREATE TABLE cannot say in all versions. `base` is the parent's column,
/// where it comes from a parent.
fn column_settings(column: &Column, base: Option<&Column>) -> Vec<String> {
    let storage = |letter: &str| match letter {
        "p" => "PLAIN",
        "e" => "EXTERNAL",
        "m" => "MAIN",
        _ => "EXTENDED",
    };
    // Whether the parent's are set before the child is created or after it, is not known here.
    let differs = |column: &Column| column.storage != column.storage_of_type;
    let sets_storage = differs(column) || base.is_some_and(differs);
    let is_compressed = |column: &Column| column.compression.is_some();
    let sets_compression = is_compressed(column) || base.is_some_and(is_compressed);
    let compression = sets_compression.then(|| match column.compression.as_deref() {
        Some("p") => "pglz",
        Some("l") => "lz4",
        Some(other) => other,
        None => "default",
    });
    let actions = [
        sets_storage.then(|| format!("SET STORAGE {}", storage(&column.storage))),
        compression.map(|method| format!("SET COMPRESSION {method}")),
        column
            .statistics
            .map(|target| format!("SET STATISTICS {target}")),
        column
            .options
            .as_ref()
            .map(|options| format!("SET ({options})")),
    ];
    let actions = actions.into_iter().flatten();
    actions
        .map(|action| format!("ALTER COLUMN {} {action}", Ident(&column.name)))
        .collect()
}
