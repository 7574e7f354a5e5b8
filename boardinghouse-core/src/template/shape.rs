//! The structure of a schema as a set of parts, each with a name, to be compared with another's.
//!
//! The same definitions that a plan is made of; here each says what it is about, how it is made where it is
//! missing, and how it is taken away.

use std::collections::{BTreeMap, HashMap, HashSet};

use serde::{Deserialize, Serialize};

use super::{
    build::Found,
    mentions::Mentions,
    text::{Piece, render},
};
use crate::{
    catalog::{
        address::Privilege,
        define::Defined,
        tables::{Column, Constraint, Sequence, Table},
    },
    names::SchemaName,
    sql::{Ident, Literal},
};

/// What a part of a schema's structure is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum PartKind {
    /// A collation.
    Collation,
    /// An enum, composite type, domain or range.
    Type,
    /// A function, procedure or aggregate.
    Function,
    /// An operator, operator class or operator family.
    Operator,
    /// A cast from or to one of the schema's types.
    Cast,
    /// A conversion between encodings.
    Conversion,
    /// A parser, template, dictionary or configuration of text search.
    TextSearch,
    /// A sequence.
    Sequence,
    /// A table.
    Table,
    /// What a table is a child or a partition of.
    Inheritance,
    /// A column: its type, its collation, how it is generated.
    Column,
    /// The order of a table's columns.
    ColumnOrder,
    /// The identity of a column.
    Identity,
    /// Whether a column can be NULL.
    Nullability,
    /// Storage options of a table, an index or a column.
    Storage,
    /// Statistics: extended ones, and the targets of columns.
    Statistics,
    /// A default.
    Default,
    /// A view.
    View,
    /// An index.
    Index,
    /// A materialised view.
    MaterializedView,
    /// A constraint other than a foreign key.
    Constraint,
    /// A foreign key.
    ForeignKey,
    /// Whether a table's rows are guarded by policies.
    RowSecurity,
    /// A policy of row-level security.
    Policy,
    /// A rewrite rule.
    Rule,
    /// A trigger.
    Trigger,
    /// Whether a trigger or a rule is enabled.
    State,
    /// Whom an object belongs to, or which column a sequence.
    Owner,
    /// Who may use an object.
    Privilege,
    /// A comment.
    Comment,
    /// Something that is none of these.
    Other,
}

impl std::fmt::Display for PartKind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(match self {
            Self::Collation => "collation",
            Self::Type => "type",
            Self::Function => "function",
            Self::Operator => "operator",
            Self::Cast => "cast",
            Self::Conversion => "conversion",
            Self::TextSearch => "text search",
            Self::Sequence => "sequence",
            Self::Table => "table",
            Self::Inheritance => "inheritance",
            Self::Column => "column",
            Self::ColumnOrder => "column order",
            Self::Identity => "identity",
            Self::Nullability => "nullability",
            Self::Storage => "storage",
            Self::Statistics => "statistics",
            Self::Default => "default",
            Self::View => "view",
            Self::Index => "index",
            Self::MaterializedView => "materialized view",
            Self::Constraint => "constraint",
            Self::ForeignKey => "foreign key",
            Self::RowSecurity => "row security",
            Self::Policy => "policy",
            Self::Rule => "rule",
            Self::Trigger => "trigger",
            Self::State => "state",
            Self::Owner => "owner",
            Self::Privilege => "privilege",
            Self::Comment => "comment",
            Self::Other => "other",
        })
    }
}

/// By what a part is known in every schema.
pub(crate) type Key = (PartKind, String);

/// A statement in which the name of the schema is left open.
pub(crate) type Text = Vec<Piece>;

/// How a part becomes what it should be where it is there and differs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Alter {
    /// By the statements that make it.
    Make,
    /// It is taken away and made anew.
    Remake,
    /// By these statements.
    With(Vec<Text>),
    /// An enum with these labels, to which labels can be added.
    Labels(Vec<String>),
    /// A routine: replaced where its result is this one, else made anew.
    Replace(String),
    /// No statement is known.
    ByHand,
}

/// One part.
#[derive(Clone, Debug)]
pub(crate) struct Part {
    pub(crate) definition: Text,
    /// What it comes and goes with.
    pub(crate) within: Option<Key>,
    /// Whether the statement that makes what it is within says it, too.
    pub(crate) inline: bool,
    pub(crate) make: Vec<Text>,
    /// Nothing where no statement is known.
    pub(crate) unmake: Vec<Text>,
    pub(crate) alter: Alter,
    /// How a comment, or a grant, calls it.
    pub(crate) address: Option<String>,
    /// The address of what this says something about.
    pub(crate) about: Option<String>,
}

