//! Writes the statements of a plan down, in order.

use super::{
    graph::{Draft, Fragment, Graph, Node, Statement, draft},
    mentions::Mentions,
    plan::{ObjectKind, Step},
    text::Piece,
};

/// The steps of the nodes in `order`, or where they name the schema in a way that cannot be cloned.
pub(super) fn steps(
    graph: &Graph,
    order: &[usize],
    mentions: &mut Mentions<'_>,
) -> Result<Vec<Step>, Vec<String>> {
    let mut inlined: Vec<Vec<&Node>> = graph.nodes.iter().map(|_| Vec::new()).collect();
    for node in &graph.nodes {
        if let Some(inline) = &node.inline {
            inlined[inline.into].push(node);
        }
    }
    let mut steps = Vec::new();
    let mut order = order.iter().copied().peekable();
    while let Some(number) = order.next() {
        let node = &graph.nodes[number];
        if node.inline.is_some() {
            continue;
        }
        let mut text = match &node.statement {
            Statement::Nothing => continue,
            Statement::Draft(text) => text.clone(),
            Statement::View {
                head, definition, ..
            } => draft(format!("CREATE {head}{definition}")),
            Statement::List { .. } => draft(list(node, &inlined[number])),
            Statement::Alter { head, action } => {
                let mut actions = vec![action.as_str()];
                // One statement for all that is altered about a table in a row.
                while let Some(&next) = order.peek() {
                    let next = &graph.nodes[next];
                    match &next.statement {
                        _ if next.inline.is_some() => {}
                        Statement::Alter {
                            head: same,
                            action: more,
                        } if same == head && unites(head, action, more) => actions.push(more),
                        _ => break,
                    }
                    order.next();
                }
                draft(format!("{head} {}", actions.join(", ")))
            }
        };
        let object = format!("{} {}", node.kind, node.name);
        steps.push(Step {
            object: node.kind,
            pieces: pieces(&object, node, &mut text, mentions),
        });
    }
    match mentions.refusals.is_empty() {
        true => Ok(steps),
        false => Err(std::mem::take(&mut mentions.refusals)),
    }
}

/// Some kinds of alteration stand alone.
fn unites(head: &str, action: &str, more: &str) -> bool {
    let alone =
        |action: &str| action.starts_with("INHERIT") || action.starts_with("ADD CONSTRAINT");
    head.starts_with("ALTER TABLE")
        && (alone(action) == alone(more) || !alone(action) && !alone(more))
        || head.starts_with("ALTER MATERIALIZED VIEW")
}

/// A statement with everything that is said inside of it.
fn list(node: &Node, inlined: &[&Node]) -> String {
    let Statement::List {
        head,
        columns,
        tail,
        empty,
    } = &node.statement
    else {
        return String::new();
    };
    let inlines = inlined.iter().filter_map(|node| node.inline.as_ref());
    if node.kind == ObjectKind::Type {
        let parts: String = inlines.map(|inline| inline.text.as_str()).collect();
        return format!("{head}{parts}{tail}");
    }
    let mut parts: Vec<String> = columns.clone();
    let mut constraints = Vec::new();
    for inline in inlines {
        match inline.column.and_then(|column| parts.get_mut(column)) {
            Some(column) => column.push_str(&inline.text),
            None => constraints.push(inline.text.clone()),
        }
    }
    parts.append(&mut constraints);
    match parts.is_empty() {
        true => format!("{head}{empty}{tail}"),
        false => format!("{head} ({}){tail}", parts.join(", ")),
    }
}

fn pieces(object: &str, node: &Node, text: &mut Draft, mentions: &mut Mentions<'_>) -> Vec<Piece> {
    let mut pieces = Vec::new();
    for fragment in text.drain(..) {
        match fragment {
            Fragment::Expression(text) => pieces.extend(mentions.in_expression(object, &text)),
            Fragment::Body { language, text } => {
                let name = node.name.split('(').next().unwrap_or_default();
                let name = name.trim_matches('"');
                let body = mentions.in_body(object, name, &language, &text);
                pieces.push(Piece::Quoted(body));
            }
            Fragment::Setting { name, value } => {
                pieces.extend(mentions.in_setting(object, &name, &value));
            }
            Fragment::Data(text) => pieces.push(Piece::Text(text)),
            Fragment::Schema => pieces.push(Piece::Schema),
            Fragment::Source => pieces.push(Piece::Source),
        }
    }
    united(pieces)
}

/// Text next to text is one piece.
fn united(pieces: Vec<Piece>) -> Vec<Piece> {
    let mut all: Vec<Piece> = Vec::with_capacity(pieces.len());
    for piece in pieces {
        match (all.last_mut(), piece) {
            (Some(Piece::Text(before)), Piece::Text(more)) => before.push_str(&more),
            (_, piece) => all.push(piece),
        }
    }
    all
}
