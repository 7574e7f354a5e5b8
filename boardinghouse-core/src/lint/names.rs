//! What a statement names, and whether it writes there.

use super::{
    created::{modifiers, selected_into},
    cursor::{Cursor, Qualified},
    token::Token,
};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    /// Created, changed, locked, dropped, granted, filled.
    Written,
    Read,
    /// By a foreign key.
    Referenced,
    /// All that is in a schema is changed, or something is moved there.
    SchemaWritten,
}

/// Something that a statement names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Mention {
    pub(super) schema: Option<String>,
    /// Empty where a whole schema is meant.
    pub(super) name: String,
    pub(super) role: Role,
    pub(super) at: usize,
}

/// What stands between ALTER, DROP or COMMENT ON and the name. Longer ones come first.
const KINDS: &[&[&str]] = &[
    &["text", "search", "configuration"],
    &["text", "search", "dictionary"],
    &["text", "search", "parser"],
    &["text", "search", "template"],
    &["operator", "class"],
    &["operator", "family"],
    &["operator"],
    &["materialized", "view"],
    &["foreign", "table"],
    &["table"],
    &["view"],
    &["index"],
    &["sequence"],
    &["type"],
    &["domain"],
    &["function"],
    &["procedure"],
    &["routine"],
    &["aggregate"],
    &["collation"],
    &["conversion"],
    &["statistics"],
];

/// What belongs to a table and is named with `ON table`.
const PARTS: &[&str] = &["trigger", "policy", "rule", "constraint"];

