//! Cloning a template on a real server. `TEST_DATABASE_URL` names a database of a superuser.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::process::Command;

use boardinghouse_core::{ClonePlan, ErrorKind, ObjectKind, SchemaName, Template};
use diesel::{
    Connection, PgConnection, QueryableByName, RunQueryDsl,
    connection::SimpleConnection,
    sql_query,
    sql_types::{BigInt, Text},
};

#[derive(QueryableByName)]
struct Number {
    #[diesel(sql_type = BigInt)]
    n: i64,
}

#[derive(QueryableByName)]
struct Words {
    #[diesel(sql_type = Text)]
    t: String,
}

/// A database of its own for one test.
struct Database {
    admin: PgConnection,
    name: String,
    url: String,
    conn: PgConnection,
}

impl Database {
    fn new(name: &str) -> Self {
        let url = std::env::var("TEST_DATABASE_URL").expect("TEST_DATABASE_URL must be set");
        let mut admin = PgConnection::establish(&url).unwrap();
        let name = format!("clone_{name}");
        admin
            .batch_execute(&format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)"))
            .unwrap();
        admin
            .batch_execute(&format!("CREATE DATABASE {name} TEMPLATE template0"))
            .unwrap();
        let (server, _) = url.rsplit_once('/').unwrap();
        let url = format!("{server}/{name}");
        let conn = PgConnection::establish(&url).unwrap();
        Self {
            admin,
            name,
            url,
            conn,
        }
    }

    /// One with the template that holds everything.
    fn rich(name: &str) -> Self {
        let mut db = Self::new(name);
        let version = db.number("SELECT current_setting('server_version_num')::bigint AS n");
        db.run(include_str!("clone/rich.sql"));
        let mut wanted = true;
        for line in include_str!("clone/newer.sql").lines() {
            match line.strip_prefix("-- ") {
                Some(from) => wanted = version >= from.parse().unwrap(),
                None if wanted => db.run(line),
                None => {}
            }
        }
        db
    }

    fn run(&mut self, sql: &str) {
        self.conn
            .batch_execute(sql)
            .unwrap_or_else(|error| panic!("{error}: {sql}"));
    }

    fn fails(&mut self, sql: &str) -> String {
        self.conn.batch_execute(sql).expect_err(sql).to_string()
    }

    fn number(&mut self, sql: &str) -> i64 {
        sql_query(sql)
            .get_result::<Number>(&mut self.conn)
            .unwrap()
            .n
    }

    fn words(&mut self, sql: &str) -> String {
        sql_query(sql)
            .get_result::<Words>(&mut self.conn)
            .unwrap()
            .t
    }

    fn compile(&mut self) -> ClonePlan {
        Template::new(schema("tmpl"))
            .compile(&mut self.conn)
            .unwrap_or_else(|e| panic!("{}", e.chain()))
    }

    fn apply(&mut self, plan: &ClonePlan, target: &str) {
        self.conn
            .transaction(|conn| plan.apply(conn, &schema(target)))
            .unwrap_or_else(|error| panic!("{}", error.chain()));
    }

    fn dump(&self, name: &str) -> String {
        let program = std::env::var("PG_DUMP").unwrap_or_else(|_| "pg_dump".to_owned());
        let pattern = format!("\"{}\"", name.replace('"', "\"\""));
        let output = Command::new(program)
            .args(["--schema-only", "--dbname", &self.url, "--schema", &pattern])
            .output()
            .unwrap();
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
        let text = String::from_utf8(output.stdout).unwrap();
        // A random word that is new in each dump.
        let random =
            |line: &&str| !line.starts_with("\\restrict") && !line.starts_with("\\unrestrict");
        text.lines().filter(random).collect::<Vec<_>>().join("\n")
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        let _ = self
            .admin
            .batch_execute(&format!("DROP DATABASE {} WITH (FORCE)", self.name));
    }
}

fn schema(name: &str) -> SchemaName {
    SchemaName::existing(name).unwrap()
}

#[test]
fn a_clone_is_its_template_byte_for_byte() {
    let mut db = Database::rich("same");
    let plan = db.compile();
    let expected = db.dump("tmpl");
    assert!(expected.contains("CREATE TABLE tmpl.notes"), "{expected}");
    for name in ["s", "a", "we ird", "It's \"quoted\"", "select", "acme"] {
        db.apply(&plan, name);
        let quoted = format!("\"{}\"", name.replace('"', "\"\""));
        db.run(&format!(
            "ALTER SCHEMA tmpl RENAME TO hidden; ALTER SCHEMA {quoted} RENAME TO tmpl"
        ));
        let cloned = db.dump("tmpl");
        db.run(&format!(
            "ALTER SCHEMA tmpl RENAME TO {quoted}; ALTER SCHEMA hidden RENAME TO tmpl"
        ));
        for (one, other) in expected.lines().zip(cloned.lines()) {
            assert_eq!(one, other, "in clone {name}");
        }
        assert_eq!(expected, cloned);
    }
}

