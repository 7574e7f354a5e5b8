//! Tables: their columns, what they have from parents, and what they are parts of.

use super::{Builder, Inheritance, class, phase};
use crate::{
    catalog::{
        Object,
        tables::{Column, Sequence, Table},
    },
    sql::Ident,
    template::{
        graph::{Inline, Node, Statement, draft},
        plan::ObjectKind,
    },
};

impl<'a> Builder<'a> {
    /// A table that is attached to what it is a partition of, and its partitions to it: what is created on
    /// it before that is created on each of them as they are attached.
    pub(super) fn attached(&self, table: u32) -> Vec<Object> {
        let parents = self.found.tables.parents.iter();
        parents
            .filter(|parent| parent.parent == table)
            .map(|parent| parent.child)
            .chain([table])
            .map(|oid| class("attached", oid))
            .collect()
    }

    /// The same column of the parents.
    pub(super) fn inherited_columns(&self, column: &Column) -> Vec<&'a Column> {
        let parents = self.parents_of(column.table).iter();
        parents
            .filter_map(|parent| {
                let columns = self.columns.get(parent)?;
                columns.iter().copied().find(|c| c.name == column.name)
            })
            .collect()
    }

    pub(super) fn inheritance(&mut self, table: &Table) -> Inheritance {
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

    pub(super) fn table(&mut self, table: &'a Table, inheritance: Inheritance) {
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

    pub(super) fn has_replica_index(&self, table: u32) -> bool {
        let mut indexes = self.found.tables.indexes.iter();
        indexes.any(|index| index.table == table && index.replica_identity)
    }

    /// A column as CREATE TABLE says it; its default is a node of its own.
    pub(super) fn column(
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
            let name = Ident(&sequence.name).to_string();
            sql.push_str(&format!(" {}", identity_clause(column, sequence, &name)));
            self.graph.creates(node, "pg_class", sequence.oid);
        }
        if column.not_null && !self.found.tables.not_null_is_a_constraint {
            sql.push_str(" NOT NULL");
        }
        (!typed || has_default || sql.len() > bare).then_some(sql)
    }

    /// What a column's default is when its table has just been created.
    pub(super) fn default_at_first(&self, column: &Column) -> Option<&'a str> {
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
    pub(super) fn inherited_default(&mut self, column: &Column, node: usize, only: &str) {
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

    pub(super) fn parents_of(&self, table: u32) -> &[u32] {
        self.parents.get(&table).map_or(&[], Vec::as_slice)
    }

    /// The quoted name of a column with its table's.
    pub(super) fn column_name(&self, table: u32, number: i32) -> Option<String> {
        let columns = self.columns.get(&table)?;
        let column = columns.iter().find(|column| column.number == number)?;
        Some(format!(
            "{}.{}",
            Ident(&self.tables.get(&table)?.name),
            Ident(&column.name)
        ))
    }
}

/// The properties of a column that CREATE TABLE cannot say in all versions. `base` is the parent's column,
/// where it comes from a parent.
pub(super) fn column_settings(column: &Column, base: Option<&Column>) -> Vec<String> {
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
    let compression = sets_compression.then_some(match column.compression.as_deref() {
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

/// How a column gets its values from a sequence of its own, which is called `name`.
pub(in crate::template) fn identity_clause(
    column: &Column,
    sequence: &Sequence,
    name: &str,
) -> String {
    let when = match column.identity.as_str() {
        "a" => "ALWAYS",
        _ => "BY DEFAULT",
    };
    format!(
        "GENERATED {when} AS IDENTITY (SEQUENCE NAME {name} {})",
        sequence.options
    )
}
