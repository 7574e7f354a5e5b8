//! Two shapes, part by part: what differs, and what would undo it.

use std::collections::BTreeSet;

use super::report::{Change, Difference};
use crate::{
    names::SchemaName,
    sql::{Ident, Literal, repair_of},
    template::{
        PartKind,
        shape::{Alter, Key, Part, Shape, only_in},
    },
};

/// In what `is` differs from `right`, written as in schema `target`.
pub(super) fn differences(right: &Shape, is: &Shape, target: &SchemaName) -> Vec<Difference> {
    let mut found = Vec::new();
    for key in keys(right, is) {
        let (expected, there) = (right.parts.get(key), is.parts.get(key));
        // A table that is missing says it of its columns, too.
        if hidden(right, is, key) || same(expected, there) {
            continue;
        }
        let text = |shape: &Shape, part: Option<&Part>| {
            part.map(|part| shape.text(&part.definition, target))
        };
        found.push(Difference {
            change: match (expected, there) {
                (None, _) => Change::Added,
                (_, None) => Change::Missing,
                _ => Change::Changed,
            },
            kind: key.0,
            name: key.1.clone(),
            expected: text(right, expected),
            found: text(is, there),
        });
    }
    for (table, one, other) in orders(right, is) {
        found.push(Difference {
            change: Change::Changed,
            kind: PartKind::ColumnOrder,
            name: table.to_owned(),
            expected: Some(one),
            found: Some(other),
        });
    }
    if found.is_empty() {
        let sides = [(right, is, Change::Missing), (is, right, Change::Added)];
        for (one, other, change) in sides {
            for step in only_in(one, other) {
                let text = Some(one.text(&step, target));
                let (expected, there) = match change {
                    Change::Missing => (text, None),
                    _ => (None, text),
                };
                found.push(Difference {
                    change,
                    kind: PartKind::Other,
                    name: "statement".to_owned(),
                    expected,
                    found: there,
                });
            }
        }
    }
    found
}

fn same(one: Option<&Part>, other: Option<&Part>) -> bool {
    one.map(|part| &part.definition) == other.map(|part| &part.definition)
}

fn keys<'s>(right: &'s Shape, is: &'s Shape) -> BTreeSet<&'s Key> {
    right.parts.keys().chain(is.parts.keys()).collect()
}

/// Whether what a part is within, at any depth, is in one of the two alone.
fn hidden(right: &Shape, is: &Shape, key: &Key) -> bool {
    let mut part = right.parts.get(key).or_else(|| is.parts.get(key));
    while let Some(within) = part.and_then(|part| part.within.as_ref()) {
        let (one, other) = (right.parts.get(within), is.parts.get(within));
        if one.is_none() != other.is_none() {
            return true;
        }
        part = one;
    }
    // What is said of something that is gone.
    let about = right.parts.get(key).or_else(|| is.parts.get(key));
    let about = about.and_then(|part| part.about.as_ref());
    about.is_some_and(|about| {
        let has = |shape: &Shape| {
            let mut parts = shape.parts.values();
            parts.any(|part| part.address.as_ref() == Some(about))
        };
        has(right) != has(is)
    })
}

/// The tables whose columns are in another order: of those that both have.
fn orders<'s>(right: &'s Shape, is: &'s Shape) -> Vec<(&'s str, String, String)> {
    let mut found = Vec::new();
    for (table, columns) in &right.columns {
        let Some(others) = is.columns.get(table) else {
            continue;
        };
        let common = |of: &[String], with: &[String]| {
            let both = of.iter().filter(|column| with.contains(column));
            both.cloned().collect::<Vec<_>>().join(", ")
        };
        let (one, other) = (common(columns, others), common(others, columns));
        if one != other {
            found.push((table.as_str(), one, other));
        }
    }
    found
}

/// What a script does, in order: what is in the way goes first.
#[derive(Debug, Default)]
struct Script {
    drops: Vec<String>,
    makes: Vec<String>,
    notes: Vec<String>,
}

