//! Each rule with texts in which it finds something, and texts in which it must not.

use proptest::prelude::*;

use super::{Lint, LintFinding, MigrationText, RULES, Set};
use crate::{doctor::Severity, layout::Layout};

/// What was there before: each set has tables, and `both` is in both.
fn before() -> Vec<MigrationText> {
    let shared = "CREATE TABLE users (id int); CREATE TABLE plans (id int); CREATE SCHEMA audit;";
    let tenant = "CREATE TABLE notes (id int, author int); CREATE TABLE tags (id int);
        CREATE FUNCTION own_volatile() RETURNS int LANGUAGE sql AS 'SELECT 1';
        CREATE FUNCTION own_stable() RETURNS int LANGUAGE sql STABLE AS 'SELECT 1';
        CREATE TYPE mood AS ENUM ('ok'); -- boardinghouse: allow own-type";
    vec![
        MigrationText::new(Set::Shared, "shared/1_before", shared).with_down("SELECT 1"),
        MigrationText::new(Set::Tenant, "tenant/1_before", tenant).with_down("SELECT 1"),
    ]
}

fn find(migration: MigrationText) -> Vec<LintFinding> {
    let mut all = before();
    assert_eq!(Lint::new().run_texts(&all), []);
    all.push(migration);
    Lint::new().run_texts(&all)
}

fn migration(set: Set, up: &str) -> MigrationText {
    MigrationText::new(set, format!("{set}/2_now"), up).with_down("SELECT 1")
}

/// The rules that find something, each as often as it does.
fn rules(migration: MigrationText) -> Vec<&'static str> {
    find(migration)
        .into_iter()
        .map(|finding| finding.rule)
        .collect()
}

/// In these the rule finds one thing, and no other rule finds anything.
#[track_caller]
fn bad(set: Set, rule: &str, texts: &[&str]) {
    for text in texts {
        assert_eq!(rules(migration(set, text)), [rule], "{text}");
    }
}

/// In these nothing is found.
#[track_caller]
fn good(set: Set, texts: &[&str]) {
    for text in texts {
        let found = find(migration(set, text));
        assert_eq!(found, [], "{text}");
    }
}

#[test]
fn writes_shared() {
    bad(
        Set::Tenant,
        "writes-shared",
        &[
            "CREATE TABLE public.reports (id int)",
            "CREATE TABLE \"public\".reports (id int)",
            "CREATE TABLE PUBLIC . reports (id int)",
            "CREATE TABLE U&\"\\0070ublic\".reports (id int)",
            "INSERT INTO public.plans VALUES (1)",
            "insert /* x */ into public.plans values (1)",
            "UPDATE public.plans SET id = 2",
            "DELETE FROM ONLY public.plans",
            "MERGE INTO public.plans USING notes ON true WHEN MATCHED THEN DELETE",
            "WITH gone AS (DELETE FROM public.plans RETURNING id) INSERT INTO notes SELECT id FROM gone",
            "TRUNCATE notes, public.plans",
            "ALTER TABLE public.plans ADD b int",
            "CREATE FUNCTION public.f() RETURNS int LANGUAGE sql AS 'SELECT 1'",
            "COMMENT ON COLUMN public.plans.id IS 'x'",
            "GRANT SELECT ON public.plans TO reader",
            "GRANT USAGE ON SCHEMA public TO reader",
            "REVOKE ALL ON ALL TABLES IN SCHEMA public FROM reader",
            "CREATE TRIGGER t AFTER INSERT ON public.plans EXECUTE FUNCTION f()",
            "ALTER TABLE notes SET SCHEMA public",
            "COPY public.plans FROM '/tmp/x'",
            "SELECT id INTO public.copied FROM notes",
            "CREATE OPERATOR public.+ (FUNCTION = f, LEFTARG = int)",
            "DROP OPERATOR IF EXISTS public.||| (int, int)",
            "CREATE OPERATOR CLASS public.c FOR TYPE int USING btree AS OPERATOR 1 <",
            "INSERT INTO plans VALUES (1)",
            "DO $$ BEGIN IF true THEN UPDATE public.plans SET id = 1; END IF; END $$",
            "/* /* INSERT */ */ INSERT INTO public.plans SELECT '--' FROM notes",
        ],
    );
    good(
        Set::Tenant,
        &[
            "CREATE TABLE a (user_id int REFERENCES public.users (id))",
            "INSERT INTO notes SELECT id FROM public.plans",
            "CREATE VIEW v AS SELECT * FROM public.plans",
            "ALTER TABLE notes ADD kind public.citext",
            "CREATE TRIGGER t AFTER INSERT ON notes EXECUTE FUNCTION public.audited()",
            "COMMENT ON TABLE notes IS 'INSERT INTO public.plans'",
            "CREATE FUNCTION f() RETURNS void LANGUAGE sql AS 'INSERT INTO public.plans VALUES (1)'",
            "CREATE FUNCTION f() RETURNS void BEGIN ATOMIC INSERT INTO public.plans VALUES (1); END",
            "SELECT public.refresh(id) FROM notes FOR UPDATE",
            "SELECT 1 -- INSERT INTO public.plans",
        ],
    );
    good(
        Set::Shared,
        &[
            "INSERT INTO public.plans VALUES (1)",
            "INSERT INTO plans VALUES (1)",
        ],
    );
}