/// The structure of one schema.
#[derive(Clone, Debug)]
pub(crate) struct Shape {
    pub(crate) schema: SchemaName,
    pub(crate) parts: BTreeMap<Key, Part>,
    /// The columns of each table, in order.
    pub(crate) columns: BTreeMap<String, Vec<String>>,
    /// The statements of the plan, sorted: what no part says would be seen here.
    pub(crate) steps: Vec<Text>,
}

impl Shape {
    /// Whether the other one is of the same structure.
    pub(crate) fn is_like(&self, other: &Self) -> bool {
        let definitions = |shape: &Self| -> Vec<(Key, Text)> {
            let parts = shape.parts.iter();
            parts
                .map(|(key, part)| (key.clone(), part.definition.clone()))
                .collect()
        };
        self.steps == other.steps
            && self.columns == other.columns
            && definitions(self) == definitions(other)
    }

    /// A statement, or a definition, as it is in schema `target`.
    pub(crate) fn text(&self, text: &Text, target: &SchemaName) -> String {
        render(text, target, &self.schema)
    }
}

/// Makes the parts of what was found.
pub(super) fn shape(
    schema: &SchemaName,
    found: &Found,
    steps: Vec<Text>,
    mentions: &mut Mentions<'_>,
) -> Shape {
    let mut maker = Maker {
        found,
        mentions,
        tables: found.tables.tables.iter().map(|t| (t.oid, t)).collect(),
        shape: Shape {
            schema: schema.clone(),
            parts: BTreeMap::new(),
            columns: BTreeMap::new(),
            steps,
        },
    };
    maker.defined();
    maker.routines();
    maker.sequences();
    for table in &found.tables.tables {
        maker.table(table);
    }
    maker.views();
    maker.constraints();
    maker.indexes();
    maker.about();
    maker.shape
}

struct Maker<'a, 'm> {
    found: &'a Found,
    mentions: &'a mut Mentions<'m>,
    tables: HashMap<u32, &'a Table>,
    shape: Shape,
}

/// A name as the server writes it.
fn bare(name: &str) -> String {
    Ident(name).bare_if_possible()
}

impl Maker<'_, '_> {
    fn text(&mut self, text: &str) -> Text {
        self.mentions.in_expression("", text)
    }

    fn texts(&mut self, texts: &[String]) -> Vec<Text> {
        texts.iter().map(|text| self.text(text)).collect()
    }

    /// Adds a part that nothing is within, and that is made anew where it differs.
    fn add(
        &mut self,
        kind: PartKind,
        name: &str,
        definition: &str,
        make: &[String],
        unmake: &[String],
    ) -> &mut Part {
        let part = Part {
            definition: self.text(definition),
            within: None,
            inline: false,
            make: self.texts(make),
            unmake: self.texts(unmake),
            alter: Alter::Remake,
            address: None,
            about: None,
        };
        // Two of one name would hide each other.
        let mut key = (kind, name.to_owned());
        while self.shape.parts.contains_key(&key) {
            key.1.push('\'');
        }
        self.shape.parts.entry(key).or_insert(part)
    }

    /// As [`add`](Self::add), where one statement does either.
    fn set(
        &mut self,
        kind: PartKind,
        name: &str,
        definition: &str,
        make: String,
        unmake: String,
    ) -> &mut Part {
        let part = self.add(kind, name, definition, &[make], &[unmake]);
        part.alter = Alter::Make;
        part
    }