#[test]
fn a_clone_of_a_clone_has_the_same_plan() {
    let mut db = Database::rich("again");
    let plan = db.compile();
    db.apply(&plan, "we ird");
    let again = Template::new(schema("we ird"))
        .compile(&mut db.conn)
        .unwrap();
    assert_eq!(plan.steps(), again.steps());
}

#[test]
fn a_plan_names_neither_schema() {
    let mut db = Database::rich("nameless");
    db.run("ALTER SCHEMA tmpl RENAME TO __template__");
    let plan = Template::new(schema("__template__"))
        .compile(&mut db.conn)
        .unwrap();
    for step in plan.steps() {
        assert!(!step.sql.contains("__template__"), "{}", step.sql);
    }
    for kind in [
        ObjectKind::Sequence,
        ObjectKind::ForeignKey,
        ObjectKind::Rows,
        ObjectKind::Comment,
    ] {
        assert!(
            plan.steps().iter().any(|step| step.object == kind),
            "{kind}"
        );
    }
}

#[test]
fn a_clone_uses_its_own_sequences_and_tables() {
    let mut db = Database::rich("own");
    let plan = db.compile();
    db.apply(&plan, "acme");
    db.run("SET search_path TO acme, public; INSERT INTO notes (author) VALUES (1), (1)");
    db.run("INSERT INTO \"Order\" (\"select\", note) VALUES (1, 2)");
    assert_eq!(db.number("SELECT max(id)::bigint AS n FROM acme.notes"), 2);
    assert_eq!(db.number("SELECT max(number) AS n FROM acme.notes"), 10);
    assert_eq!(db.number("SELECT max(late) AS n FROM acme.notes"), 16);
    assert_eq!(db.number("SELECT \"Id\" AS n FROM acme.\"Order\""), 100);
    // The template's were not touched, those that had been moved were carried.
    assert_eq!(
        db.number("SELECT last_value AS n FROM tmpl.notes_id_seq WHERE NOT is_called"),
        1
    );
    assert_eq!(
        db.number("SELECT last_value AS n FROM tmpl.free_seq WHERE NOT is_called"),
        7
    );
    assert_eq!(db.number("SELECT nextval('acme.moved_seq') AS n"), 42);
    assert_eq!(db.number("SELECT nextval('acme.placed_seq') AS n"), 20);
    assert_eq!(db.number("SELECT count(*) AS n FROM tmpl.notes"), 0);

    let error = db.fails("INSERT INTO acme.notes (parent) VALUES (99)");
    assert!(error.contains("notes_parent_fkey"), "{error}");
    let error = db.fails("INSERT INTO acme.notes (author) VALUES (99)");
    assert!(error.contains("notes_author_fkey"), "{error}");
    let error = db.fails(
        "INSERT INTO acme.notes (parent) SELECT id FROM public.notes WHERE id = 0 UNION SELECT 77",
    );
    assert!(error.contains("notes_parent_fkey"), "{error}");
    assert_eq!(
        db.words(
            "SELECT named_later::regclass::text AS t FROM (INSERT_ROW) q"
                .replace(
                    "(INSERT_ROW)",
                    "(SELECT 'acme.zebra'::regclass::oid AS named_later)"
                )
                .as_str()
        ),
        "zebra"
    );

    db.run("DROP SCHEMA tmpl CASCADE; INSERT INTO acme.notes (author) VALUES (1); DELETE FROM acme.notes");
    assert_eq!(db.number("SELECT nextval('acme.notes_id_seq') AS n"), 7);
}

#[test]
fn a_clone_has_the_migrations_of_its_template() {
    let mut db = Database::rich("rows");
    db.run("SET datestyle TO 'German'; SET standard_conforming_strings TO off");
    let plan = db.compile();
    db.apply(&plan, "acme");
    db.run("RESET datestyle; RESET standard_conforming_strings");
    let same = "SELECT count(*) AS n FROM tmpl.__diesel_schema_migrations JOIN acme.__diesel_schema_migrations USING (version, run_on)";
    assert_eq!(db.number(same), 2);
}

#[test]
fn compile_and_apply_leave_the_transaction_as_it_was() {
    let mut db = Database::rich("settings");
    let settings = "SELECT concat_ws('|', current_setting('search_path'), current_setting('datestyle'), current_setting('transaction_read_only'), current_setting('check_function_bodies')) AS t";
    db.run("SET search_path TO \"$user\", public; SET datestyle TO 'SQL, DMY'");
    db.run("CREATE TEMP TABLE notes (shadow integer); CREATE TEMP TABLE \"user\" (shadow integer)");
    let before = db.words(settings);
    db.conn
        .test_transaction::<_, boardinghouse_core::Error, _>(|conn| {
            let plan = Template::new(schema("tmpl")).compile(conn)?;
            plan.apply(conn, &schema("one"))?;
            let twice = plan.apply(conn, &schema("one")).unwrap_err();
            assert_eq!(twice.kind(), ErrorKind::SchemaExists);
            plan.apply(conn, &schema("two"))?;
            assert_eq!(sql_query(settings).get_result::<Words>(conn)?.t, before);
            Ok(())
        });
    assert_eq!(db.words(settings), before);
    assert_eq!(
        db.number("SELECT count(*) AS n FROM pg_namespace WHERE nspname IN ('one', 'two')"),
        0
    );
}

