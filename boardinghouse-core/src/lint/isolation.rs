//! Rules about whose tables are whose, and about what a migration does to its session.

use super::{
    Set,
    context::{Context, Findings},
    created,
    cursor::Cursor,
    known::{self, Piece},
    names::{self, Mention, Role},
    once, rule,
    token::{Kind, Token},
};

pub(super) fn check(context: &Context<'_>, piece: &Piece<'_>, findings: &mut Findings) {
    for mention in names::mentions(&piece.tokens, piece.in_block) {
        named(context, &mention, findings);
    }
    path(piece, findings);
    session(context, piece, findings);
    transactions(context, piece, findings);
    if context.set == Set::Tenant {
        once::check(piece, findings);
    }
    if !piece.in_block {
        hidden(piece, findings);
    }
}

/// A name, with the schema in front of it or without one.
fn named(context: &Context<'_>, mention: &Mention, findings: &mut Findings) {
    let Mention { name, at, role, .. } = mention;
    let (at, schema) = (*at, mention.schema.as_deref());
    if created::is_temporary(schema) {
        return;
    }
    let written = matches!(role, Role::Written | Role::SchemaWritten);
    let of_tenants = context.tenant.ever.contains(name) && !context.shared.ever.contains(name);
    let of_shared = context.shared.ever.contains(name) && !context.tenant.ever.contains(name);
    match (context.set, schema) {
        (Set::Shared, None) => {
            if of_tenants && *role != Role::Read {
                let message =
                    format!("{name} is a table of tenants, which shared tables do not see");
                findings.add(rule::SHARED_REFERS_TENANT, at, message);
            }
        }
        (Set::Shared, Some(schema)) => {
            let is_tenants = context.is_tenants(schema);
            if *role == Role::Referenced && (is_tenants || of_tenants) {
                let message = format!("a foreign key to {schema}.{name}, which is a tenant's");
                findings.add(rule::SHARED_REFERS_TENANT, at, message);
            } else if is_tenants {
                let message = format!("{schema} is not the shared schema's business");
                findings.add(rule::NAMES_TENANT, at, message);
            } else if written && context.is_shared(schema) && of_tenants {
                let message = format!("{name} is a table of tenants, and not one of {schema}");
                findings.add(rule::SHARED_REFERS_TENANT, at, message);
            } else if written && !context.is_shared(schema) && !may_be_written(context, schema) {
                findings.add(
                    rule::QUALIFIED_WRITE,
                    at,
                    format!("this writes to schema {schema}"),
                );
            }
        }
        (Set::Tenant, None) => {
            if of_shared && *role == Role::Referenced {
                let message =
                    format!("{name} is a shared table, which is not found without its schema");
                findings.add(rule::UNQUALIFIED_SHARED, at, message);
            } else if of_shared && written {
                findings.add(rule::WRITES_SHARED, at, format!("{name} is a shared table"));
            }
        }
        (Set::Tenant, Some(schema)) => {
            let is_own = context.tenant.ever.contains(name) && *role != Role::SchemaWritten;
            if context.is_shared(schema) {
                if of_tenants && is_own {
                    let message =
                        format!("{name} is a tenant's table: without {schema} it is the right one");
                    findings.add(rule::QUALIFIED_OWN, at, message);
                } else if written {
                    let message = format!("this writes to {schema}, which all tenants share");
                    findings.add(rule::WRITES_SHARED, at, message);
                }
            } else if is_own && (*role != Role::Read || context.is_tenants(schema)) {
                let message = format!("{name} is a tenant's table, and {schema} one schema");
                findings.add(rule::QUALIFIED_OWN, at, message);
            } else if context.is_tenants(schema) {
                let message = format!("every tenant would use what is in {schema}");
                findings.add(rule::NAMES_TENANT, at, message);
            } else if written {
                findings.add(
                    rule::QUALIFIED_WRITE,
                    at,
                    format!("this writes to schema {schema}"),
                );
            }
        }
    }
}

/// Schemas that shared migrations may write to, beside the shared one.
fn may_be_written(context: &Context<'_>, schema: &str) -> bool {
    context.shared.schemas.contains(schema)
        || context
            .layout
            .extra()
            .iter()
            .any(|extra| extra.as_str() == schema)
}