#[test]
fn the_shared_schema_has_the_name_that_the_layout_gives_it() {
    let layout = Layout::default()
        .with_shared("common".parse().unwrap())
        .unwrap();
    let lint = Lint::new().layout(layout);
    let one = |up| {
        let found = lint.run_texts(&[migration(Set::Tenant, up)]);
        found
            .into_iter()
            .map(|finding| finding.rule)
            .collect::<Vec<_>>()
    };
    assert_eq!(one("CREATE TABLE common.a ()"), ["writes-shared"]);
    // Now an unknown schema like others: the table counts as the tenants', and has the wrong place.
    assert_eq!(one("CREATE TABLE public.a ()"), ["qualified-own"]);
}

#[test]
fn qualified_own() {
    bad(
        Set::Tenant,
        "qualified-own",
        &[
            "CREATE TABLE acme.reports (id int)",
            "INSERT INTO acme.notes VALUES (1)",
            "ALTER TABLE public.notes ADD b int",
            "SELECT * FROM public.notes",
            "TABLE public.notes",
            "CREATE TABLE a (id int, LIKE public.notes INCLUDING ALL)",
            "INSERT INTO tags (TABLE public.notes)",
            "SELECT * FROM __template__.notes",
            "CREATE TABLE a (b int REFERENCES public.notes (id))",
            "CREATE TABLE a (b int REFERENCES acme.notes (id))",
            "CREATE INDEX CONCURRENTLY i ON __template__.notes (id); -- boardinghouse: allow not-in-transaction",
        ],
    );
    good(
        Set::Tenant,
        &[
            "UPDATE notes SET id = notes.id",
            "CREATE TABLE pg_temp.notes () ON COMMIT DROP",
        ],
    );
}

#[test]
fn qualified_write() {
    bad(
        Set::Tenant,
        "qualified-write",
        &[
            "CREATE SEQUENCE acme.numbers",
            "INSERT INTO legacy.log VALUES (1)",
            "UPDATE boardinghouse.tenants SET id = 'x'",
            "ALTER TABLE notes SET SCHEMA legacy",
        ],
    );
    bad(
        Set::Shared,
        "qualified-write",
        &[
            "INSERT INTO legacy.log VALUES (1)",
            "DELETE FROM boardinghouse.tenants",
            "CREATE FUNCTION pg_catalog.f() RETURNS int RETURN 1",
        ],
    );
    good(
        Set::Tenant,
        &["INSERT INTO notes SELECT id FROM legacy.log"],
    );
    good(
        Set::Shared,
        &[
            "CREATE TABLE audit.log (id int)",
            "INSERT INTO plans SELECT id FROM legacy.log",
        ],
    );
}

#[test]
fn names_tenant() {
    bad(
        Set::Shared,
        "names-tenant",
        &[
            "CREATE VIEW all_notes AS SELECT * FROM __template__.notes",
            "UPDATE __template__.notes SET id = 1",
            "GRANT USAGE ON SCHEMA __template__ TO reader",
        ],
    );
    bad(
        Set::Tenant,
        "names-tenant",
        &["SELECT * FROM __template__.other"],
    );
    let layout = Layout::default().with_prefix("t_").unwrap();
    let text = migration(
        Set::Shared,
        "SELECT * FROM t_acme.other JOIN public.plans USING (id)",
    );
    let found = Lint::new().layout(layout).run_texts(&[text]);
    assert_eq!(found.len(), 1);
    assert_eq!((found[0].rule, found[0].column), ("names-tenant", 15));
    good(Set::Shared, &["SELECT * FROM t_acme.other"]);
}