/// The script that makes `is` what `right` is, in schema `target`.
pub(super) fn repair(right: &Shape, is: &Shape, target: &SchemaName) -> String {
    let mut script = Script::default();
    // What is made anew loses what is said about it.
    let mut anew: BTreeSet<&str> = BTreeSet::new();
    let mut remade: BTreeSet<&Key> = BTreeSet::new();
    for key in keys(right, is) {
        if let (Some(should), Some(there)) = (right.parts.get(key), is.parts.get(key))
            && should.definition != there.definition
            && is_remade(should, there)
        {
            anew.extend(should.address.as_deref());
            remade.insert(key);
        }
    }
    for key in keys(right, is) {
        let gone = hidden(right, is, key);
        match (right.parts.get(key), is.parts.get(key)) {
            (None, Some(there)) if !gone => drop_part(&mut script, key, is, there, target),
            (Some(should), None) if !gone || !should.inline => {
                make_part(&mut script, key, right, should, target);
            }
            (Some(should), Some(there)) => {
                let is_about = should.about.as_deref();
                let lost = is_about.is_some_and(|about| anew.contains(about))
                    || should
                        .within
                        .as_ref()
                        .is_some_and(|within| remade.contains(within));
                if remade.contains(key) {
                    drop_part(&mut script, key, is, there, target);
                    make_part(&mut script, key, right, should, target);
                } else if lost {
                    make_part(&mut script, key, right, should, target);
                } else if should.definition != there.definition {
                    alter_part(&mut script, key, right, (should, there), target);
                }
            }
            _ => {}
        }
    }
    for (table, ..) in orders(right, is) {
        script.notes.push(format!(
            "column order of {table}: columns cannot be moved; the table is to be made anew"
        ));
    }
    if script.drops.is_empty() && script.makes.is_empty() && script.notes.is_empty() {
        script.notes.push("no statement is known".to_owned());
    }
    script.drops.reverse();
    let notes = script.notes.iter();
    // A line feed in a name must not end the comment.
    let notes: Vec<String> = notes
        .map(|note| format!("by hand: {}", note.replace(['\n', '\r'], " ")))
        .collect();
    let statements: Vec<String> = script.drops.into_iter().chain(script.makes).collect();
    repair_of(target, &notes, &statements)
}

/// Whether a part is taken away and made anew.
fn is_remade(should: &Part, there: &Part) -> bool {
    match (&should.alter, &there.alter) {
        (Alter::Remake, _) => !should.make.is_empty() && !there.unmake.is_empty(),
        (Alter::Replace(result), Alter::Replace(other)) => result != other,
        _ => false,
    }
}

fn drop_part(script: &mut Script, key: &Key, shape: &Shape, part: &Part, target: &SchemaName) {
    if part.unmake.is_empty() {
        let (kind, name) = key;
        script
            .notes
            .push(format!("{kind} {name} should not be there"));
    }
    let statements = part.unmake.iter();
    script
        .drops
        .extend(statements.map(|sql| shape.text(sql, target)));
}

fn make_part(script: &mut Script, key: &Key, shape: &Shape, part: &Part, target: &SchemaName) {
    if part.make.is_empty() {
        let (kind, name) = key;
        script.notes.push(format!("{kind} {name} is missing"));
    }
    let statements = part.make.iter();
    script
        .makes
        .extend(statements.map(|sql| shape.text(sql, target)));
}

fn alter_part(
    script: &mut Script,
    key: &Key,
    right: &Shape,
    (should, there): (&Part, &Part),
    target: &SchemaName,
) {
    let (kind, name) = key;
    let mut by_hand = || {
        let text = right.text(&should.definition, target);
        let note = format!("{kind} {name} should be: {text}");
        script.notes.push(note);
    };
    match &should.alter {
        Alter::Make | Alter::Replace(_) => make_part(script, key, right, should, target),
        Alter::With(statements) => {
            let statements = statements.iter();
            script
                .makes
                .extend(statements.map(|sql| right.text(sql, target)));
        }
        Alter::Labels(labels) => match &there.alter {
            Alter::Labels(has) if is_part_of(has, labels) => {
                script.makes.extend(added_labels(name, has, labels));
            }
            _ => by_hand(),
        },
        Alter::Remake | Alter::ByHand => by_hand(),
    }
}

/// Whether the one has all labels of the other in their order, and perhaps more.
fn is_part_of(some: &[String], all: &[String]) -> bool {
    let mut all = all.iter();
    some.iter().all(|label| all.any(|other| other == label))
}

fn added_labels(name: &str, has: &[String], should: &[String]) -> Vec<String> {
    let mut statements = Vec::new();
    let mut previous: Option<&String> = None;
    for label in should {
        if !has.contains(label) {
            let place = match (previous, has.first()) {
                (Some(previous), _) => Some(("AFTER", previous)),
                (None, Some(first)) => Some(("BEFORE", first)),
                (None, None) => None,
            };
            let place = place.map(|(word, label)| (word, Literal(label)));
            statements.push(crate::sql::add_label(&Ident(name), &Literal(label), place));
        }
        previous = Some(label);
    }
    statements
}
