//! What a server or a database has once, and no tenant has of its own.

use super::{context::Findings, cursor::Cursor, known::Piece, names, rule};

pub(super) fn check(piece: &Piece<'_>, findings: &mut Findings) {
    let mut cursor = Cursor::new(&piece.tokens);
    let Some(verb) = cursor.next() else { return };
    let at = verb.at;
    if verb.is_any(&["grant", "revoke"]) {
        let role = !cursor.has(&["on"]);
        let of_server = cursor.skip_past("on")
            && cursor.eat_any(&["database", "tablespace", "language", "foreign", "parameter"]);
        if role || of_server {
            let message = "this grants what the whole database or server has";
            findings.add(rule::NOT_PER_TENANT, at, message);
        }
        return;
    }
    if verb.is_any(&["reassign", "drop"]) && cursor.eat("owned") {
        findings.add(
            rule::NOT_PER_TENANT,
            at,
            "this is about all that a role owns",
        );
        return;
    }
    if verb.is("alter") && cursor.starts(&["default", "privileges"]) {
        if !cursor.has(&["in", "schema"]) {
            let message = "this is about what a role creates in every schema";
            findings.add(rule::NOT_PER_TENANT, at, message);
        }
        return;
    }
    if verb.is_any(&["vacuum", "analyze", "analyse"])
        && names::mentions(&piece.tokens, piece.in_block).is_empty()
    {
        let message = "without a table this works through those of all tenants, for each tenant";
        findings.add(rule::NOT_PER_TENANT, at, message);
        return;
    }
    let comment = verb.is("comment") && cursor.eat("on");
    if !comment && !verb.is_any(&["create", "alter", "drop"]) {
        return;
    }
    cursor.eat_all(&["or", "replace"]);
    cursor.eat("trusted");
    cursor.eat("procedural");
    let two = |first: &str, second: &str| cursor.starts(&[first, second]);
    let of_server = two("event", "trigger")
        || two("foreign", "data")
        || two("access", "method")
        || cursor.peek().is_some_and(|kind| {
            kind.is_any(&[
                "database",
                "role",
                "user",
                "group",
                "tablespace",
                "system",
                "language",
                "publication",
                "subscription",
                "server",
                "transform",
            ])
        });
    if of_server {
        findings.add(
            rule::NOT_PER_TENANT,
            at,
            "a tenant has none of these of its own",
        );
    } else if cursor.eat("extension") {
        findings.add(
            rule::EXTENSION,
            at,
            "an extension belongs to the whole database",
        );
    } else if cursor.eat("schema") {
        // What is said about a schema is told with the schemas that are written to.
        if !comment {
            findings.add(rule::SCHEMA, at, "the schema of a tenant is there already");
        }
    } else if verb.is("create") && cursor.eat_any(&["type", "domain"]) {
        let name = cursor
            .qualified()
            .map(|name| name.name().to_owned())
            .unwrap_or_default();
        findings.add(
            rule::OWN_TYPE,
            at,
            format!("{name} becomes another type in each tenant"),
        );
    }
}