#[test]
fn shared_refers_tenant() {
    bad(
        Set::Shared,
        "shared-refers-tenant",
        &[
            "CREATE TABLE a (note int REFERENCES notes)",
            "CREATE TABLE a (note int, FOREIGN KEY (note) REFERENCES notes (id))",
            "ALTER TABLE plans ADD FOREIGN KEY (id) REFERENCES __template__.notes NOT VALID",
            "CREATE TABLE a (note int REFERENCES acme.notes)",
            "CREATE TABLE a (note int REFERENCES public.notes)",
            "INSERT INTO notes VALUES (1)",
        ],
    );
    good(Set::Shared, &["CREATE TABLE a (plan int REFERENCES plans)"]);
}

#[test]
fn unqualified_shared() {
    bad(
        Set::Tenant,
        "unqualified-shared",
        &[
            "CREATE TABLE a (plan int REFERENCES plans)",
            "ALTER TABLE notes ADD plan int REFERENCES plans",
        ],
    );
    good(
        Set::Tenant,
        &[
            "CREATE TABLE a (note int REFERENCES notes)",
            "CREATE TABLE a (plan int REFERENCES public.plans)",
        ],
    );
}

#[test]
fn shadows() {
    bad(
        Set::Tenant,
        "shadows",
        &[
            "CREATE TABLE plans (id int)",
            "CREATE VIEW plans AS SELECT 1",
            "CREATE TABLE a (); ALTER TABLE a RENAME TO plans",
            "CREATE TABLE \"plans\" (id int)",
        ],
    );
    // The tenants' table is the one that is told, whichever came last.
    let found = find(migration(Set::Shared, "CREATE TABLE notes (id int)"));
    assert_eq!((found.len(), found[0].rule), (1, "shadows"));
    assert!(found[0].file.ends_with("tenant/1_before/up.sql"));
    good(
        Set::Tenant,
        &[
            "CREATE TABLE \"Plans\" (id int)",
            "CREATE TABLE plans (id int); DROP TABLE plans",
            "CREATE TABLE plans (id int) -- boardinghouse: allow shadows",
        ],
    );
}

#[test]
fn search_path() {
    for set in [Set::Shared, Set::Tenant] {
        bad(
            set,
            "search-path",
            &[
                "SET search_path TO acme",
                "SET LOCAL search_path = acme",
                "SET SESSION SEARCH_PATH = acme",
                "SET SCHEMA 'acme'",
                "set \"search_path\" to x",
                "RESET search_path",
                "RESET ALL",
                "DISCARD ALL",
                "SELECT pg_catalog.set_config('search_path', '', false)",
                "SELECT set_config('Search_Path', '', true)",
                "DO $$ BEGIN PERFORM set_config('search_path', 'x', true); END $$",
                "DO $$ BEGIN SET search_path = x; END $$",
            ],
        );
        good(
            set,
            &[
                "SELECT 'SET search_path TO acme'",
                "SET LOCAL lock_timeout = '1s'",
                "RESET lock_timeout",
                "CREATE FUNCTION f() RETURNS int LANGUAGE sql SET search_path = '' AS 'SELECT 1'",
                "SELECT current_setting('search_path')",
            ],
        );
    }
}

#[test]
fn what_there_is_once() {
    bad(
        Set::Tenant,
        "extension",
        &[
            "CREATE EXTENSION IF NOT EXISTS citext",
            "DROP EXTENSION citext",
            "ALTER EXTENSION citext UPDATE",
        ],
    );
    bad(
        Set::Tenant,
        "schema",
        &[
            "CREATE SCHEMA x",
            "DROP SCHEMA x CASCADE",
            "ALTER SCHEMA x RENAME TO y",
        ],
    );
    bad(
        Set::Tenant,
        "not-per-tenant",
        &[
            "CREATE ROLE reader",
            "ALTER USER reader SET search_path = x",
            "DROP GROUP reader",
            "CREATE PUBLICATION p FOR ALL TABLES",
            "CREATE OR REPLACE TRUSTED LANGUAGE plperl",
            "CREATE EVENT TRIGGER e ON ddl_command_end EXECUTE FUNCTION f()",
            "GRANT reader TO writer",
            "GRANT CONNECT ON DATABASE app TO reader",
            "CREATE SERVER s FOREIGN DATA WRAPPER w",
            "COMMENT ON DATABASE app IS 'x'",
            "DROP OWNED BY reader",
            "ALTER DEFAULT PRIVILEGES FOR ROLE a GRANT SELECT ON TABLES TO b",
            "ANALYZE",
            "ANALYZE VERBOSE",
        ],
    );
    good(
        Set::Tenant,
        &[
            "GRANT SELECT ON notes TO reader",
            "CREATE OPERATOR + (FUNCTION = f, LEFTARG = int)",
            "ANALYZE notes (id)",
            "SELECT * FROM notes WHERE body LIKE public.pattern(1)",
            "CREATE POLICY p ON notes TO reader",
            "CREATE CAST (notes AS tags) WITHOUT FUNCTION",
        ],
    );
    good(
        Set::Shared,
        &[
            "CREATE EXTENSION citext",
            "CREATE SCHEMA x",
            "CREATE ROLE reader",
            "CREATE TYPE colour AS ENUM ('red')",
        ],
    );
    bad(
        Set::Tenant,
        "own-type",
        &[
            "CREATE TYPE colour AS ENUM ('red')",
            "CREATE DOMAIN positive AS int CHECK (VALUE > 0)",
        ],
    );
}