/// Everything that a statement names.
pub(super) fn mentions(tokens: &[Token<'_>], in_block: bool) -> Vec<Mention> {
    let mut found = Found::default();
    found.target(Cursor::new(tokens));
    found.queries(tokens);
    if !in_block
        && let Some(created) = selected_into(tokens)
        && !created.temporary
    {
        found.add(Some(created.name), Role::Written);
    }
    found.0
}

#[derive(Debug, Default)]
struct Found(Vec<Mention>);

impl Found {
    fn add(&mut self, name: Option<Qualified>, role: Role) {
        if let Some(name) = name {
            self.0.push(Mention {
                schema: name.schema().map(str::to_owned),
                name: name.name().to_owned(),
                role,
                at: name.at,
            });
        }
    }

    fn add_schema(&mut self, name: Option<Qualified>) {
        if let Some(name) = name {
            self.0.push(Mention {
                schema: Some(name.name().to_owned()),
                name: String::new(),
                role: Role::SchemaWritten,
                at: name.at,
            });
        }
    }

    /// Several names, parted by commas, each with what may follow it.
    fn list(&mut self, mut cursor: Cursor<'_, '_>) {
        loop {
            cursor.eat("only");
            let name = cursor.qualified();
            if name.is_none() {
                return;
            }
            self.add(name, Role::Written);
            cursor.eat_symbol("*");
            // The arguments of a function, or the columns of a table.
            cursor.parentheses();
            if !cursor.eat_symbol(",") {
                return;
            }
        }
    }

    fn schemas(&mut self, mut cursor: Cursor<'_, '_>) {
        loop {
            self.add_schema(cursor.qualified());
            if !cursor.eat_symbol(",") {
                return;
            }
        }
    }

    /// What the statement is about, by its first words.
    fn target(&mut self, mut cursor: Cursor<'_, '_>) {
        let Some(verb) = cursor.next() else { return };
        if verb.is("create") {
            self.create(cursor);
        } else if verb.is("alter") {
            self.alter(cursor);
        } else if verb.is("drop") {
            if cursor.eat_any(PARTS) {
                self.on(cursor);
            } else if kind(&mut cursor) {
                cursor.eat("concurrently");
                cursor.eat_if_exists();
                self.list(cursor);
            }
        } else if verb.is_any(&["truncate", "lock"]) {
            cursor.eat("table");
            self.list(cursor);
        } else if verb.is("comment") || verb.is("security") {
            if cursor.skip_past("on") {
                self.comment(cursor);
            }
        } else if verb.is_any(&["grant", "revoke"]) {
            if cursor.skip_past("on") {
                self.grant(cursor);
            }
        } else if verb.is("copy") {
            let name = cursor.qualified();
            cursor.parentheses();
            let role = if cursor.eat("from") {
                Role::Written
            } else {
                Role::Read
            };
            self.add(name, role);
        } else if verb.is("refresh") && cursor.eat_all(&["materialized", "view"]) {
            cursor.eat("concurrently");
            self.list(cursor);
        } else if verb.is_any(&["reindex", "cluster", "vacuum", "analyze", "analyse"]) {
            self.maintenance(cursor);
        } else if verb.is("import") && cursor.skip_past("into") {
            self.add_schema(cursor.qualified());
        }
    }

    fn create(&mut self, mut cursor: Cursor<'_, '_>) {
        cursor.eat_all(&["or", "replace"]);
        let temporary = modifiers(&mut cursor);
        cursor.eat_any(&["constraint", "unique", "recursive"]);
        if cursor.eat("index") {
            if cursor.skip_past("on") {
                cursor.eat("only");
                self.add(cursor.qualified(), Role::Written);
            }
        } else if cursor.eat_any(&["trigger", "policy"]) {
            self.on(cursor);
        } else if cursor.eat("rule") {
            if cursor.skip_past("to") {
                self.add(cursor.qualified(), Role::Written);
            }
        } else if kind(&mut cursor) {
            cursor.eat_if_exists();
            let name = cursor.qualified();
            if !temporary {
                self.add(name, Role::Written);
            }
            // Partitions and children of inheritance change their parents.
            if cursor.eat_all(&["partition", "of"]) {
                self.add(cursor.qualified(), Role::Written);
            }
            while cursor.skip_past("inherits") {
                if let Some(parents) = cursor.parentheses() {
                    self.list(Cursor::new(parents));
                }
            }
        }
    }

    fn alter(&mut self, mut cursor: Cursor<'_, '_>) {
        if cursor.eat_any(PARTS) {
            return self.on(cursor);
        }
        if cursor.eat_all(&["default", "privileges"]) {
            while cursor.skip_past("in") {
                if cursor.eat("schema") {
                    self.schemas(cursor);
                }
            }
            return;
        }
        let parts = cursor.starts(&["table"]);
        if !kind(&mut cursor) || cursor.starts(&["all", "in"]) {
            return;
        }
        cursor.eat_if_exists();
        cursor.eat("only");
        self.add(cursor.qualified(), Role::Written);
        cursor.eat_symbol("*");
        cursor.parentheses();
        for mut action in cursor.split_commas() {
            if action.eat_all(&["set", "schema"]) {
                self.add_schema(action.qualified());
            } else if action.eat_all(&["attach", "partition"])
                || action.eat_all(&["detach", "partition"])
                || parts && (action.eat("inherit") || action.eat_all(&["no", "inherit"]))
            {
                self.add(action.qualified(), Role::Written);
            }
        }
    }

    fn on(&mut self, mut cursor: Cursor<'_, '_>) {
        if cursor.skip_past("on") {
            cursor.eat("domain");
            self.add(cursor.qualified(), Role::Written);
        }
    }

    fn comment(&mut self, mut cursor: Cursor<'_, '_>) {
        if cursor.eat("schema") {
            self.add_schema(cursor.qualified());
        } else if cursor.eat_any(PARTS) {
            self.on(cursor);
        } else if cursor.eat("column") {
            let column = cursor.qualified().map(|mut column| {
                column.parts.pop();
                column
            });
            self.add(
                column.filter(|table| !table.parts.is_empty()),
                Role::Written,
            );
        } else if kind(&mut cursor) {
            self.add(cursor.qualified(), Role::Written);
        }
    }

    fn grant(&mut self, mut cursor: Cursor<'_, '_>) {
        if cursor.eat("schema") {
            self.schemas(cursor);
        } else if cursor.eat("all") {
            if cursor.skip_past("in") && cursor.eat("schema") {
                self.schemas(cursor);
            }
        } else if cursor.peek().is_none_or(|next| {
            // These are in no schema.
            !next.is_any(&[
                "database",
                "tablespace",
                "language",
                "foreign",
                "large",
                "parameter",
            ])
        }) {
            kind(&mut cursor);
            self.list(cursor);
        }
    }

    fn maintenance(&mut self, mut cursor: Cursor<'_, '_>) {
        cursor.parentheses();
        while cursor.eat_any(&["full", "freeze", "verbose", "analyze", "analyse"]) {}
        if cursor.eat("schema") {
            cursor.eat("concurrently");
            self.add_schema(cursor.qualified());
        } else if !cursor.eat_any(&["database", "system"]) {
            cursor.eat_any(&["table", "index"]);
            cursor.eat("concurrently");
            self.list(cursor);
        }
    }

    /// What is written and read inside, wherever it stands.
    fn queries(&mut self, tokens: &[Token<'_>]) {
        // What functions and rules do, they do when they are called.
        let later = later(tokens);
        let tokens = &tokens[..later];
        // LIKE is in the list of columns of a new table, and not an operator.
        let lists = tokens.first().is_some_and(|first| first.is("create"));
        for (at, token) in tokens.iter().enumerate() {
            let before = at.checked_sub(1).map(|before| &tokens[before]);
            let mut cursor = Cursor::new(&tokens[at + 1..]);
            let role = if token.is("into") && before.is_some_and(|b| b.is_any(&["insert", "merge"]))
                || token.is("from") && before.is_some_and(|b| b.is("delete"))
                || token.is("update") && before.is_none_or(begins_statement)
            {
                Role::Written
            } else if token.is("references") {
                Role::Referenced
            } else if token.is_any(&["join", "using"])
                || token.is("from") && !before.is_some_and(|b| b.is("distinct"))
                || token.is("table") && before.is_none_or(begins_query)
                || token.is("like") && lists && before.is_some_and(begins_query)
            {
                Role::Read
            } else {
                continue;
            };
            cursor.eat("only");
            self.add(cursor.qualified(), role);
        }
    }
}

/// Whether TABLE behind this is a query.
fn begins_query(before: &Token<'_>) -> bool {
    before.is_symbol("(")
        || before.is_symbol(",")
        || before.is_any(&["as", "union", "all", "except", "intersect"])
}

/// Whether an UPDATE behind this is a statement, and not part of a trigger, a grant or a lock.
fn begins_statement(before: &Token<'_>) -> bool {
    before.is_symbol("(")
        || before.is_symbol(")")
        || before.is_symbol(";")
        || before.is_any(&["as", "explain", "analyze", "verbose", "materialized"])
}

/// Where that begins which is not done now: the body of a function, or of a rule.
fn later(tokens: &[Token<'_>]) -> usize {
    let create = tokens.first().is_some_and(|first| first.is("create"));
    let mut head = tokens.iter().take(4);
    if create && head.any(|token| token.is_any(&["function", "procedure", "rule"])) {
        let body = |token: &Token<'_>| token.is_any(&["begin", "return", "do"]);
        return tokens.iter().position(body).unwrap_or(tokens.len());
    }
    tokens.len()
}

/// Passes over the kind of an object; says whether it is one that a schema holds.
fn kind(cursor: &mut Cursor<'_, '_>) -> bool {
    KINDS.iter().any(|kind| cursor.eat_all(kind))
}

#[cfg(test)]
mod tests {
    use super::{Role, mentions};
    use crate::lint::token::body;

    fn written(text: &str) -> Vec<String> {
        let shown = mentions(&body(text), false).into_iter().map(|mention| {
            let role = match mention.role {
                Role::Written => "w",
                Role::Read => "r",
                Role::Referenced => "f",
                Role::SchemaWritten => "s",
            };
            assert!(mention.at > 0, "{text}");
            match mention.schema {
                Some(schema) => format!("{role} {schema}.{}", mention.name),
                None => format!("{role} {}", mention.name),
            }
        });
        shown.collect()
    }

    #[test]
    fn the_target_of_each_statement_is_found() {
        for (text, expected) in [
            ("CREATE TABLE IF NOT EXISTS s.t (a int)", &["w s.t"][..]),
            ("CREATE UNLOGGED TABLE \"S\" . \"T\" ()", &["w S.T"]),
            ("CREATE TEMP TABLE t (a int)", &[]),
            ("CREATE TABLE p PARTITION OF s.t DEFAULT", &["w p", "w s.t"]),
            (
                "CREATE TABLE c () INHERITS (s.t, u)",
                &["w c", "w s.t", "w u"],
            ),
            (
                "CREATE UNIQUE INDEX CONCURRENTLY IF NOT EXISTS i ON ONLY s.t (a)",
                &["w s.t"],
            ),
            (
                "CREATE TRIGGER g BEFORE UPDATE OF a ON s.t EXECUTE FUNCTION u.f()",
                &["w s.t"],
            ),
            (
                "CREATE CONSTRAINT TRIGGER g AFTER INSERT ON s.t EXECUTE FUNCTION f()",
                &["w s.t"],
            ),
            ("CREATE POLICY p ON s.t FOR UPDATE USING (true)", &["w s.t"]),
            (
                "CREATE RULE r AS ON UPDATE TO s.t DO ALSO UPDATE u.v SET a = 1",
                &["w s.t"],
            ),
            (
                "CREATE OR REPLACE VIEW s.v AS SELECT * FROM u.t JOIN w.x USING (a)",
                &["w s.v", "r u.t", "r w.x"],
            ),
            (
                "CREATE FUNCTION s.f() RETURNS int RETURN (SELECT a FROM u.v)",
                &["w s.f"],
            ),
            (
                "CREATE FUNCTION f() RETURNS int BEGIN ATOMIC DELETE FROM u.v; END",
                &["w f"],
            ),
            ("CREATE TYPE s.e AS ENUM ('a')", &["w s.e"]),
            ("CREATE SEQUENCE s.q", &["w s.q"]),
            ("CREATE MATERIALIZED VIEW s.m AS SELECT 1", &["w s.m"]),
            (
                "CREATE TEXT SEARCH CONFIGURATION s.c (COPY = simple)",
                &["w s.c"],
            ),
            (
                "ALTER TABLE IF EXISTS ONLY s.t ADD a int REFERENCES u.v (b)",
                &["w s.t", "f u.v"],
            ),
            ("ALTER TABLE t SET SCHEMA s", &["w t", "s s."]),
            (
                "ALTER TABLE t ATTACH PARTITION s.p DEFAULT",
                &["w t", "w s.p"],
            ),
            ("ALTER FUNCTION s.f(int) SET SCHEMA u", &["w s.f", "s u."]),
            (
                "ALTER DEFAULT PRIVILEGES IN SCHEMA s, u GRANT SELECT ON TABLES TO x",
                &["s s.", "s u."],
            ),
            ("ALTER POLICY p ON s.t TO x", &["w s.t"]),
            ("DROP TABLE IF EXISTS s.t, u CASCADE", &["w s.t", "w u"]),
            ("DROP INDEX CONCURRENTLY s.i", &["w s.i"]),
            ("DROP FUNCTION s.f(int, text), g()", &["w s.f", "w g"]),
            ("DROP TRIGGER IF EXISTS g ON s.t", &["w s.t"]),
            ("TRUNCATE TABLE ONLY s.t, u *, v", &["w s.t", "w u", "w v"]),
            ("LOCK s.t IN SHARE MODE", &["w s.t"]),
            ("COMMENT ON COLUMN s.t.c IS 'x'", &["w s.t"]),
            ("COMMENT ON COLUMN t.c IS 'x'", &["w t"]),
            ("COMMENT ON CONSTRAINT k ON s.t IS 'x'", &["w s.t"]),
            ("COMMENT ON SCHEMA s IS 'x'", &["s s."]),
            (
                "GRANT SELECT (a), UPDATE ON TABLE s.t, u TO x",
                &["w s.t", "w u"],
            ),
            (
                "REVOKE ALL ON ALL TABLES IN SCHEMA s FROM PUBLIC",
                &["s s.", "r public"],
            ),
            ("GRANT USAGE ON SCHEMA s TO x", &["s s."]),
            ("GRANT CONNECT ON DATABASE d TO x", &[]),
            ("COPY s.t (a) FROM '/x'", &["w s.t"]),
            ("COPY s.t TO '/x'", &["r s.t"]),
            ("REFRESH MATERIALIZED VIEW CONCURRENTLY s.m", &["w s.m"]),
            ("REINDEX (VERBOSE) TABLE CONCURRENTLY s.t", &["w s.t"]),
            ("VACUUM FULL ANALYZE s.t (a), u", &["w s.t", "w u"]),
            (
                "IMPORT FOREIGN SCHEMA a FROM SERVER b INTO s",
                &["s s.", "r server"],
            ),
            ("INSERT INTO s.t SELECT * FROM u.v", &["w s.t", "r u.v"]),
            (
                "WITH a AS (UPDATE ONLY s.t SET b = 1 RETURNING *) SELECT * FROM a",
                &["w s.t", "r a"],
            ),
            ("DELETE FROM s.t USING u.v", &["w s.t", "r u.v"]),
            (
                "MERGE INTO s.t USING u.v ON true WHEN MATCHED THEN DELETE",
                &["w s.t", "r u.v"],
            ),
            ("SELECT a INTO TABLE s.t FROM u", &["r u", "w s.t"]),
            ("EXPLAIN ANALYZE UPDATE s.t SET a = 1", &["w s.t"]),
            ("SELECT 1 FROM t FOR UPDATE OF s", &["r t"]),
            (
                "INSERT INTO t VALUES (1) ON CONFLICT (a) DO UPDATE SET b = 1",
                &["w t"],
            ),
            ("SELECT a IS DISTINCT FROM s.b", &[]),
            ("SELECT 'INSERT INTO s.t'", &[]),
        ] {
            assert_eq!(written(text), expected, "{text}");
        }
    }
}