    fn defined(&mut self) {
        use PartKind as K;
        let d = &self.found.defines;
        let by_hand: [(&[Defined], K); 13] = [
            (&d.collations, K::Collation),
            (&d.operators, K::Operator),
            (&d.families, K::Operator),
            (&d.classes, K::Operator),
            (&d.loose, K::Operator),
            (&d.casts, K::Cast),
            (&d.conversions, K::Conversion),
            (&d.parsers, K::TextSearch),
            (&d.templates, K::TextSearch),
            (&d.dictionaries, K::TextSearch),
            (&d.configurations, K::TextSearch),
            (&d.mappings, K::TextSearch),
            (&d.ranges, K::Type),
        ];
        for (all, kind) in by_hand {
            for one in all {
                // What it is, in the words of its statement, tells those of one name apart.
                let words: Vec<&str> = one.sql.split_whitespace().skip(1).take(3).collect();
                let what = words.join(" ").to_lowercase();
                let name = match kind {
                    K::Type => one.name.clone(),
                    _ => format!("{} ({what})", one.name),
                };
                let part = self.add(kind, &name, &one.sql, std::slice::from_ref(&one.sql), &[]);
                part.alter = Alter::ByHand;
            }
        }
        for one in &d.enums {
            let name = bare(&one.name);
            let drop = format!("DROP TYPE IF EXISTS {name}");
            let labels = literals(&one.sql);
            let part = self.add(
                K::Type,
                &one.name,
                &one.sql,
                std::slice::from_ref(&one.sql),
                &[drop],
            );
            part.alter = Alter::Labels(labels);
            part.address = Some(format!("TYPE {name}"));
        }
        for (all, word) in [(&d.composites, "TYPE"), (&d.domains, "DOMAIN")] {
            for one in all {
                let address = format!("{word} {}", bare(&one.name));
                let drop = format!("DROP {word} IF EXISTS {}", bare(&one.name));
                let part = self.add(
                    K::Type,
                    &one.name,
                    &one.sql,
                    std::slice::from_ref(&one.sql),
                    &[drop],
                );
                part.alter = Alter::ByHand;
                part.address = Some(address);
            }
        }
        for one in &d.aggregates {
            let drop = format!("DROP AGGREGATE IF EXISTS {}", star(&one.name));
            self.add(
                K::Function,
                &one.name,
                &one.sql,
                std::slice::from_ref(&one.sql),
                &[drop],
            );
        }
        for one in &d.statistics {
            let address = format!("STATISTICS {}", bare(&one.name));
            let drop = format!(
                "DROP {}",
                address.replacen("STATISTICS", "STATISTICS IF EXISTS", 1)
            );
            self.add(
                K::Statistics,
                &one.name,
                &one.sql,
                std::slice::from_ref(&one.sql),
                &[drop],
            )
            .address = Some(address);
        }
        for one in &d.statistics_targets {
            let address = format!("STATISTICS {}", bare(&one.name));
            let name = format!("{} target", one.name);
            let unmake = format!("ALTER {address} SET STATISTICS -1");
            let part = self.set(K::Statistics, &name, &one.sql, one.sql.clone(), unmake);
            part.within = Some((K::Statistics, one.name.clone()));
            part.about = Some(address);
        }
        let of_relations: [(&[Defined], K, &str); 3] = [
            (&d.triggers, K::Trigger, "TRIGGER"),
            (&d.rules, K::Rule, "RULE"),
            (&d.policies, K::Policy, "POLICY"),
        ];
        for (all, kind, word) in of_relations {
            for one in all {
                let Some((relation, name)) = self.of_relation(&one.name) else {
                    continue;
                };
                let address = format!("{word} {} ON {}", bare(&name), bare(&relation));
                let drop = format!(
                    "DROP {word} IF EXISTS {} ON {}",
                    bare(&name),
                    bare(&relation)
                );
                let within = self.relation(&relation);
                let label = format!("{name} on {relation}");
                let part = self.add(
                    kind,
                    &label,
                    &one.sql,
                    std::slice::from_ref(&one.sql),
                    &[drop],
                );
                part.within = within;
                part.address = Some(address);
            }
        }
        for (all, word) in [(&d.trigger_states, "TRIGGER"), (&d.rule_states, "RULE")] {
            for one in all {
                let Some((relation, name)) = self.of_relation(&one.name) else {
                    continue;
                };
                let label = format!("{} {name} on {relation}", word.to_lowercase());
                let enable = format!(
                    "ALTER TABLE {} ENABLE {word} {}",
                    bare(&relation),
                    bare(&name)
                );
                let within = self.relation(&relation);
                let part = self.set(K::State, &label, &one.sql, one.sql.clone(), enable);
                part.within = within;
                part.about = Some(format!("{word} {} ON {}", bare(&name), bare(&relation)));
            }
        }
    }

    /// The relation and the rest of a name that begins with a relation's.
    fn of_relation(&self, name: &str) -> Option<(String, String)> {
        let tables = self.found.tables.tables.iter().map(|t| t.name.as_str());
        let views = self.found.defines.views.iter().map(|v| v.name.as_str());
        let longest = tables
            .chain(views)
            .filter(|relation| {
                name.strip_prefix(relation)
                    .is_some_and(|rest| rest.starts_with(' '))
            })
            .max_by_key(|relation| relation.len())?;
        Some((longest.to_owned(), name[longest.len() + 1..].to_owned()))
    }

