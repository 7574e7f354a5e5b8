//! Cloning a template on a real server. `TEST_DATABASE_URL` names a database of a superuser.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod database;

use boardinghouse_core::{ErrorKind, ObjectKind, Template};
use diesel::{Connection, PgConnection, RunQueryDsl, sql_query};

use database::{Database, Words, schema};

#[test]
fn a_clone_is_its_template_byte_for_byte() {
    let mut db = Database::rich("same");
    let plan = db.compile();
    let expected = db.dump("tmpl");
    let of_notes = ["CREATE TABLE tmpl.notes", "CREATE TABLE \"notes\""];
    assert!(
        of_notes.iter().any(|text| expected.contains(text)),
        "{expected}"
    );
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
    let acme = schema("acme");
    for step in plan.steps() {
        let sql = plan.statement(step, &acme);
        assert!(!sql.contains("__template__"), "{sql}");
    }
    let steps = serde_json::to_string(plan.steps()).unwrap();
    assert!(!steps.contains("__template__"));
    let kept = serde_json::to_string(&plan).unwrap();
    assert_eq!(plan, serde_json::from_str(&kept).unwrap());
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
    db.run("SET search_path TO acme, public; INSERT INTO notes (author) VALUES (1), (NULL)");
    db.run("INSERT INTO \"Order\" (\"select\", note) VALUES (1, 2)");
    assert_eq!(db.number("SELECT max(id)::bigint AS n FROM acme.notes"), 2);
    assert_eq!(db.number("SELECT max(number) AS n FROM acme.notes"), 13);
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
    let error = db.fails("INSERT INTO acme.notes (author, period) VALUES (99, NULL)");
    assert!(error.contains("notes_author_fkey"), "{error}");
    let error = db.fails(
        "INSERT INTO acme.notes (parent) SELECT id FROM public.notes WHERE id = 0 UNION SELECT 77",
    );
    assert!(error.contains("notes_parent_fkey"), "{error}");
    let default = "SELECT pg_get_expr(adbin, adrelid) AS t FROM pg_attrdef
        WHERE adrelid = 'acme.\"we ird\"'::regclass AND adnum = 3";
    assert_eq!(db.words(default), "'zebra'::regclass");
    let leaks = "SELECT count(*) AS n FROM pg_depend d
        JOIN pg_class used ON d.refclassid = 'pg_class'::regclass AND used.oid = d.refobjid
        LEFT JOIN pg_class c ON d.classid = 'pg_class'::regclass AND c.oid = d.objid
        LEFT JOIN pg_attrdef a ON d.classid = 'pg_attrdef'::regclass AND a.oid = d.objid
        LEFT JOIN pg_constraint k ON d.classid = 'pg_constraint'::regclass AND k.oid = d.objid
        LEFT JOIN pg_class owner ON owner.oid = coalesce(c.oid, a.adrelid, k.conrelid)
        WHERE used.relnamespace = 'tmpl'::regnamespace
          AND owner.relnamespace = 'acme'::regnamespace";
    assert_eq!(db.number(leaks), 0);
    assert!(db.number(&leaks.replace("'tmpl'", "'acme'")) > 50);

    db.run("DROP SCHEMA tmpl CASCADE; INSERT INTO acme.notes (author) VALUES (NULL)");
    assert_eq!(db.number("SELECT count(*) AS n FROM acme.notes"), 3);
}

#[test]
fn a_clone_has_the_migrations_of_its_template() {
    let mut db = Database::rich("rows");
    let plan = db.compile();
    db.apply(&plan, "acme");
    let same = "SELECT count(*) AS n FROM tmpl.__diesel_schema_migrations
        JOIN acme.__diesel_schema_migrations USING (version, run_on)";
    assert_eq!(db.number(same), 2);
}

#[test]
fn the_settings_of_a_session_change_nothing() {
    let mut db = Database::rich("session");
    let plan = db.compile();
    db.run(
        "SET datestyle TO 'SQL, DMY'; SET intervalstyle TO sql_standard; SET extra_float_digits TO -5;
         SET standard_conforming_strings TO off; SET bytea_output TO escape;
         SET quote_all_identifiers TO on; SET xmloption TO document",
    );
    assert_eq!(plan, db.compile());
    db.run("SET datestyle TO 'SQL, MDY'");
    db.apply(&plan, "acme");
    let clone = Template::new(schema("acme")).compile(&mut db.conn).unwrap();
    assert_eq!(plan.steps(), clone.steps());
}