#[test]
fn not_sql() {
    bad(
        Set::Shared,
        "not-sql",
        &[
            "\\i other.sql\nSELECT 1",
            "SELECT 1 \\gexec",
            "COPY plans FROM stdin;\n1\t'\n\\.\nSELECT 1",
            "COMMENT ON TABLE plans IS 'it''s",
            "SELECT 1 /* /* */",
            "SELECT (1; SELECT 2",
            "\u{feff}SELECT 1",
        ],
    );
    good(
        Set::Shared,
        &[
            "SELECT '\\i', E'\\'', $$'$$, \"'\" /* ' */ -- '",
            "SELECT 1; ; ",
        ],
    );
    // What follows is read all the same.
    let found = rules(migration(
        Set::Tenant,
        "\\set x 'y\nCREATE EXTENSION citext",
    ));
    assert_eq!(found, ["not-sql", "extension"]);
}

#[test]
fn transactions() {
    bad(
        Set::Tenant,
        "transaction-control",
        &[
            "BEGIN",
            "START TRANSACTION",
            "COMMIT WORK",
            "ROLLBACK AND CHAIN",
            "END",
            "PREPARE TRANSACTION 'x'",
            "DO $$ BEGIN UPDATE notes SET id = 1; COMMIT; END $$",
        ],
    );
    good(
        Set::Tenant,
        &[
            "SAVEPOINT a; ROLLBACK TO a; RELEASE a",
            "DO $$ BEGIN NULL; END $$",
            "CREATE FUNCTION f() RETURNS int BEGIN ATOMIC SELECT 1; END",
        ],
    );
    let outside = |text: &str| rules(migration(Set::Tenant, text).run_in_transaction(false));
    assert!(outside("BEGIN; UPDATE notes SET id = 1; COMMIT").is_empty());
    for text in [
        "CREATE INDEX CONCURRENTLY i ON notes (id)",
        "CREATE UNIQUE INDEX CONCURRENTLY i ON notes (id)",
        "DROP INDEX CONCURRENTLY i",
        "REINDEX TABLE CONCURRENTLY notes",
        "VACUUM (ANALYZE) notes",
        "ALTER TABLE notes DETACH PARTITION tags CONCURRENTLY",
    ] {
        bad(Set::Tenant, "not-in-transaction", &[text]);
        assert!(outside(text).is_empty(), "{text}");
        let two = ["UPDATE notes SET id = 1", text].join("; ");
        assert_eq!(outside(&two), ["not-alone"], "{two}");
    }
    good(
        Set::Tenant,
        &["DROP INDEX i", "ALTER TABLE notes DETACH PARTITION tags"],
    );
}

#[test]
fn enum_value_used() {
    bad(
        Set::Tenant,
        "enum-value-used",
        &[
            "ALTER TYPE mood ADD VALUE IF NOT EXISTS 'sad' BEFORE 'ok'; UPDATE notes SET m = 'sad'",
            "CREATE TYPE m AS ENUM (); -- boardinghouse: allow own-type\n\
             ALTER TYPE m ADD VALUE 'sad'; CREATE TABLE a (m m DEFAULT 'sad')",
        ],
    );
    good(
        Set::Tenant,
        &[
            "ALTER TYPE mood ADD VALUE 'sad'; UPDATE notes SET m = 'ok'",
            "ALTER TYPE mood ADD VALUE 'sad'",
        ],
    );
}