    /// The part that is a table or view.
    fn relation(&self, name: &str) -> Option<Key> {
        let kinds = [PartKind::Table, PartKind::View, PartKind::MaterializedView];
        if self
            .found
            .tables
            .tables
            .iter()
            .any(|table| table.name == name)
        {
            return Some((PartKind::Table, name.to_owned()));
        }
        let view = self
            .found
            .defines
            .views
            .iter()
            .find(|view| view.name == name)?;
        Some((
            kinds[if view.materialized { 2 } else { 1 }],
            name.to_owned(),
        ))
    }

    fn routines(&mut self) {
        for routine in &self.found.defines.routines {
            let object = format!("function {}", routine.name);
            let mut text = self.text(&routine.head);
            for setting in &routine.settings {
                if let Some((name, value)) = setting.split_once('=') {
                    text.extend(self.mentions.in_setting(&object, name, value));
                }
            }
            match (&routine.parsed_body, &routine.file) {
                (Some(body), _) => text.extend(self.text(&format!(" {body}"))),
                (None, Some(file)) => text.push(Piece::Text(format!(
                    " AS {}, {}",
                    Literal(file),
                    Literal(&routine.body)
                ))),
                (None, None) => {
                    text.push(Piece::Text(" AS ".to_owned()));
                    let body = self.mentions.in_body(
                        &object,
                        &routine.bare_name,
                        &routine.language,
                        &routine.body,
                    );
                    text.push(Piece::Quoted(body));
                }
            }
            let mut make = text.clone();
            if let Some(Piece::Text(head)) = make.first_mut()
                && let Some(rest) = head.strip_prefix("CREATE ")
            {
                *head = format!("CREATE OR REPLACE {rest}");
            }
            let result = routine.head.split(" LANGUAGE ").next().unwrap_or_default();
            let procedure = routine.head.starts_with("CREATE PROCEDURE");
            let word = if procedure { "PROCEDURE" } else { "FUNCTION" };
            let drop = format!("DROP {word} IF EXISTS {}", routine.name);
            let address = format!("{word} {}", routine.name);
            let part = self.add(PartKind::Function, &routine.name, "", &[], &[drop]);
            part.definition = text;
            part.make = vec![make];
            part.alter = Alter::Replace(result.to_owned());
            part.address = Some(address);
        }
    }

    fn sequences(&mut self) {
        for sequence in &self.found.tables.sequences {
            if sequence.identity {
                continue;
            }
            let name = bare(&sequence.name);
            let unlogged = if sequence.unlogged { "UNLOGGED " } else { "" };
            let options = format!("AS {} {}", sequence.type_name, sequence.options);
            let make = format!("CREATE {unlogged}SEQUENCE {name} {options}");
            let alter = self.text(&format!("ALTER SEQUENCE {name} {options}"));
            let drop = format!("DROP SEQUENCE IF EXISTS {name}");
            let part = self.add(
                PartKind::Sequence,
                &sequence.name,
                &make,
                &[make.clone()],
                &[drop],
            );
            part.alter = Alter::With(vec![alter]);
            part.address = Some(format!("SEQUENCE {name}"));
            let owner = sequence.table.zip(sequence.column);
            if let Some(column) = owner.and_then(|(table, column)| self.column_name(table, column))
            {
                let make = format!("ALTER SEQUENCE {name} OWNED BY {column}");
                let unmake = format!("ALTER SEQUENCE {name} OWNED BY NONE");
                let label = format!("{} owned by", sequence.name);
                // Said when the table is there.
                let part = self.set(PartKind::Owner, &label, &make, make.clone(), unmake);
                part.within = Some((PartKind::Sequence, sequence.name.clone()));
            }
        }
    }

    fn column_name(&self, table: u32, number: i32) -> Option<String> {
        let mut columns = self.found.tables.columns.iter();
        let column = columns.find(|c| c.table == table && c.number == number)?;
        let table = self.tables.get(&table)?;
        Some(format!("{}.{}", bare(&table.name), bare(&column.name)))
    }