#[test]
fn a_clone_that_would_use_its_template_is_rolled_back() {
    let mut db = Database::rich("leak");
    let plan = db.compile();
    // The plan calls public.twice by name; make what it finds there reach into the template.
    db.run("CREATE FUNCTION tmpl.twice(integer) RETURNS integer LANGUAGE sql IMMUTABLE AS 'SELECT 2 * $1'");
    db.apply(&plan, "fine");
    db.run("ALTER TABLE fine.zebra ADD leak integer DEFAULT tmpl.twice(1), ADD FOREIGN KEY (leak) REFERENCES tmpl.notes");
    db.run("DROP FUNCTION tmpl.twice(integer) CASCADE; ALTER SCHEMA fine RENAME TO other");
    // Its foreign key now leads to what the plan takes for its source.
    let leaky = Template::new(schema("other"))
        .compile(&mut db.conn)
        .unwrap();
    db.run(
        "ALTER SCHEMA tmpl RENAME TO kept; ALTER SCHEMA other RENAME TO gone; CREATE SCHEMA tmpl",
    );
    db.run("DROP SCHEMA tmpl; ALTER SCHEMA kept RENAME TO tmpl; ALTER SCHEMA gone RENAME TO kept");
    db.run("ALTER SCHEMA kept RENAME TO spare; CREATE SCHEMA other; CREATE TABLE other.x (); ALTER SCHEMA other RENAME TO unused");
    db.apply(&leaky, "beside");
    db.run("DROP SCHEMA beside CASCADE; ALTER SCHEMA public RENAME TO other; CREATE SCHEMA public");
    db.run("ALTER SCHEMA public RENAME TO aside; ALTER SCHEMA other RENAME TO public");
    let error = db
        .conn
        .transaction(|conn| leaky.apply(conn, &schema("public")))
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::SchemaExists);
}

#[test]
fn a_template_is_refused_with_the_whole_list() {
    let mut db = Database::new("refused");
    let role = "clone_test_other";
    db.run(&format!("DROP ROLE IF EXISTS {role}"));
    db.run(&include_str!("clone/refused.sql").replace("%role%", role));
    let error = Template::new(schema("tmpl"))
        .compile(&mut db.conn)
        .unwrap_err();
    db.run(&format!("DROP OWNED BY {role} CASCADE; DROP ROLE {role}"));
    assert_eq!(error.kind(), ErrorKind::TemplateUnsupported);
    let message = error.to_string();
    println!("{message}");
    for line in [
        "function tmpl.add(integer,integer): functions",
        "function tmpl.total(integer): functions",
        "type tmpl.mood: types",
        "type tmpl.pair: types",
        "type tmpl.floats: types",
        "type tmpl.positive: types",
        "view tmpl.seen: views",
        "materialized view tmpl.kept: materialized views",
        "table tmpl.parted: partitioned tables",
        "table tmpl.parted_1: a partition",
        "table tmpl.child: inheritance",
        "table tmpl.good: inheritance",
        "operator tmpl.###(integer,integer): operators",
        "operator family tmpl.fam for access method btree: operator classes and families",
        "collation tmpl.coll: collations",
        "statistics object tmpl.stats: extended statistics",
        "text search dictionary tmpl.dict: text search objects",
        "text search configuration tmpl.conf: text search objects",
        "conversion tmpl.conv: conversions",
        "extension citext: extensions",
        "trigger touched on table tmpl.good: triggers",
        "trigger checked on table tmpl.good: triggers",
        "rule redirected on table tmpl.good: rules",
        "policy mine on table tmpl.good: row-level security policies",
        "table tmpl.secured: row-level security",
        "table tmpl.granted: a grant",
        "column part of table tmpl.granted: a grant",
        "table tmpl.owned: an owner",
        "table tmpl.replicated: a replica identity",
        "index tmpl.clustered_pkey: a CLUSTER setting",
        "table tmpl.typed: a typed table",
        "column id of table tmpl.optioned: an option",
        "table tmpl.pg_class: a name that hides",
        "table tmpl.uses_row: the use of a table's row type",
        "table tmpl.disabled: a disabled constraint trigger",
        "publication of table tmpl.published in publication pub: publications",
        "default privileges on new relations",
        "schema tmpl: a grant",
    ] {
        assert!(
            message.lines().any(|l| l.starts_with(line)),
            "no line for {line:?} in\n{message}"
        );
    }
    assert!(!message.contains("good_pkey"), "{message}");
}

#[test]
fn a_string_that_names_the_template_is_refused() {
    let mut db = Database::rich("string");
    db.run("ALTER TABLE tmpl.zebra ALTER id SET DEFAULT nextval('tmpl.free_seq'::text)");
    let error = Template::new(schema("tmpl"))
        .compile(&mut db.conn)
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TemplateUnsupported);
    assert!(error.to_string().contains("column id"), "{error}");
}

#[test]
fn a_missing_template_is_an_error_of_its_own() {
    let mut db = Database::new("missing");
    let error = Template::new(schema("tmpl"))
        .compile(&mut db.conn)
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TemplateMissing);
}