#[test]
fn session_state() {
    bad(
        Set::Tenant,
        "session-state",
        &[
            "SET lock_timeout = '1s'",
            "SET SESSION statement_timeout = 0",
            "SET ROLE owner",
            "SET SESSION AUTHORIZATION owner",
            "SELECT set_config('app.x', 'y', false)",
            "LISTEN x",
            "SELECT pg_advisory_lock(1)",
            "SELECT pg_catalog.pg_try_advisory_lock_shared(1, 2)",
            "PREPARE p AS SELECT 1",
            "DECLARE c CURSOR WITH HOLD FOR SELECT 1",
            "CREATE TEMP TABLE x AS SELECT * FROM notes",
            "LOAD 'x'",
        ],
    );
    good(
        Set::Tenant,
        &[
            "SET LOCAL lock_timeout = '1s'",
            "SET CONSTRAINTS ALL DEFERRED",
            "SET TRANSACTION READ WRITE",
            "SELECT set_config('app.x', 'y', true)",
            "SELECT pg_advisory_xact_lock(1)",
            "SELECT 'pg_advisory_lock(1)'",
            "NOTIFY x",
            "CREATE TEMP TABLE x (id int) ON COMMIT DROP",
            "CREATE TEMP TABLE x (id int); DROP TABLE x",
            "UPDATE notes SET role = 1",
        ],
    );
}

#[test]
fn hidden_sql() {
    bad(
        Set::Tenant,
        "hidden-sql",
        &[
            "DO $$ BEGIN EXECUTE format('x %I', y); END $$",
            "DO LANGUAGE plpgsql $x$ BEGIN EXECUTE x; END $x$",
            "DO 'BEGIN PERFORM ''x''; END'",
            "CREATE FUNCTION f() RETURNS void LANGUAGE plpgsql AS $$ BEGIN EXECUTE 'DROP TABLE x'; END $$",
        ],
    );
    good(
        Set::Tenant,
        &[
            "DO $$ BEGIN UPDATE notes SET id = 1; END $$",
            "CREATE FUNCTION f() RETURNS void LANGUAGE plpgsql AS $$ BEGIN EXECUTE 'SELECT 1'; END $$",
            "CREATE TRIGGER t AFTER INSERT ON notes EXECUTE FUNCTION f()",
            "DO $$ BEGIN CREATE TRIGGER t AFTER INSERT ON notes EXECUTE PROCEDURE f(); END $$",
            "GRANT EXECUTE ON FUNCTION f() TO reader",
        ],
    );
}

#[test]
fn a_place_in_a_block_is_told_as_a_place_in_the_file() {
    let found = find(migration(
        Set::Tenant,
        "DO $$\nBEGIN\n  DELETE FROM public.plans;\nEND $$;",
    ));
    assert_eq!((found[0].line, found[0].column), (3, 15));
}

#[test]
fn new_columns() {
    bad(
        Set::Tenant,
        "column-rewrites",
        &[
            "ALTER TABLE notes ADD COLUMN token uuid DEFAULT gen_random_uuid()",
            "ALTER TABLE notes ADD token uuid NOT NULL DEFAULT public.uuid_generate_v4()",
            "ALTER TABLE notes ADD x float DEFAULT (1 + random())",
            "ALTER TABLE notes ADD at timestamptz DEFAULT clock_timestamp() NOT NULL",
            "ALTER TABLE notes ADD x int DEFAULT own_volatile()",
            "ALTER TABLE notes ADD x bigserial",
            "ALTER TABLE notes ADD x int GENERATED ALWAYS AS IDENTITY",
            "ALTER TABLE notes ADD x int NOT NULL GENERATED ALWAYS AS (id * 2) STORED",
            "DO $$ BEGIN ALTER TABLE notes ADD x float DEFAULT random(); END $$",
        ],
    );
    bad(
        Set::Shared,
        "column-rewrites",
        &["ALTER TABLE plans ADD x float DEFAULT random()"],
    );
    bad(
        Set::Tenant,
        "column-not-null",
        &[
            "ALTER TABLE notes ADD x int NOT NULL",
            "ALTER TABLE notes ADD COLUMN IF NOT EXISTS x int NOT NULL DEFAULT NULL",
            "ALTER TABLE notes ADD a int, ADD x numeric(10, 2) NOT NULL",
            "ALTER TABLE notes ADD x int NOT NULL REFERENCES tags ON DELETE SET DEFAULT",
        ],
    );
    good(
        Set::Tenant,
        &[
            "ALTER TABLE notes ADD x int",
            "ALTER TABLE notes ADD x int NOT NULL DEFAULT 0",
            "ALTER TABLE notes ADD x timestamptz NOT NULL DEFAULT now()",
            "ALTER TABLE notes ADD x timestamptz DEFAULT CURRENT_TIMESTAMP NOT NULL",
            "ALTER TABLE notes ADD x text DEFAULT 'random()'",
            "ALTER TABLE notes ADD x int DEFAULT own_stable()",
            "ALTER TABLE notes ADD x int REFERENCES tags",
            "ALTER TABLE notes ADD \"not\" int NULL",
            "ALTER TABLE notes ADD x jsonb DEFAULT jsonb_build_object('a', 1)",
            "ALTER TABLE notes ALTER x SET DEFAULT random()",
            "CREATE TABLE a (id int); ALTER TABLE a ADD x uuid NOT NULL DEFAULT gen_random_uuid()",
            "CREATE TABLE a (id int); ALTER TABLE a ADD x int NOT NULL",
            "CREATE TABLE a (id int); ALTER TABLE a RENAME TO b; ALTER TABLE b ADD x int NOT NULL",
        ],
    );
}