/// The search_path, by statement or by function.
fn path(piece: &Piece<'_>, findings: &mut Findings) {
    let mut cursor = Cursor::new(&piece.tokens);
    let Some(first) = cursor.next() else { return };
    let at = first.at;
    if first.is("set") {
        cursor.eat_any(&["session", "local"]);
        let setting = cursor.peek().and_then(Token::name);
        if setting.is_some_and(|name| ["search_path", "schema"].contains(&&*name)) {
            findings.add(
                rule::SEARCH_PATH,
                at,
                "this leads the migration to another schema",
            );
        }
    } else if first.is("reset") && cursor.eat_any(&["search_path", "all"])
        || first.is("discard") && cursor.eat("all")
    {
        findings.add(rule::SEARCH_PATH, at, "this undoes the path of the tenant");
    }
    for (at, arguments) in calls(&piece.tokens, "set_config") {
        let path = arguments
            .first()
            .and_then(|setting| setting.tokens.first()?.content());
        if path.is_some_and(|(setting, _)| setting.trim().eq_ignore_ascii_case("search_path")) {
            findings.add(
                rule::SEARCH_PATH,
                at,
                "this leads the migration to another schema",
            );
        } else if arguments.get(2).is_some_and(|local| local.has(&["false"])) {
            findings.add(rule::SESSION_STATE, at, "this setting stays");
        }
    }
}

/// What outlives the migration.
fn session(context: &Context<'_>, piece: &Piece<'_>, findings: &mut Findings) {
    let mut cursor = Cursor::new(&piece.tokens);
    let Some(first) = cursor.next() else { return };
    let mut stays = |what: &str| findings.add(rule::SESSION_STATE, first.at, what);
    if first.is("set") {
        let local = cursor.eat("local");
        cursor.eat("session");
        // The path is told by its own rule.
        let others = ["constraints", "transaction", "search_path", "schema"];
        let setting = cursor.peek().and_then(Token::name);
        if !local && !setting.is_some_and(|name| others.contains(&&*name)) {
            stays("this setting stays");
        }
    } else if first.is("listen") {
        stays("this subscription stays");
    } else if first.is("load") {
        stays("this library stays");
    } else if first.is("prepare") && !cursor.eat("transaction") {
        stays("this prepared statement stays");
    } else if first.is("declare") && !piece.in_block && cursor.has(&["with", "hold"]) {
        stays("this cursor stays");
    }
    if let Some(created) = created::created(&piece.tokens, piece.in_block)
        && created.temporary
        && created.has_rows
        && !cursor.has(&["on", "commit", "drop"])
        && !context.dropped.contains(created.name.name())
    {
        let message = format!("the temporary table {} stays", created.name.name());
        findings.add(rule::SESSION_STATE, created.name.at, message);
    }
    for function in [
        "pg_advisory_lock",
        "pg_advisory_lock_shared",
        "pg_try_advisory_lock",
        "pg_try_advisory_lock_shared",
    ] {
        for (at, _) in calls(&piece.tokens, function) {
            findings.add(rule::SESSION_STATE, at, "this lock stays");
        }
    }
}

/// Where a function is called, and its arguments.
fn calls<'a, 't>(tokens: &'a [Token<'t>], function: &str) -> Vec<(usize, Vec<Cursor<'a, 't>>)> {
    let mut found = Vec::new();
    for (at, token) in tokens.iter().enumerate() {
        if token.name().is_some_and(|name| name == function)
            && let Some(arguments) = Cursor::new(&tokens[at + 1..]).parentheses()
        {
            found.push((token.at, Cursor::new(arguments).split_commas()));
        }
    }
    found
}

