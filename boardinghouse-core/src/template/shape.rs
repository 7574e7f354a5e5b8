//! The structure of a schema as a set of parts, each with a name, to be compared with another's.
//!
//! The same definitions that a plan is made of; here each says what it is about, how it is made where it is
//! missing, and how it is taken away.

mod about;
mod constraints;
mod defined;
mod literals;
mod tables;

use std::collections::{BTreeMap, HashMap, HashSet};

use serde::{Deserialize, Serialize};

use super::{
    build::Found,
    mentions::Mentions,
    text::{Piece, render},
};
use crate::{catalog::tables::Table, names::SchemaName, sql::Ident};

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
}

/// What no part says: the statements of one that the other has not.
pub(crate) fn only_in(one: &Shape, other: &Shape) -> Vec<Text> {
    let others: HashSet<&Text> = other.steps.iter().collect();
    let steps = one.steps.iter().filter(|step| !others.contains(step));
    steps.cloned().collect()
}