#[test]
fn foreign_keys_to_shared_tables_come_after_those_inside() {
    let mut db = Database::rich("order");
    let plan = db.compile();
    let acme = schema("acme");
    let shared: Vec<bool> = plan
        .steps()
        .iter()
        .map(|step| plan.statement(step, &acme))
        .filter(|sql| sql.contains("REFERENCES "))
        .map(|sql| sql.contains("REFERENCES public."))
        .collect();
    assert!(
        shared.contains(&true) && shared.contains(&false) && shared.is_sorted(),
        "{shared:?}"
    );
}

#[test]
fn compile_and_apply_leave_the_transaction_as_it_was() {
    let mut db = Database::rich("settings");
    let settings = "SELECT concat_ws('|', current_setting('search_path'), current_setting('datestyle'), current_setting('transaction_read_only'), current_setting('check_function_bodies')) AS t";
    db.run("SET search_path TO \"$user\", public; SET datestyle TO 'SQL, DMY'");
    db.run("CREATE TEMP TABLE notes (shadow integer); CREATE TEMP TABLE \"user\" (); CREATE TEMP TABLE pg_class ()");
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
    db.run("ALTER SCHEMA tmpl RENAME TO \"Od\"\"d\"");
    let plan = Template::new(schema("Od\"d"))
        .compile(&mut db.conn)
        .unwrap();
    // A plan cannot do this by itself: something else has to reach across.
    db.run(
        "CREATE FUNCTION public.reach() RETURNS event_trigger LANGUAGE plpgsql AS $$ BEGIN
             IF EXISTS (SELECT FROM pg_event_trigger_ddl_commands()
                        WHERE object_identity = 'acme.zebra') THEN
                 ALTER TABLE acme.zebra
                     ADD CONSTRAINT reaching FOREIGN KEY (id) REFERENCES \"Od\"\"d\".notes,
                     ADD naming regnamespace DEFAULT '\"Od\"\"d\"'::regnamespace;
             END IF;
         END $$;
         CREATE EVENT TRIGGER reach ON ddl_command_end WHEN TAG IN ('CREATE TABLE')
         EXECUTE FUNCTION public.reach()",
    );
    let error = db
        .conn
        .transaction(|conn| plan.apply(conn, &schema("acme")))
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TemplateUnsupported);
    let message = error.to_string();
    assert!(
        message.contains("constraint reaching on table acme.zebra uses"),
        "{message}"
    );
    assert!(
        message.contains("column naming of table acme.zebra uses schema"),
        "{message}"
    );
    assert_eq!(
        db.number("SELECT count(*) AS n FROM pg_namespace WHERE nspname = 'acme'"),
        0
    );
}

#[test]
fn of_two_that_create_a_schema_at_once_one_is_told_that_it_exists() {
    let mut db = Database::rich("race");
    let plan = db.compile();
    let mut other = PgConnection::establish(&db.url).unwrap();
    db.run("BEGIN; CREATE SCHEMA acme");
    let slower = std::thread::spawn(move || plan.apply(&mut other, &schema("acme")));
    let waiting = "SELECT count(*) AS n FROM pg_stat_activity
        WHERE datname = current_database() AND wait_event_type = 'Lock'";
    while db.number(waiting) == 0 {
        db.run("SELECT pg_stat_clear_snapshot()");
    }
    db.run("COMMIT");
    let error = slower.join().unwrap().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::SchemaExists);
}

/// Why schema `tmpl` cannot be cloned.
fn refusal(db: &mut Database) -> String {
    let error = Template::new(schema("tmpl"))
        .compile(&mut db.conn)
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TemplateUnsupported);
    error.to_string()
}

#[test]
fn a_template_is_refused_with_the_whole_list() {
    let mut db = Database::new("refused");
    db.run(include_str!("refused.sql"));
    let message = refusal(&mut db);
    for line in [
        "foreign table tmpl.far: foreign tables",
        "type tmpl.shell: a shell type",
        "operator tmpl.=(integer,integer): an operator that PostgreSQL has, too,",
        "trigger RI_ConstraintTrigger",
        "publication of table tmpl.published in publication pub: publications",
        "index tmpl.broken_key: an invalid index",
        "table tmpl.child_of_shared: inheritance from or to another schema",
    ] {
        assert!(
            message.lines().any(|l| l.starts_with(line)),
            "no line for {line:?} in\n{message}"
        );
    }
    assert!(!message.contains("good"), "{message}");
    let citext = "SELECT count(*) AS n FROM pg_extension WHERE extname = 'citext'";
    assert_eq!(
        message.contains("extension citext: extensions"),
        db.number(citext) == 1
    );
    assert!(!message.contains("citext_eq"), "{message}");
}

