//! The order in which the objects of a schema can be created.

use std::collections::{BTreeSet, HashMap};

use super::plan::ObjectKind;
use crate::catalog::{Members, Object, Reference};

/// Stands for a catalog: what is added to an operator family once it is there.
pub(super) const ADDED_TO_FAMILY: &str = "added to pg_opfamily";

/// A part of a statement.
#[derive(Clone, Debug)]
pub(super) enum Fragment {
    /// As the server wrote it.
    Expression(String),
    /// The body of a function.
    Body { language: String, text: String },
    /// A setting of a function.
    Setting { name: String, value: String },
    /// Data, which says whatever it says.
    Data(String),
    /// The name of the clone.
    Schema,
    /// The name of the schema that is cloned.
    Source,
}

/// A statement before the name of the clone is known.
pub(super) type Draft = Vec<Fragment>;

pub(super) fn draft(text: impl Into<String>) -> Draft {
    vec![Fragment::Expression(text.into())]
}

/// What can be said inside of another statement instead of in one of its own.
#[derive(Debug)]
pub(super) struct Inline {
    pub(super) into: usize,
    /// The column that it belongs to, if it is of a column.
    pub(super) column: Option<usize>,
    pub(super) text: String,
}

/// Something to be created.
#[derive(Debug)]
pub(super) struct Node {
    pub(super) kind: ObjectKind,
    /// Of what is possible, the lowest comes first.
    pub(super) phase: u8,
    pub(super) name: String,
    pub(super) statement: Statement,
    pub(super) needs: Vec<Object>,
    pub(super) inline: Option<Inline>,
}

#[derive(Debug)]
pub(super) enum Statement {
    /// Nothing: it comes with something else.
    Nothing,
    Draft(Draft),
    /// A statement that lists columns and constraints.
    List {
        head: String,
        columns: Vec<String>,
        tail: String,
        /// What stands in for the parentheses when nothing is in them.
        empty: &'static str,
    },
    /// `ALTER TABLE …` and what is to be altered; neighbours are united.
    Alter {
        head: String,
        action: String,
    },
    /// A view, and the columns that stand in for it.
    View {
        head: String,
        definition: String,
        stand_in: String,
    },
}

/// The nodes, and which object is created by which.
#[derive(Debug, Default)]
pub(super) struct Graph {
    pub(super) nodes: Vec<Node>,
    home: HashMap<Object, usize>,
}

impl Graph {
    pub(super) fn push(&mut self, node: Node) -> usize {
        self.nodes.push(node);
        self.nodes.len() - 1
    }

    /// Says that `node` creates `object`.
    pub(super) fn creates(&mut self, node: usize, class: &str, oid: u32) {
        self.home.insert((class.to_owned(), oid), node);
    }

    pub(super) fn node_of(&self, class: &str, oid: u32) -> Option<usize> {
        self.home.get(&(class.to_owned(), oid)).copied()
    }

    /// What is a part of something comes with it, where nothing else is said.
    fn adopt(&mut self, class: &str, oid: u32, parent: &Object) {
        if let Some(&node) = self.home.get(parent) {
            self.home.entry((class.to_owned(), oid)).or_insert(node);
        }
    }

    /// Says of every member with what it comes.
    fn settle(&mut self, members: &Members, references: &[Reference]) {
        let mut of_partitions = Vec::new();
        for reference in references {
            let (class, target) = (&*reference.class, reference.target);
            match (class, &*reference.target_class) {
                // What an operator family lists belongs to one of its classes or is added to it, and not to
                // the operator or function that is listed.
                ("pg_amop" | "pg_amproc", "pg_opclass") => {
                    self.adopt(class, reference.object, &("pg_opclass".to_owned(), target));
                }
                ("pg_amop" | "pg_amproc", "pg_opfamily") => {
                    let added = (ADDED_TO_FAMILY.to_owned(), target);
                    self.adopt(class, reference.object, &added);
                }
                // A constraint trigger has a constraint of its own.
                ("pg_constraint", "pg_trigger") => {
                    if let Some(trigger) = self.node_of("pg_trigger", target) {
                        self.creates(trigger, class, reference.object);
                    }
                }
                // The trigger of a partition comes with that of the partitioned table, at any depth, and not
                // with the partition: it needs what the trigger needs.
                ("pg_trigger", "pg_trigger") => of_partitions.push((reference.object, target)),
                _ => {}
            }
        }
        loop {
            let before = of_partitions.len();
            of_partitions.retain(|&(trigger, parent)| {
                self.adopt("pg_trigger", trigger, &("pg_trigger".to_owned(), parent));
                self.node_of("pg_trigger", trigger).is_none()
            });
            if of_partitions.len() == before {
                break;
            }
        }
        for member in &members.list {
            self.adopt(&member.class, member.oid, &member.parent);
        }
    }