    fn table(&mut self, table: &Table) {
        use PartKind as K;
        let name = bare(&table.name);
        let itself = Some((K::Table, table.name.clone()));
        let columns = self.found.tables.columns.iter();
        let columns: Vec<&Column> = columns.filter(|column| column.table == table.oid).collect();
        let names = columns.iter().map(|column| column.name.clone()).collect();
        self.shape.columns.insert(table.name.clone(), names);

        let of_type = table
            .of_type
            .as_ref()
            .map(|of| format!(" OF {of}"))
            .unwrap_or_default();
        let mut tail = String::new();
        if let Some(key) = &table.partition_key {
            tail.push_str(&format!(" PARTITION BY {key}"));
        }
        if let Some(method) = &table.access_method {
            tail.push_str(&format!(" USING {}", Ident(method)));
        }
        if let Some(space) = &table.tablespace {
            tail.push_str(&format!(" TABLESPACE {}", Ident(space)));
        }
        let list: Vec<String> = columns
            .iter()
            .map(|column| self.column_text(table, column))
            .collect();
        let unlogged = if table.unlogged { "UNLOGGED " } else { "" };
        let make = format!(
            "CREATE {unlogged}TABLE {name}{of_type} ({}){tail}",
            list.join(", ")
        );
        let drop = format!("DROP TABLE IF EXISTS {name}");
        let part = self.add(
            K::Table,
            &table.name,
            &format!("TABLE {name}{of_type}{tail}"),
            &[make],
            &[drop],
        );
        part.alter = Alter::ByHand;
        part.address = Some(format!("TABLE {name}"));

        let alter = format!("ALTER TABLE {name}");
        if table.unlogged {
            let part = self.set(
                K::Storage,
                &format!("{} logging", table.name),
                "UNLOGGED",
                format!("{alter} SET UNLOGGED"),
                format!("{alter} SET LOGGED"),
            );
            part.within.clone_from(&itself);
            part.inline = true;
        }
        if let Some(options) = &table.options {
            self.options(&table.name, &alter, options, itself.clone());
        }
        let parents = self
            .found
            .tables
            .parents
            .iter()
            .filter(|p| p.child == table.oid);
        let parents: Vec<String> = parents
            .filter_map(|p| self.tables.get(&p.parent))
            .map(|p| bare(&p.name))
            .collect();
        if !parents.is_empty() {
            let parents = parents.join(", ");
            let (make, unmake) = match &table.bound {
                Some(bound) => (
                    format!("ALTER TABLE {parents} ATTACH PARTITION {name} {bound}"),
                    format!("ALTER TABLE {parents} DETACH PARTITION {name}"),
                ),
                None => (
                    format!("{alter} INHERIT {parents}"),
                    format!("{alter} NO INHERIT {parents}"),
                ),
            };
            let part = self.add(
                K::Inheritance,
                &table.name,
                &make,
                &[make.clone()],
                &[unmake],
            );
            part.within.clone_from(&itself);
        }
        for (is, word) in [
            (table.row_security, "ENABLE ROW LEVEL SECURITY"),
            (table.forced_row_security, "FORCE ROW LEVEL SECURITY"),
        ] {
            if is {
                let not = match word.starts_with("ENABLE") {
                    true => "DISABLE ROW LEVEL SECURITY",
                    false => "NO FORCE ROW LEVEL SECURITY",
                };
                let forced = if word.starts_with("FORCE") {
                    " forced"
                } else {
                    ""
                };
                let part = self.set(
                    K::RowSecurity,
                    &format!("{}{forced}", table.name),
                    word,
                    format!("{alter} {word}"),
                    format!("{alter} {not}"),
                );
                part.within.clone_from(&itself);
            }
        }
        let mut indexes = self.found.tables.indexes.iter();
        let identity = match table.replica_identity.as_str() {
            "f" => Some("FULL".to_owned()),
            "n" => Some("NOTHING".to_owned()),
            "i" => indexes
                .find(|index| index.table == table.oid && index.replica_identity)
                .map(|index| format!("USING INDEX {}", bare(&index.name))),
            _ => None,
        };
        if let Some(identity) = identity {
            let label = format!("{} replica identity", table.name);
            let make = format!("{alter} REPLICA IDENTITY {identity}");
            let unmake = format!("{alter} REPLICA IDENTITY DEFAULT");
            self.set(K::Storage, &label, &identity, make, unmake).within = itself;
        }
        for column in columns {
            self.column(table, column, &alter);
        }
    }

    /// Options that one statement sets and another one resets.
    fn options(&mut self, name: &str, alter: &str, options: &str, within: Option<Key>) {
        let names = option_names(options).join(", ");
        let make = format!("{alter} SET ({options})");
        let unmake = format!("{alter} RESET ({names})");
        let label = format!("{name} options");
        self.add(PartKind::Storage, &label, options, &[make], &[unmake])
            .within = within;
    }