/// Whoever clones gives each object to whom the template's belongs, where that is allowed.
#[test]
fn an_owner_that_a_clone_cannot_be_given_to_is_named() {
    let mut db = Database::new("given");
    let (cloner, friend, other) = ("given_cloner", "given_friend", "given_other");
    for role in [cloner, friend, other] {
        db.run(&format!("DROP ROLE IF EXISTS {role}; CREATE ROLE {role}"));
    }
    db.run(&format!(
        "GRANT {friend} TO {cloner};
         CREATE SCHEMA tmpl AUTHORIZATION {cloner};
         CREATE TABLE tmpl.mine (id integer); ALTER TABLE tmpl.mine OWNER TO {cloner};
         CREATE TABLE tmpl.ours (id integer); ALTER TABLE tmpl.ours OWNER TO {friend};
         CREATE TYPE tmpl.mood AS ENUM ('well'); ALTER TYPE tmpl.mood OWNER TO {other};
         CREATE FUNCTION tmpl.one() RETURNS integer LANGUAGE sql AS 'SELECT 1';
         CREATE FUNCTION tmpl.tight() RETURNS integer LANGUAGE sql LEAKPROOF AS 'SELECT 1';
         CREATE FUNCTION tmpl.inner(integer) RETURNS integer LANGUAGE internal AS 'int4abs';
         SET ROLE {cloner}"
    ));
    let message = refusal(&mut db);
    for line in [
        "TYPE mood: belongs to given_other",
        "FUNCTION one(): belongs to ",
        "FUNCTION tight(): a LEAKPROOF function, which given_cloner cannot create",
        "FUNCTION \"inner\"(integer): a function in language internal, which given_cloner cannot create",
    ] {
        assert!(message.contains(line), "no {line:?} in\n{message}");
    }
    assert!(!message.contains("ours"), "{message}");

    // Who is given an object must be allowed to create one, which the schema's own grants say.
    db.run("RESET ROLE");
    db.run(&format!(
        "DROP TYPE tmpl.mood; DROP FUNCTION tmpl.one(), tmpl.tight(), tmpl.inner(integer);
         DO $$ BEGIN EXECUTE format('GRANT CREATE ON DATABASE %I TO {cloner}', current_database()); END $$;
         GRANT CREATE ON SCHEMA tmpl TO {friend}; SET ROLE {cloner}"
    ));
    let plan = db.compile();
    db.apply(&plan, "dst");
    let owned = format!("pg_get_userbyid(relowner) = '{friend}'");
    assert_eq!(
        db.number(&format!(
            "SELECT count(*) AS n FROM pg_class WHERE oid = 'dst.ours'::regclass AND {owned}"
        )),
        1
    );
    db.run("RESET ROLE");
    db.run(&format!(
        "DROP SCHEMA tmpl, dst CASCADE; DROP OWNED BY {cloner}"
    ));
    db.run(&format!("DROP ROLE {cloner}, {friend}, {other}"));
}

#[test]
fn a_string_that_names_the_template_is_left_open_or_refused() {
    let mut db = Database::rich("string");
    db.run("ALTER TABLE tmpl.zebra ALTER id SET DEFAULT nextval('tmpl.free_seq'::text)");
    let plan = db.compile();
    db.apply(&plan, "we ird");
    db.run("INSERT INTO \"we ird\".zebra DEFAULT VALUES; SET search_path TO \"we ird\", public");
    assert_eq!(db.number("SELECT id::bigint AS n FROM zebra"), 7);
    assert_eq!(
        db.number("SELECT last_value AS n FROM tmpl.free_seq WHERE NOT is_called"),
        7
    );

    db.run(
        "CREATE FUNCTION tmpl.far() RETURNS bigint LANGUAGE plpgsql
         AS 'DECLARE n bigint; BEGIN EXECUTE ''SELECT count(*) FROM tmpl.notes'' INTO n; RETURN n; END'",
    );
    let template = Template::new(schema("tmpl"));
    let error = template.compile(&mut db.conn).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TemplateUnsupported);
    assert!(
        error
            .to_string()
            .contains("function far(): names the schema in"),
        "{error}"
    );
    template
        .allow("function far()")
        .compile(&mut db.conn)
        .unwrap();
}

#[test]
fn a_missing_template_is_an_error_of_its_own() {
    let mut db = Database::new("missing");
    let error = Template::new(schema("tmpl"))
        .compile(&mut db.conn)
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TemplateMissing);
}
