//! What the rules are told, and where they tell what they find.

use std::collections::HashSet;

use super::{
    Set, created,
    cursor::Cursor,
    known::{self, Known, Piece, Proven},
    rule::{RULES, Rule, UNUSED_ALLOW},
    statement::{Allow, Scope},
};
use crate::layout::Layout;

/// What is known of the file that a statement is in.
#[derive(Debug)]
pub(super) struct Context<'a> {
    pub(super) layout: &'a Layout,
    pub(super) set: Set,
    pub(super) is_down: bool,
    pub(super) in_transaction: bool,
    /// Whether the file has one statement.
    pub(super) is_alone: bool,
    pub(super) tenant: &'a Known,
    pub(super) shared: &'a Known,
    /// What was created in the file so far: it is empty, and nobody knows it yet.
    pub(super) here: HashSet<String>,
    /// Temporary tables that the file drops.
    pub(super) dropped: HashSet<String>,
    pub(super) proven: &'a mut Proven,
    /// Constraints of the file that are not valid yet, by table and name.
    pub(super) not_valid: HashSet<(String, String)>,
    /// Labels that the file adds to enums.
    pub(super) labels: HashSet<String>,
}

impl Context<'_> {
    pub(super) fn is_shared(&self, schema: &str) -> bool {
        schema == self.layout.shared().as_str()
    }

    /// Whether this is the template, or looks like a tenant's schema.
    pub(super) fn is_tenants(&self, schema: &str) -> bool {
        let prefix = self.layout.prefix();
        schema == self.layout.template().as_str()
            || !prefix.is_empty()
                && schema.starts_with(prefix)
                && !self.is_shared(schema)
                && schema != Layout::REGISTRY
                && !self
                    .layout
                    .extra()
                    .iter()
                    .any(|extra| extra.as_str() == schema)
    }
}

/// Something that a rule has found.
#[derive(Clone, Debug)]
pub(super) struct Found {
    pub(super) rule: &'static Rule,
    pub(super) at: usize,
    /// The number of the statement; none where it is about the file.
    pub(super) statement: Option<usize>,
    pub(super) message: String,
}

/// What the rules find in one statement.
#[derive(Debug, Default)]
pub(super) struct Findings {
    pub(super) statement: Option<usize>,
    pub(super) found: Vec<Found>,
}

impl Findings {
    pub(super) fn add(&mut self, rule: &'static Rule, at: usize, message: impl Into<String>) {
        self.found.push(Found {
            rule,
            at,
            statement: self.statement,
            message: message.into(),
        });
    }

    /// Takes out what comments allow, and adds the comments that allow nothing.
    pub(super) fn allowed(self, allows: &[Allow]) -> Vec<Found> {
        let mut used = vec![false; allows.len()];
        let mut left = self.found;
        left.retain(|found| {
            let mut silent = false;
            for (allow, used) in allows.iter().zip(&mut used) {
                let covers = match (allow.scope, found.statement) {
                    (Scope::File, _) | (Scope::Statement(_), None) => true,
                    (Scope::Statement(number), Some(statement)) => number == statement,
                    (Scope::Nothing, _) => false,
                };
                if covers && allow.rule == found.rule.id {
                    (silent, *used) = (true, true);
                }
            }
            !silent
        });
        let unused = allows.iter().zip(used).filter(|(_, used)| !used);
        left.extend(unused.map(|(allow, _)| Found {
            rule: UNUSED_ALLOW,
            at: allow.at,
            statement: None,
            message: unused_message(allow),
        }));
        left
    }
}

fn unused_message(allow: &Allow) -> String {
    let rule = &allow.rule;
    if RULES.iter().any(|known| known.id == *rule) {
        return match allow.scope {
            Scope::Nothing => format!(
                "this allows {rule} for no statement: it stands neither above one, nor in one, nor before \
                 the first"
            ),
            _ => format!("{rule} finds nothing here"),
        };
    }
    let near = RULES
        .iter()
        .map(|known| {
            (
                strsim::normalized_damerau_levenshtein(known.id, rule),
                known.id,
            )
        })
        .filter(|(likeness, _)| *likeness > 0.5)
        .max_by(|(a, _), (b, _)| a.total_cmp(b));
    match near {
        Some((_, id)) => format!("there is no rule {rule:?}: did you mean {id}?"),
        None => format!("there is no rule {rule:?}"),
    }
}

/// Remembers the relation that a piece creates.
pub(super) fn note_created(context: &mut Context<'_>, piece: &Piece<'_>) {
    if let Some(created) = created::created(&piece.tokens, piece.in_block) {
        context.here.insert(created.name.name().to_owned());
    }
    if let Some((old, new)) = known::renamed(Cursor::new(&piece.tokens))
        && context.here.contains(&old)
    {
        context.here.insert(new);
    }
}