    fn identity_of(&self, table: &Table, column: &Column) -> Option<&Sequence> {
        self.found.tables.sequences.iter().find(|sequence| {
            sequence.identity
                && sequence.table == Some(table.oid)
                && sequence.column == Some(column.number)
        })
    }

    /// Everything that is said about a column where its table is created, but its default.
    fn column_text(&self, table: &Table, column: &Column) -> String {
        let mut text = format!("{} {}", bare(&column.name), column_type(column));
        if let Some(identity) = self.identity_of(table, column) {
            text.push_str(&format!(" {}", identity_text(column, identity)));
        }
        if column.not_null && !self.found.tables.not_null_is_a_constraint {
            text.push_str(" NOT NULL");
        }
        text
    }

    fn column(&mut self, table: &Table, column: &Column, alter: &str) {
        use PartKind as K;
        let name = bare(&column.name);
        let label = format!("{}.{}", table.name, column.name);
        let kind = column_type(column);
        let local = if column.local { "" } else { " (inherited)" };
        let make = format!("{alter} ADD COLUMN {}", self.column_text(table, column));
        let drop = format!("{alter} DROP COLUMN IF EXISTS {name}");
        let collation = column.collation.as_ref().map(|c| format!(" COLLATE {c}"));
        let retype = self.text(&format!(
            "{alter} ALTER COLUMN {name} TYPE {}{} USING {name}::{}",
            column.type_name,
            collation.unwrap_or_default(),
            column.type_name
        ));
        let part = self.add(
            K::Column,
            &label,
            &format!("{kind}{local}"),
            &[make],
            &[drop],
        );
        part.within = Some((K::Table, table.name.clone()));
        part.inline = true;
        part.alter = match column.generated.is_empty() && column.local {
            true => Alter::With(vec![retype]),
            false => Alter::ByHand,
        };
        let within = Some((K::Column, label.clone()));
        let column_alter = format!("{alter} ALTER COLUMN {name}");
        if column.not_null && !self.found.tables.not_null_is_a_constraint {
            let part = self.set(
                K::Nullability,
                &label,
                "NOT NULL",
                format!("{column_alter} SET NOT NULL"),
                format!("{column_alter} DROP NOT NULL"),
            );
            part.within.clone_from(&within);
            part.inline = true;
        }
        if let (Some(expression), true) = (&column.expression, column.generated.is_empty()) {
            let make = format!("{column_alter} SET DEFAULT {expression}");
            let unmake = format!("{column_alter} DROP DEFAULT");
            self.set(K::Default, &label, expression, make, unmake)
                .within
                .clone_from(&within);
        }
        if let Some(sequence) = self.identity_of(table, column) {
            let text = identity_text(column, sequence);
            let always = if column.identity == "a" {
                "ALWAYS"
            } else {
                "BY DEFAULT"
            };
            let change = [
                format!("{column_alter} SET GENERATED {always}"),
                format!(
                    "ALTER SEQUENCE {} {}",
                    bare(&sequence.name),
                    sequence.options
                ),
            ];
            let make = format!("{column_alter} ADD {text}");
            let unmake = format!("{column_alter} DROP IDENTITY IF EXISTS");
            let change = self.texts(&change);
            let part = self.add(K::Identity, &label, &text, &[make], &[unmake]);
            part.within.clone_from(&within);
            part.inline = true;
            part.alter = Alter::With(change);
        }
        self.column_settings(&label, column, &column_alter, within);
    }

    fn column_settings(&mut self, label: &str, column: &Column, alter: &str, within: Option<Key>) {
        use PartKind as K;
        let storage = |letter: &str| match letter {
            "p" => "PLAIN",
            "e" => "EXTERNAL",
            "m" => "MAIN",
            _ => "EXTENDED",
        };
        if column.storage != column.storage_of_type {
            let name = format!("{label} storage");
            let definition = storage(&column.storage);
            let make = format!("{alter} SET STORAGE {definition}");
            let unmake = format!("{alter} SET STORAGE {}", storage(&column.storage_of_type));
            self.set(K::Storage, &name, definition, make, unmake)
                .within
                .clone_from(&within);
        }
        if let Some(compression) = &column.compression {
            let method = match compression.as_str() {
                "p" => "pglz",
                "l" => "lz4",
                other => other,
            };
            let name = format!("{label} compression");
            let make = format!("{alter} SET COMPRESSION {method}");
            let unmake = format!("{alter} SET COMPRESSION default");
            self.set(K::Storage, &name, method, make, unmake)
                .within
                .clone_from(&within);
        }
        if let Some(target) = column.statistics {
            let make = format!("{alter} SET STATISTICS {target}");
            let unmake = format!("{alter} SET STATISTICS -1");
            self.set(K::Statistics, label, &target.to_string(), make, unmake)
                .within
                .clone_from(&within);
        }
        if let Some(options) = &column.options {
            self.options(label, alter, options, within);
        }
    }