/// Beginning and ending transactions, and what wants none.
fn transactions(context: &Context<'_>, piece: &Piece<'_>, findings: &mut Findings) {
    let mut cursor = Cursor::new(&piece.tokens);
    let Some(first) = cursor.next() else { return };
    let controls = match piece.in_block {
        // BEGIN and END are a block's.
        true => first.is_any(&["commit", "rollback"]),
        false => {
            first.is_any(&["begin", "commit", "end", "abort"])
                || first.is("start") && cursor.starts(&["transaction"])
                || first.is("prepare") && cursor.starts(&["transaction"])
                || first.is("rollback") && !cursor.has(&["to"])
        }
    };
    if controls && context.in_transaction {
        let message = "this migration runs in a transaction that is not its own to end";
        findings.add(rule::TRANSACTION_CONTROL, first.at, message);
    }
    if let Some(what) = wants_no_transaction(Cursor::new(&piece.tokens)) {
        if context.in_transaction || piece.in_block {
            let message = format!("{what} cannot run in a transaction");
            findings.add(rule::NOT_IN_TRANSACTION, first.at, message);
        } else if !context.is_alone {
            let message = format!("{what} must be the only statement of its file");
            findings.add(rule::NOT_ALONE, first.at, message);
        }
    }
}

/// What PostgreSQL refuses in a transaction.
fn wants_no_transaction(mut cursor: Cursor<'_, '_>) -> Option<&'static str> {
    let concurrently = cursor.has(&["concurrently"]);
    let verb = cursor.next()?;
    if verb.is("vacuum") {
        return Some("VACUUM");
    }
    if verb.is("create") || verb.is("drop") {
        cursor.eat("unique");
        return match () {
            () if cursor.eat("index") => {
                concurrently.then_some("an index that is made or dropped CONCURRENTLY")
            }
            () if cursor.eat("database") => Some("creating or dropping a database"),
            () if cursor.eat("tablespace") => Some("creating or dropping a tablespace"),
            () if cursor.eat("subscription") => Some("creating or dropping a subscription"),
            () => None,
        };
    }
    if verb.is("alter") {
        return match () {
            () if cursor.eat("system") => Some("ALTER SYSTEM"),
            () if cursor.has(&["detach", "partition"]) && concurrently => {
                Some("DETACH PARTITION … CONCURRENTLY")
            }
            () => None,
        };
    }
    if verb.is("reindex") {
        cursor.parentheses();
        let many = cursor.eat_any(&["schema", "database", "system"]);
        return (many || concurrently)
            .then_some("REINDEX CONCURRENTLY, or of more than one table,");
    }
    let all = verb.is("cluster") && cursor.tokens.iter().all(|token| token.is("verbose"));
    all.then_some("CLUSTER of all tables")
}

/// Blocks and functions that run what they build.
fn hidden(piece: &Piece<'_>, findings: &mut Findings) {
    let tokens = &piece.tokens[..];
    let mut cursor = Cursor::new(tokens);
    let is_do = cursor.eat("do");
    let is_function = cursor.eat("create") && {
        cursor.eat_all(&["or", "replace"]);
        cursor.eat_any(&["function", "procedure"])
    };
    if !is_do && !is_function {
        return;
    }
    let Some(block) = known::block(tokens) else {
        if is_do && let Some(first) = tokens.first() {
            let message = "this block is written in quotes: what it runs is not looked into";
            findings.add(rule::HIDDEN_SQL, first.at, message);
        }
        return;
    };
    let execute = block
        .iter()
        .zip(block.iter().skip(1).map(Some).chain([None]))
        .find(|(token, next)| {
            token.is("execute")
                && !next.is_some_and(|next| next.is_any(&["function", "procedure", "on"]))
        });
    let Some((execute, _)) = execute else { return };
    // A function may be meant for the application. One that defines tables is not.
    if is_do || block.iter().any(defines) {
        let message = "what this builds and executes is not looked into";
        findings.add(rule::HIDDEN_SQL, execute.at, message);
    }
}

/// Whether a constant begins like a statement that defines something.
fn defines(token: &Token<'_>) -> bool {
    const VERBS: [&str; 6] = ["create", "alter", "drop", "truncate", "grant", "revoke"];
    token.kind == Kind::String
        && token.content().is_some_and(|(content, _)| {
            let word = content.split_whitespace().next().unwrap_or_default();
            VERBS.iter().any(|verb| word.eq_ignore_ascii_case(verb))
        })
}
