//! Rules about what a large fleet, or the release that is running, does not bear.

use super::{
    column::Definition,
    context::{Context, Findings},
    cursor::Cursor,
    known::Piece,
    names::{self, Role},
    rule,
    token::Token,
};

/// Functions of PostgreSQL, and of its usual extensions, that give something else for each row.
const VOLATILE: &[&str] = &[
    "clock_timestamp",
    "currval",
    "gen_random_bytes",
    "gen_random_uuid",
    "gen_salt",
    "lastval",
    "nextval",
    "random",
    "random_normal",
    "setval",
    "timeofday",
    "uuid_generate_v1",
    "uuid_generate_v1mc",
    "uuid_generate_v4",
    "uuidv4",
    "uuidv7",
];

pub(super) fn check(context: &mut Context<'_>, piece: &Piece<'_>, findings: &mut Findings) {
    labels(context, piece, findings);
    let mut cursor = Cursor::new(&piece.tokens);
    let Some(verb) = cursor.next() else { return };
    let at = verb.at;
    if verb.is("create") {
        let unique = cursor.eat("unique");
        if cursor.eat("index") && !cursor.has(&["concurrently"]) {
            index(context, at, unique, cursor, findings);
        }
    } else if verb.is("alter") {
        alter(context, at, cursor, findings);
    } else if verb.is("drop") {
        drop_relations(context, piece, findings);
    } else if verb.is("lock") {
        let message = "every other user of these tables waits for this migration";
        findings.add(rule::LOCK, at, message);
    } else if verb.is("cluster")
        || verb.is("reindex") && !cursor.has(&["concurrently"])
        || verb.is("vacuum") && cursor.tokens.iter().take(6).any(|token| token.is("full"))
    {
        let named = names::mentions(&piece.tokens, piece.in_block);
        let mut written = named.iter().filter(|one| one.role != Role::Read).peekable();
        if written.peek().is_none() || written.any(|one| !context.here.contains(&one.name)) {
            findings.add(
                rule::REWRITE,
                at,
                "nobody uses the table until this is done",
            );
        }
    }
}

/// Labels of enums that are used before they are committed.
fn labels(context: &mut Context<'_>, piece: &Piece<'_>, findings: &mut Findings) {
    let tokens = &piece.tokens[..];
    for token in tokens {
        if context.in_transaction
            && let Some((label, _)) = token.content()
            && context.labels.contains(&*label)
        {
            let message = format!("the label {label:?} is added by this very transaction");
            findings.add(rule::ENUM_VALUE_USED, token.at, message);
        }
    }
    let mut cursor = Cursor::new(tokens);
    if !cursor.eat_all(&["alter", "type"]) {
        return;
    }
    // Before version 17 this is so even where the type is of the same transaction.
    if cursor.qualified().is_some() && cursor.eat_all(&["add", "value"]) {
        cursor.eat_if_exists();
        if let Some((label, _)) = cursor.peek().and_then(Token::content) {
            context.labels.insert(label.into_owned());
        }
    }
}

fn index(
    context: &Context<'_>,
    at: usize,
    unique: bool,
    mut cursor: Cursor<'_, '_>,
    findings: &mut Findings,
) {
    if !cursor.skip_past("on") {
        return;
    }
    cursor.eat("only");
    let Some(table) = cursor.qualified() else {
        return;
    };
    let table = table.name();
    if !context.here.contains(table) {
        let kind = if unique { "a unique index" } else { "an index" };
        let message = format!("{kind} on {table}, which is there already");
        findings.add(rule::INDEX, at, message);
    }
}

fn drop_relations(context: &Context<'_>, piece: &Piece<'_>, findings: &mut Findings) {
    let mut cursor = Cursor::new(&piece.tokens);
    cursor.eat("drop");
    let relation = cursor.eat_any(&["table", "view"])
        || cursor.eat_all(&["materialized", "view"])
        || cursor.eat_all(&["foreign", "table"]);
    if !relation || context.is_down {
        return;
    }
    for mention in names::mentions(&piece.tokens, piece.in_block) {
        let name = &mention.name;
        if !context.here.contains(name) {
            findings.add(rule::DROP, mention.at, format!("{name} may be in use"));
        }
    }
}

fn alter(
    context: &mut Context<'_>,
    at: usize,
    mut cursor: Cursor<'_, '_>,
    findings: &mut Findings,
) {
    let is_type = cursor.eat("type");
    let is_table = !is_type && {
        let _ = cursor.eat("foreign") || cursor.eat("materialized");
        cursor.eat_any(&["table", "view"])
    };
    if !is_table && !is_type {
        return;
    }
    cursor.eat_if_exists();
    cursor.eat("only");
    let Some(table) = cursor.qualified() else {
        return;
    };
    cursor.eat_symbol("*");
    let table = table.name();
    for action in cursor.split_commas() {
        let begin = action.peek().map_or(at, |token| token.at);
        if !context.here.contains(table) {
            if !context.is_down {
                breaking(table, begin, action, findings);
            }
            if is_table {
                Action {
                    context,
                    table,
                    at: begin,
                }
                .check(action, findings);
            }
        }
        context.proven.learn(table, action);
    }
}