    fn views(&mut self) {
        for view in &self.found.defines.views {
            let name = bare(&view.name);
            let (kind, word) = match view.materialized {
                true => (PartKind::MaterializedView, "MATERIALIZED VIEW"),
                false => (PartKind::View, "VIEW"),
            };
            let make = format!("CREATE {word} {name}{}", view.definition);
            let drop = format!("DROP {word} IF EXISTS {name}");
            let part = self.add(kind, &view.name, &make, &[make.clone()], &[drop]);
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

    fn constraints(&mut self) {
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

    fn constraint(
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

    fn indexes(&mut self) {
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
                let part = self.add(K::Inheritance, &label, &make, &[make.clone()], &[]);
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

    /// Owners, privileges and comments.
    fn about(&mut self) {
        use PartKind as K;
        let found = &self.found.addresses;
        let schema = &found.schema;
        let role = &schema.role;
        let here =
            |head: String, tail: String| vec![Piece::Text(head), Piece::Schema, Piece::Text(tail)];
        if schema.owner != *role {
            let part = self.set(
                K::Owner,
                "schema",
                &schema.owner,
                String::new(),
                String::new(),
            );
            part.make = vec![here(
                "ALTER SCHEMA ".into(),
                format!(" OWNER TO {}", schema.owner),
            )];
            part.unmake = vec![here("ALTER SCHEMA ".into(), format!(" OWNER TO {role}"))];
        }
        for owned in &found.owned {
            let make = format!("ALTER {} OWNER TO {}", owned.object, owned.owner);
            let unmake = format!("ALTER {} OWNER TO {role}", owned.object);
            let part = self.set(K::Owner, &owned.object, &owned.owner, make, unmake);
            part.about = Some(owned.object.clone());
        }
        for privilege in &found.privileges {
            self.privilege(privilege, role);
        }
        for default in &found.default_privileges {
            let head = format!(
                "ALTER DEFAULT PRIVILEGES FOR ROLE {} IN SCHEMA ",
                default.role
            );
            let grant = default
                .grant
                .strip_suffix(" WITH GRANT OPTION")
                .unwrap_or(&default.grant);
            let revoke = grant
                .replacen("GRANT ", "REVOKE ", 1)
                .replacen(" TO ", " FROM ", 1);
            let name = format!("default for role {}: {}", default.role, default.grant);
            let part = self.set(
                K::Privilege,
                &name,
                &default.grant,
                String::new(),
                String::new(),
            );
            part.make = vec![here(head.clone(), format!(" {}", default.grant))];
            part.unmake = vec![here(head, format!(" {revoke}"))];
        }
        for comment in &found.comments {
            let literal = Literal(&comment.text).to_string();
            let part = self.set(
                K::Comment,
                &comment.object,
                "",
                String::new(),
                String::new(),
            );
            part.definition = vec![Piece::Text(literal.trim_start().to_owned())];
            let (make, unmake) = match comment.object.as_str() {
                "SCHEMA" => (
                    here("COMMENT ON SCHEMA ".into(), format!(" IS {literal}")),
                    here("COMMENT ON SCHEMA ".into(), " IS NULL".into()),
                ),
                object => (
                    vec![Piece::Text(format!("COMMENT ON {object} IS {literal}"))],
                    vec![Piece::Text(format!("COMMENT ON {object} IS NULL"))],
                ),
            };
            part.make = vec![make];
            part.unmake = vec![unmake];
            part.about = Some(comment.object.clone());
        }
    }

    fn privilege(&mut self, privilege: &Privilege, role: &str) {
        let Privilege {
            object,
            column,
            grantee,
            ..
        } = privilege;
        let what = format!("{}{column}", privilege.privilege);
        let by = match privilege.grantor.as_str() {
            "" => String::new(),
            grantor => format!(" by {grantor}"),
        };
        let label = format!("{what} on {object} to {grantee}{by}");
        let option = if privilege.grantable {
            " WITH GRANT OPTION"
        } else {
            ""
        };
        let on = super::build::grantable_name(object);
        let as_grantor = |sql: Text| {
            let mut text = sql;
            if !privilege.grantor.is_empty() {
                text.insert(
                    0,
                    Piece::Text(format!("SET LOCAL ROLE {};\n", privilege.grantor)),
                );
                text.push(Piece::Text(format!(";\nSET LOCAL ROLE {role}")));
            }
            text
        };
        let statement = |head: &str, tail: &str| {
            let mut text = vec![Piece::Text(format!("{head} ON {on}"))];
            if object == "SCHEMA" {
                text.push(Piece::Schema);
            }
            text.push(Piece::Text(tail.to_owned()));
            as_grantor(text)
        };
        let grant = statement(&format!("GRANT {what}"), &format!(" TO {grantee}{option}"));
        let revoke = statement(&format!("REVOKE {what}"), &format!(" FROM {grantee}"));
        let (definition, make, unmake) = match privilege.revoked {
            true => (format!("REVOKE {what}"), revoke, grant),
            false => (format!("GRANT {what}{option}"), grant, revoke),
        };
        let part = self.add(PartKind::Privilege, &label, &definition, &[], &[]);
        part.make = vec![make];
        part.unmake = vec![unmake];
        part.about = Some(object.clone());
    }
}

fn column_type(column: &Column) -> String {
    let mut text = column.type_name.clone();
    if let Some(collation) = &column.collation {
        text.push_str(&format!(" COLLATE {collation}"));
    }
    if let (Some(expression), false) = (&column.expression, column.generated.is_empty()) {
        let kind = if column.generated == "v" {
            "VIRTUAL"
        } else {
            "STORED"
        };
        text.push_str(&format!(" GENERATED ALWAYS AS ({expression}) {kind}"));
    }
    text
}

fn identity_text(column: &Column, sequence: &Sequence) -> String {
    format!(
        "GENERATED {} AS IDENTITY (SEQUENCE NAME {} {})",
        if column.identity == "a" {
            "ALWAYS"
        } else {
            "BY DEFAULT"
        },
        bare(&sequence.name),
        sequence.options,
    )
}

/// The arguments of an aggregate without any are a star.
fn star(name: &str) -> String {
    name.replace("()", "(*)")
}

/// The string constants in a statement of the server's.
fn literals(sql: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut rest = sql;
    while let Some((before, after)) = rest.split_once('\'') {
        let escapes = before.ends_with('E');
        let mut text = String::new();
        let mut chars = after.char_indices().peekable();
        let mut end = after.len();
        while let Some((at, c)) = chars.next() {
            let next = chars.peek().map(|(_, next)| *next);
            match (c, next) {
                ('\'', Some('\'')) | ('\\', Some('\\')) if c == '\'' || escapes => {
                    text.push(c);
                    chars.next();
                }
                ('\'', _) => {
                    end = at + 1;
                    break;
                }
                _ => text.push(c),
            }
        }
        found.push(text);
        rest = after.get(end..).unwrap_or_default();
    }
    found
}

/// The names in `name='value', …`.
fn option_names(options: &str) -> Vec<String> {
    let mut names = Vec::new();
    let mut rest = options;
    while let Some((name, after)) = rest.split_once('=') {
        names.push(name.trim_start_matches([',', ' ']).to_owned());
        // Values of options hold no quotes.
        let value = after.trim_start_matches('E').trim_start_matches('\'');
        rest = value.split_once('\'').map_or("", |(_, rest)| rest);
    }
    names
}

/// What no part says: the statements of one that the other has not.
pub(crate) fn only_in(one: &Shape, other: &Shape) -> Vec<Text> {
    let others: HashSet<&Text> = other.steps.iter().collect();
    let steps = one.steps.iter().filter(|step| !others.contains(step));
    steps.cloned().collect()
}

#[cfg(test)]
mod tests {
    use super::{literals, option_names};

    #[test]
    fn constants_of_the_server_are_read_back() {
        assert_eq!(
            literals("CREATE TYPE a AS ENUM ('it''s', E'a\\\\b', '', 'x, y')"),
            ["it's", "a\\b", "", "x, y"]
        );
        assert_eq!(
            option_names("fillfactor='70', toast.autovacuum_enabled='false'"),
            ["fillfactor", "toast.autovacuum_enabled"]
        );
    }
}