#[test]
fn constraints() {
    bad(
        Set::Tenant,
        "foreign-key-valid",
        &[
            "ALTER TABLE notes ADD CONSTRAINT k FOREIGN KEY (author) REFERENCES public.users",
            "ALTER TABLE notes ADD FOREIGN KEY (author) REFERENCES tags (id)",
            "ALTER TABLE notes ADD x int DEFAULT 1 REFERENCES tags",
            "CREATE TABLE a (id int); ALTER TABLE notes ADD FOREIGN KEY (id) REFERENCES a",
        ],
    );
    bad(
        Set::Tenant,
        "check-valid",
        &[
            "ALTER TABLE notes ADD CHECK (id > 0)",
            "ALTER TABLE notes ADD CONSTRAINT k CHECK (id > 0)",
            "ALTER TABLE notes ADD x int CHECK (x > 0)",
        ],
    );
    bad(
        Set::Tenant,
        "unique",
        &[
            "ALTER TABLE notes ADD PRIMARY KEY (id)",
            "ALTER TABLE notes ADD CONSTRAINT k UNIQUE (id)",
            "ALTER TABLE notes ADD x int UNIQUE",
            "ALTER TABLE notes ADD EXCLUDE USING gist (id WITH =)",
        ],
    );
    bad(
        Set::Tenant,
        "validated-at-once",
        &[
            "ALTER TABLE notes ADD CONSTRAINT k CHECK (id > 0) NOT VALID; \
         ALTER TABLE notes VALIDATE CONSTRAINT k",
        ],
    );
    bad(
        Set::Tenant,
        "set-not-null",
        &[
            "ALTER TABLE notes ALTER COLUMN id SET NOT NULL",
            "ALTER TABLE notes ADD CONSTRAINT k NOT NULL id",
            "ALTER TABLE notes ADD CONSTRAINT k CHECK (id IS NOT NULL) NOT VALID; \
         ALTER TABLE notes ALTER id SET NOT NULL",
        ],
    );
    good(
        Set::Tenant,
        &[
            "ALTER TABLE notes ADD FOREIGN KEY (author) REFERENCES public.users NOT VALID",
            "ALTER TABLE notes ADD CONSTRAINT k CHECK (id > 0) NOT VALID",
            "ALTER TABLE notes VALIDATE CONSTRAINT k",
            "ALTER TABLE notes ADD CONSTRAINT k PRIMARY KEY USING INDEX i",
            "ALTER TABLE notes ALTER id DROP NOT NULL",
            "CREATE TABLE a (id int); ALTER TABLE a ADD PRIMARY KEY (id), ADD CHECK (id > 0), \
         ADD FOREIGN KEY (id) REFERENCES tags, ALTER id SET NOT NULL",
        ],
    );
}

#[test]
fn a_column_that_an_earlier_migration_proved_can_be_not_null() {
    let text = |number, up| {
        MigrationText::new(Set::Tenant, format!("tenant/{number}"), up).with_down("SELECT 1")
    };
    let steps = [
        "ALTER TABLE notes ADD CONSTRAINT k CHECK (id IS NOT NULL) NOT VALID",
        "ALTER TABLE notes VALIDATE CONSTRAINT k",
        "ALTER TABLE notes ALTER id SET NOT NULL",
    ];
    let all = [text(2, steps[0]), text(3, steps[1]), text(4, steps[2])];
    assert_eq!(Lint::new().run_texts(&all), []);
    // Not in the order of the list, but in that of the names.
    let early = [text(4, steps[1]), text(2, steps[0]), text(3, steps[2])];
    assert_eq!(Lint::new().run_texts(&early)[0].rule, "set-not-null");
}