/// What the running release would miss.
fn breaking(table: &str, at: usize, mut action: Cursor<'_, '_>, findings: &mut Findings) {
    if action.eat("rename") {
        if !action.eat("constraint") {
            let message = match action.starts(&["to"]) {
                true => format!("{table} gets another name"),
                false => format!("something in {table} gets another name"),
            };
            findings.add(rule::RENAME, at, message);
        }
    } else if action.eat("drop") && !action.eat_any(&["constraint", "expression"]) {
        action.eat_any(&["column", "attribute"]);
        action.eat_if_exists();
        if let Some(column) = action.qualified() {
            let message = format!("{table}.{} may be in use", column.name());
            findings.add(rule::DROP, at, message);
        }
    }
}

/// One action of ALTER TABLE, on a table that may have many rows.
struct Action<'a, 'c> {
    context: &'a mut Context<'c>,
    table: &'a str,
    at: usize,
}

impl Action<'_, '_> {
    fn check(self, mut action: Cursor<'_, '_>, findings: &mut Findings) {
        if action.eat("add") {
            if action.peek().is_some_and(|next| {
                next.is_any(&[
                    "constraint",
                    "check",
                    "foreign",
                    "unique",
                    "primary",
                    "exclude",
                    "not",
                ])
            }) {
                self.constraint(action, findings);
            } else {
                action.eat("column");
                action.eat_if_exists();
                self.column(action, findings);
            }
        } else if action.eat_all(&["validate", "constraint"]) {
            let name = action.qualified().map(|name| name.name().to_owned());
            let key = (self.table.to_owned(), name.unwrap_or_default());
            if self.context.in_transaction && self.context.not_valid.contains(&key) {
                let message = format!("{} is added by this very transaction", key.1);
                findings.add(rule::VALIDATED_AT_ONCE, self.at, message);
            }
        } else if action.eat("alter") {
            action.eat("column");
            let Some(column) = action.qualified() else {
                return;
            };
            let (table, column) = (self.table, column.name());
            if action.eat("type") || action.eat_all(&["set", "data", "type"]) {
                let message = format!("{table}.{column} gets another type");
                findings.add(rule::COLUMN_TYPE, self.at, message);
            } else if action.eat_all(&["set", "not", "null"])
                && !self.context.proven.holds(table, column)
            {
                let message = format!("nothing proves yet that {table}.{column} holds no NULL");
                findings.add(rule::SET_NOT_NULL, self.at, message);
            }
        } else if action.eat("set")
            && (action.eat_any(&["tablespace", "logged", "unlogged"])
                || action.eat_all(&["access", "method"]))
        {
            findings.add(
                rule::REWRITE,
                self.at,
                format!("{} is written anew", self.table),
            );
        }
    }

    fn constraint(self, mut action: Cursor<'_, '_>, findings: &mut Findings) {
        let table = self.table;
        let name = action
            .eat("constraint")
            .then(|| action.qualified())
            .flatten();
        let not_valid = action.has(&["not", "valid"]);
        if not_valid && let Some(name) = &name {
            let key = (table.to_owned(), name.name().to_owned());
            self.context.not_valid.insert(key);
        }
        if action.starts(&["foreign", "key"]) && !not_valid {
            let message = format!("all rows of {table} are checked at once");
            findings.add(rule::FOREIGN_KEY_VALID, self.at, message);
        } else if action.starts(&["check"]) && !not_valid {
            let message = format!("all rows of {table} are checked at once");
            findings.add(rule::CHECK_VALID, self.at, message);
        } else if action.starts(&["not", "null"]) && !not_valid {
            let message = format!("all rows of {table} are checked at once");
            findings.add(rule::SET_NOT_NULL, self.at, message);
        } else if action
            .peek()
            .is_some_and(|next| next.is_any(&["unique", "primary", "exclude"]))
            && !action.has(&["using", "index"])
        {
            let message = format!("an index on {table} is built for it");
            findings.add(rule::UNIQUE, self.at, message);
        }
    }

    fn column(self, mut action: Cursor<'_, '_>, findings: &mut Findings) {
        let Some(column) = action.qualified() else {
            return;
        };
        let (table, column, at) = (self.table, column.name(), self.at);
        let definition = Definition::read(action.tokens);
        let volatile = definition.calls.iter().find(|name| {
            let functions = [&self.context.tenant.volatile, &self.context.shared.volatile];
            VOLATILE.contains(&name.as_str()) || functions.iter().any(|known| known.contains(*name))
        });
        if let Some(function) = volatile {
            let message = format!("{function}() gives each row of {table} another {column}");
            findings.add(rule::COLUMN_REWRITES, at, message);
        } else if definition.is_computed {
            let message = format!("{column} is computed for each row of {table}");
            findings.add(rule::COLUMN_REWRITES, at, message);
        }
        if definition.not_null && !definition.has_default && !definition.is_computed {
            let message = format!("{column} has no value for the rows that {table} has");
            findings.add(rule::COLUMN_NOT_NULL, at, message);
        }
        if definition.unique {
            let message = format!("an index on {table} is built for {column}");
            findings.add(rule::UNIQUE, at, message);
        }
        if definition.check {
            let message = format!("all rows of {table} are checked at once");
            findings.add(rule::CHECK_VALID, at, message);
        }
        // Without a default there is nothing to check: PostgreSQL knows that.
        if definition.references && definition.has_default {
            let message = format!("all rows of {table} are checked at once");
            findings.add(rule::FOREIGN_KEY_VALID, at, message);
        }
    }
}