    /// The nodes in an order in which each comes after what it needs, or the names of those for which
    /// there is none.
    pub(super) fn order(
        &mut self,
        members: &Members,
        references: &[Reference],
    ) -> Result<Vec<usize>, Vec<String>> {
        self.settle(members, references);
        for reference in references {
            let object = (reference.class.clone(), reference.object);
            // What a sequence belongs to, and what a partition is attached to, is said later.
            let later = match (reference.class.as_str(), reference.kind.as_str()) {
                ("pg_class" | "pg_constraint", "P" | "S") => true,
                ("pg_class", "a" | "i") if reference.target_class == "pg_class" => {
                    self.home.get(&object).is_some_and(|&node| {
                        matches!(
                            self.nodes[node].kind,
                            ObjectKind::Sequence | ObjectKind::Table
                        )
                    })
                }
                _ => false,
            };
            if let (Some(&node), false) = (self.home.get(&object), later) {
                let target = (reference.target_class.clone(), reference.target);
                self.nodes[node].needs.push(target);
            }
        }
        loop {
            match self.sorted() {
                Ok(order) => return Ok(order),
                Err(stuck) if self.loosen(&stuck) => {}
                Err(stuck) => {
                    let names = stuck.iter().map(|&node| {
                        format!("{} {}", self.nodes[node].kind, self.nodes[node].name)
                    });
                    return Err(names.collect());
                }
            }
        }
    }

    /// Where something is created: in a statement of its own, or in another's.
    fn place(&self, node: usize) -> usize {
        self.nodes[node]
            .inline
            .as_ref()
            .map_or(node, |inline| inline.into)
    }

    fn needs_of(&self) -> Vec<BTreeSet<usize>> {
        let mut all = vec![BTreeSet::new(); self.nodes.len()];
        for (number, node) in self.nodes.iter().enumerate() {
            let own = self.place(number);
            for object in &node.needs {
                if let Some(&target) = self.home.get(object) {
                    let target = self.place(target);
                    if target != own {
                        all[own].insert(target);
                    }
                }
            }
        }
        all
    }

    /// Topological, the lowest phase first; else what is on a circle.
    fn sorted(&self) -> Result<Vec<usize>, Vec<usize>> {
        let needs = self.needs_of();
        let mut wanted_by: Vec<Vec<usize>> = vec![Vec::new(); needs.len()];
        let mut open: Vec<usize> = needs.iter().map(BTreeSet::len).collect();
        for (number, needs) in needs.iter().enumerate() {
            for &need in needs {
                wanted_by[need].push(number);
            }
        }
        let key = |number: usize| {
            let node = &self.nodes[number];
            (node.phase, node.name.as_str(), number)
        };
        let mut ready: BTreeSet<_> = (0..needs.len())
            .filter(|&number| open[number] == 0)
            .map(key)
            .collect();
        let mut order = Vec::with_capacity(needs.len());
        while let Some((_, _, number)) = ready.pop_first() {
            order.push(number);
            for &other in &wanted_by[number] {
                open[other] -= 1;
                if open[other] == 0 {
                    ready.insert(key(other));
                }
            }
        }
        if order.len() == needs.len() {
            return Ok(order);
        }
        // Of those that are left, many only wait for the circle; they are peeled off from the end.
        let mut left: BTreeSet<usize> = (0..needs.len()).filter(|&n| open[n] > 0).collect();
        loop {
            let last: Vec<usize> = left
                .iter()
                .copied()
                .filter(|&n| !wanted_by[n].iter().any(|other| left.contains(other)))
                .collect();
            if last.is_empty() {
                return Err(left.into_iter().collect());
            }
            for number in last {
                left.remove(&number);
            }
        }
    }

    /// Breaks a circle: foreign keys first, then whatever else can be said on its own, then views, which
    /// something can stand in for.
    fn loosen(&mut self, stuck: &[usize]) -> bool {
        let on_circle = |graph: &Self, node: usize| {
            let own = graph.place(node);
            stuck.contains(&own)
                && graph.nodes[node].needs.iter().any(|object| {
                    graph
                        .home
                        .get(object)
                        .map(|&target| graph.place(target))
                        .is_some_and(|target| target != own && stuck.contains(&target))
                })
        };
        let inlined: Vec<usize> = (0..self.nodes.len())
            .filter(|&node| self.nodes[node].inline.is_some() && on_circle(self, node))
            .collect();
        let keys = inlined
            .iter()
            .copied()
            .filter(|&node| self.nodes[node].kind == ObjectKind::ForeignKey);
        let keys: Vec<usize> = keys.collect();
        let loose = if keys.is_empty() { inlined } else { keys };
        if !loose.is_empty() {
            for node in loose {
                self.nodes[node].inline = None;
            }
            return true;
        }
        let view = stuck
            .iter()
            .copied()
            .find(|&node| matches!(self.nodes[node].statement, Statement::View { .. }));
        let Some(view) = view else {
            return false;
        };
        self.split(view);
        true
    }

    /// Creates a stand-in for a view, to be replaced when what the view uses is there.
    fn split(&mut self, view: usize) {
        let nothing = Statement::Nothing;
        let node = &mut self.nodes[view];
        let statement = std::mem::replace(&mut node.statement, nothing);
        let Statement::View {
            head,
            definition,
            stand_in,
        } = statement
        else {
            return;
        };
        node.statement = Statement::Draft(draft(format!("CREATE {head}{stand_in}")));
        let (types, others): (Vec<Object>, Vec<Object>) = std::mem::take(&mut node.needs)
            .into_iter()
            .partition(|(class, _)| matches!(class.as_str(), "pg_type" | "pg_collation"));
        node.needs = types.clone();
        let (kind, phase, name) = (node.kind, node.phase, node.name.clone());
        let itself = self
            .home
            .iter()
            .find(|(object, node)| **node == view && object.0 == "pg_class")
            .map(|(object, _)| object.clone());
        self.push(Node {
            kind,
            phase,
            name,
            statement: Statement::Draft(draft(format!("CREATE OR REPLACE {head}{definition}"))),
            needs: others.into_iter().chain(types).chain(itself).collect(),
            inline: None,
        });
    }
}