#[test]
fn indexes_types_and_locks() {
    bad(
        Set::Tenant,
        "index",
        &[
            "CREATE INDEX ON notes (id)",
            "CREATE UNIQUE INDEX IF NOT EXISTS i ON ONLY notes USING btree (id)",
            "CREATE INDEX i ON elsewhere_made (id)",
        ],
    );
    bad(
        Set::Tenant,
        "column-type",
        &[
            "ALTER TABLE notes ALTER COLUMN id TYPE bigint",
            "ALTER TABLE notes ALTER id SET DATA TYPE bigint USING id::bigint",
        ],
    );
    bad(
        Set::Tenant,
        "lock",
        &["LOCK TABLE notes IN EXCLUSIVE MODE", "LOCK notes"],
    );
    bad(
        Set::Tenant,
        "rewrite",
        &[
            "CLUSTER notes USING i",
            "REINDEX TABLE notes",
            "ALTER TABLE notes SET UNLOGGED",
            "ALTER TABLE notes SET TABLESPACE fast",
        ],
    );
    good(
        Set::Tenant,
        &[
            "CREATE TABLE a (id int); CREATE INDEX ON a (id); ALTER TABLE a ALTER id TYPE bigint; CLUSTER a USING i",
            "CREATE MATERIALIZED VIEW m AS SELECT 1 AS id; CREATE UNIQUE INDEX ON m (id)",
            "ALTER TABLE notes ALTER id SET STATISTICS 100",
            "ALTER TYPE mood ADD VALUE 'x'",
            "ALTER TABLE notes SET (fillfactor = 70)",
        ],
    );
}

#[test]
fn what_the_running_release_would_miss() {
    bad(
        Set::Tenant,
        "rename",
        &[
            "ALTER TABLE notes RENAME TO memos",
            "ALTER TABLE notes RENAME COLUMN id TO number",
            "ALTER VIEW some_view RENAME TO other",
            "ALTER TYPE mood RENAME VALUE 'ok' TO 'fine'",
        ],
    );
    bad(
        Set::Tenant,
        "drop",
        &[
            "DROP TABLE notes",
            "DROP VIEW IF EXISTS v CASCADE",
            "ALTER TABLE notes DROP COLUMN id",
            "ALTER TABLE notes DROP IF EXISTS id",
        ],
    );
    let good_ones = [
        "ALTER TABLE notes RENAME CONSTRAINT a TO b",
        "ALTER TABLE notes DROP CONSTRAINT a",
        "ALTER INDEX a RENAME TO b",
        "DROP INDEX a",
        "DROP FUNCTION f()",
        "ALTER TABLE notes ALTER id DROP DEFAULT",
        "CREATE TABLE a (id int); ALTER TABLE a DROP id; DROP TABLE a",
    ];
    good(Set::Tenant, &good_ones);
    // Reverting takes back what is new.
    let down = MigrationText::new(Set::Tenant, "tenant/2", "CREATE TABLE a (id int)")
        .with_down("DROP TABLE a; ALTER TABLE notes RENAME a TO b; ALTER TABLE notes DROP b");
    assert!(rules(down).is_empty());
    let down = MigrationText::new(Set::Tenant, "tenant/2", "SELECT 1")
        .with_down("DROP TABLE public.plans");
    let found = find(down);
    assert_eq!(found[0].rule, "writes-shared");
    assert!(found[0].file.ends_with("2/down.sql"));
}

#[test]
fn no_down() {
    let without = MigrationText::new(Set::Shared, "shared/2", "SELECT 1");
    for text in [without.clone(), without.clone().with_down(" -- nothing\n;")] {
        let found = find(text);
        assert_eq!(
            (found[0].rule, found[0].severity),
            ("no-down", Severity::Info)
        );
        assert!(found[0].file.ends_with("2/up.sql"));
    }
    let allowed = "-- boardinghouse: allow no-down\nSELECT 1";
    assert!(rules(MigrationText::new(Set::Shared, "shared/2", allowed)).is_empty());
}

#[test]
fn comments_allow_for_one_statement_or_for_the_file() {
    let drops = "DROP TABLE notes;\nDROP TABLE tags;";
    let line = |text: &str| {
        let found = find(migration(Set::Tenant, text));
        found
            .into_iter()
            .map(|finding| (finding.rule, finding.line))
            .collect::<Vec<_>>()
    };
    assert_eq!(line(drops), [("drop", 1), ("drop", 2)]);
    assert_eq!(
        line("-- boardinghouse: allow drop\nDROP TABLE notes;\nDROP TABLE tags;"),
        [("drop", 3)]
    );
    assert_eq!(
        line("DROP TABLE notes;\nDROP TABLE tags; -- boardinghouse: allow drop"),
        [("drop", 1)]
    );
    assert_eq!(
        line("-- boardinghouse: allow drop\n\nDROP TABLE notes;\nDROP TABLE tags;"),
        []
    );
    assert_eq!(
        line("DROP TABLE notes;\n\n-- boardinghouse: allow drop\n\nDROP TABLE tags;"),
        [("drop", 1), ("unused-allow", 3), ("drop", 5)]
    );
    assert_eq!(
        line("-- boardinghouse: allow drop, rename\nDROP TABLE notes;"),
        [("unused-allow", 1)]
    );
}

#[test]
fn an_allowance_of_no_rule_says_which_was_meant() {
    let found = find(migration(
        Set::Tenant,
        "DROP TABLE notes; -- boardinghouse: allow dorp",
    ));
    assert_eq!(found.len(), 2);
    assert_eq!(
        found[1].message,
        "there is no rule \"dorp\": did you mean drop?"
    );
    let found = find(migration(
        Set::Tenant,
        "-- boardinghouse: allow everything\nSELECT 1",
    ));
    assert_eq!(found[0].message, "there is no rule \"everything\"");
}

#[test]
fn every_rule_has_a_text_in_which_it_finds_something() {
    let source = include_str!("tests.rs");
    for rule in RULES {
        assert!(source.contains(&format!("\"{}\"", rule.id)), "{}", rule.id);
    }
}

/// Text that looks like SQL often enough to get far.
fn sql() -> impl Strategy<Value = String> {
    let pieces = [
        "CREATE",
        "TABLE",
        "ALTER",
        "ADD",
        "COLUMN",
        "DROP",
        "public",
        ".",
        "notes",
        "(",
        ")",
        ";",
        ",",
        "'",
        "\"",
        "$$",
        "$a$",
        "--",
        "/*",
        "*/",
        "\n",
        " ",
        " ",
        " ",
        "\\",
        "DEFAULT",
        "random()",
        "INTO",
        "SELECT",
        "INSERT",
        "UPDATE",
        "FROM",
        "DO",
        "BEGIN",
        "ATOMIC",
        "END",
        "EXECUTE",
        "U&\"\\0",
        "E'\\",
        "boardinghouse: allow drop,",
        "COPY x FROM STDIN;",
        "é",
        "\u{feff}",
        "IN SCHEMA",
        "ON",
        "SET",
        "search_path",
        "FUNCTION",
        "RENAME",
        "TO",
        "set_config(",
        "TYPE",
        "VALUE",
        "1.",
        "CHECK",
        "REFERENCES",
        "INDEX",
        "CONCURRENTLY",
        "INHERITS",
        "GRANT",
        "COMMENT",
        "\r",
        "\\.",
    ];
    proptest::collection::vec(proptest::sample::select(pieces.to_vec()), 0..60)
        .prop_map(|parts| parts.join(""))
}

fn places_are_in_the_text(text: &str) {
    for set in [Set::Shared, Set::Tenant] {
        let one = MigrationText::new(set, "x/2", text).with_down(text);
        for finding in Lint::new().run_texts(&[one]) {
            let line = text.split('\n').nth(finding.line - 1).unwrap();
            assert!(finding.column <= line.chars().count() + 1, "{finding}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_text_is_too_strange(text in any::<String>()) {
        places_are_in_the_text(&text);
    }

    #[test]
    fn no_sql_is_too_strange(text in sql()) {
        places_are_in_the_text(&text);
    }

    /// What is inside of a constant, a quoted name or a comment is never taken for a statement.
    #[test]
    fn what_is_quoted_is_no_statement(
        inside in "[a-zA-Z ;,.()\\-]{0,40}(INSERT INTO public[.]plans|SET search_path = x|DROP TABLE notes)[a-z ;]{0,9}",
    ) {
        for quoted in [
            format!("SELECT '{inside}'"),
            format!("SELECT $x${inside}$x$"),
            format!("SELECT 1 AS \"{inside}\""),
            format!("/* {inside} */ SELECT 1"),
            ["SELECT E'\\'", &inside, "'"].concat(),
            format!("-- {inside}\nSELECT 1"),
        ] {
            prop_assert_eq!(rules(migration(Set::Tenant, &quoted)), Vec::<&str>::new(), "{}", quoted);
        }
    }
}
