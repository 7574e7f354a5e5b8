//! The plan that is kept: never used for a template that has changed.

use boardinghouse_core::{ErrorKind, NewTenant, Provisioner, SchemaName, Template};
use boardinghouse_tests::{TestDb, add_note, tenant};
use diesel::{Connection, PgConnection};

/// Something of every kind, so that each can be changed.
const TEMPLATE: &str = "SET search_path TO __template__, public;
    CREATE TYPE mood AS ENUM ('sad');
    CREATE TYPE pair AS (x integer);
    CREATE DOMAIN amount AS integer CHECK (VALUE > 0);
    CREATE TYPE span AS RANGE (subtype = float8);
    CREATE FUNCTION one() RETURNS integer LANGUAGE sql AS 'SELECT 1';
    CREATE FUNCTION touch() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END';
    CREATE SEQUENCE free_seq;
    CREATE TABLE part (id integer PRIMARY KEY, of_user bigint, body text DEFAULT 'x');
    CREATE TABLE log (id integer, body text) PARTITION BY LIST (id);
    CREATE TABLE log_1 PARTITION OF log FOR VALUES IN (1);
    CREATE INDEX part_body ON part (body);
    CREATE VIEW bodies AS SELECT body FROM part;
    CREATE TRIGGER logged BEFORE INSERT ON log FOR EACH ROW EXECUTE FUNCTION touch();
    CREATE TRIGGER touched BEFORE UPDATE ON part FOR EACH ROW EXECUTE FUNCTION touch();
    CREATE RULE silent AS ON DELETE TO part DO INSTEAD NOTHING;
    CREATE POLICY mine ON part USING (true);
    CREATE STATISTICS two_of ON id, of_user FROM part;
    CREATE TEXT SEARCH CONFIGURATION plain (COPY = pg_catalog.simple);
    CREATE TEXT SEARCH DICTIONARY words (TEMPLATE = pg_catalog.simple);
    CREATE OPERATOR FAMILY family USING btree;
    CREATE COLLATION plain_c (provider = libc, locale = 'C');
    CREATE TABLE filled (id integer GENERATED ALWAYS AS IDENTITY, body text);
    INSERT INTO filled (body) VALUES ('one');
    CREATE TABLE public.elsewhere (id bigint PRIMARY KEY);
    ALTER TABLE part ADD CONSTRAINT of_user FOREIGN KEY (of_user) REFERENCES public.elsewhere;
    CREATE FUNCTION public.shared_two() RETURNS integer LANGUAGE sql AS 'SELECT 2';
    ALTER TABLE part ADD two integer DEFAULT public.shared_two();";

const CHANGES: &[&str] = &[
    "ALTER TABLE part ADD extra integer",
    "ALTER TABLE part DROP extra",
    "ALTER TABLE part ALTER body SET DEFAULT 'y'",
    "ALTER TABLE part ALTER body DROP DEFAULT",
    "ALTER TABLE part ALTER body SET STORAGE EXTERNAL",
    "ALTER TABLE part ALTER body SET STATISTICS 7",
    "ALTER TABLE part ALTER body SET (n_distinct = 3)",
    "ALTER TABLE part SET (fillfactor = 50)",
    "ALTER TABLE part SET (toast.autovacuum_enabled = false)",
    "ALTER TABLE part ADD CHECK (id > 0)",
    "ALTER TABLE part RENAME CONSTRAINT part_id_check TO positive",
    "ALTER TABLE part REPLICA IDENTITY FULL",
    "ALTER TABLE part CLUSTER ON part_body",
    "ALTER TABLE part ENABLE ROW LEVEL SECURITY",
    "ALTER INDEX part_body SET (fillfactor = 60)",
    "CREATE INDEX part_lower ON part (lower(body))",
    "ALTER INDEX part_lower ALTER COLUMN 1 SET STATISTICS 9",
    "DROP INDEX part_lower",
    "ALTER TYPE mood ADD VALUE 'happy'",
    "ALTER TYPE pair ADD ATTRIBUTE y text",
    "ALTER DOMAIN amount SET DEFAULT 3",
    "ALTER DOMAIN amount ADD CONSTRAINT small CHECK (VALUE < 100)",
    "CREATE OR REPLACE FUNCTION one() RETURNS integer LANGUAGE sql AS 'SELECT 11'",
    "ALTER FUNCTION one() COST 7",
    "GRANT EXECUTE ON FUNCTION one() TO pg_monitor",
    "CREATE AGGREGATE total(integer) (SFUNC = int4pl, STYPE = integer)",
    "CREATE CAST (mood AS pair) WITH INOUT",
    "ALTER SEQUENCE free_seq INCREMENT 5",
    "SELECT nextval('free_seq')",
    "SELECT setval('free_seq', 50, false)",
    "CREATE OR REPLACE VIEW bodies AS SELECT body FROM part WHERE id > 1",
    "ALTER VIEW bodies SET (security_barrier = true)",
    "ALTER TABLE part DISABLE TRIGGER touched",
    "ALTER TABLE part DISABLE RULE silent",
    "ALTER POLICY mine ON part USING (id > 0)",
    "ALTER STATISTICS two_of SET STATISTICS 50",
    "ALTER TEXT SEARCH CONFIGURATION plain DROP MAPPING FOR email",
    "ALTER TEXT SEARCH DICTIONARY words (accept = false)",
    "ALTER OPERATOR FAMILY family USING btree ADD OPERATOR 1 < (integer, bigint)",
    "ALTER COLLATION plain_c RENAME TO plain_posix",
    // The first of their kinds, and then they change.
    "CREATE OPERATOR === (FUNCTION = int4eq, LEFTARG = integer, RIGHTARG = integer)",
    "ALTER OPERATOR === (integer, integer) SET (RESTRICT = eqsel)",
    "CREATE OPERATOR CLASS alike FOR TYPE integer USING hash AS OPERATOR 1 ===, FUNCTION 1 hashint4(integer)",
    "ALTER OPERATOR CLASS alike USING hash RENAME TO the_same",
    "CREATE CONVERSION latin FOR 'LATIN1' TO 'UTF8' FROM iso8859_1_to_utf8",
    "ALTER CONVERSION latin RENAME TO western",
    "COMMENT ON COLUMN part.body IS 'said'",
    "COMMENT ON FUNCTION one() IS 'said'",
    "COMMENT ON TRIGGER logged ON log_1 IS 'said'",
    "COMMENT ON SCHEMA __template__ IS 'said'",
    "GRANT SELECT (body) ON part TO pg_monitor",
    "GRANT USAGE ON SCHEMA __template__ TO pg_monitor",
    "ALTER DEFAULT PRIVILEGES IN SCHEMA __template__ GRANT SELECT ON TABLES TO pg_monitor",
    "ALTER TABLE part OWNER TO pg_monitor",
    "CREATE TABLE log_2 PARTITION OF log FOR VALUES IN (2)",
    "ALTER TABLE log DETACH PARTITION log_1",
    "ALTER TABLE public.elsewhere RENAME TO somewhere",
    "ALTER FUNCTION public.shared_two() RENAME TO shared_too",
    "INSERT INTO filled (body) VALUES ('two')",
    "UPDATE filled SET body = 'changed' WHERE id = 1",
    "DELETE FROM filled",
    "INSERT INTO part (id) VALUES (1)",
    "TRUNCATE part",
];

/// Acceptance of `Provisioner`: what was changed by hand is in the next clone, and the plan is made anew for
/// nothing else.
#[test]
fn whatever_is_changed_about_the_template_is_in_the_next_tenant() {
    let db = TestDb::new();
    db.sql(TEMPLATE);
    let pool = db.pool(1);
    let provisioner = Provisioner::new(pool);
    let mut conn = PgConnection::establish(db.url()).unwrap();
    let template = Template::new(SchemaName::existing("__template__").unwrap());
    let mut before = template.compile(&mut conn).unwrap();
    let mut stale = Vec::new();
    for (number, change) in std::iter::once(&"").chain(CHANGES).enumerate() {
        if !change.is_empty() {
            db.sql(&format!(
                "SET search_path TO __template__, public; {change}"
            ));
        }
        let now = template.compile(&mut conn).unwrap();
        assert_eq!(now.steps() == before.steps(), change.is_empty(), "{change}");
        before = now;
        let new = NewTenant::new(format!("t{number}").parse().unwrap());
        let made = provisioner.create(&new).unwrap();
        let clone = Template::new(made.schema().clone());
        if clone.compile(&mut conn).unwrap().steps() != before.steps() {
            stale.push(*change);
        }
    }
    assert!(stale.is_empty(), "not in the next tenant: {stale:#?}");
}

#[test]
fn a_template_that_is_dropped_and_made_again_is_another_one() {
    let db = TestDb::new();
    let pool = db.pool(1);
    let provisioner = Provisioner::new(pool.clone());
    provisioner
        .create(&NewTenant::new("one".parse().unwrap()))
        .unwrap();
    db.sql(
        "DROP SCHEMA __template__ CASCADE; CREATE SCHEMA __template__;
         CREATE TABLE __template__.notes (id integer GENERATED ALWAYS AS IDENTITY, body text, author integer);",
    );
    provisioner
        .create(&NewTenant::new("two".parse().unwrap()))
        .unwrap();
    assert_eq!(db.tables("two"), db.tables("__template__"));
    add_note(&mut pool.get(&tenant(&pool, "two")).unwrap(), "x").unwrap();
}

/// What the template uses has its own rows: a plan that was made before would make something else of them.
#[test]
fn what_is_changed_about_what_the_template_uses_is_in_the_next_tenant() {
    const CHANGES: &[&str] = &[
        "ALTER TYPE public.mo RENAME VALUE 'a' TO 'c'",
        "ALTER TABLE public.o RENAME email TO old_email; ALTER TABLE public.o ADD email text",
        "ALTER TABLE public.o RENAME id TO uid",
        "ALTER TABLE public.o RENAME a TO c; ALTER TABLE public.o RENAME b TO a",
        "ALTER TYPE public.pa RENAME ATTRIBUTE x TO z; ALTER TYPE public.pa RENAME ATTRIBUTE y TO x",
        "ALTER SCHEMA plans_oth RENAME TO plans_other",
    ];
    let db = TestDb::new();
    db.sql(
        "CREATE SCHEMA plans_oth; CREATE TYPE public.mo AS ENUM ('a', 'b'); CREATE TYPE public.pa AS (x int, y int);
         CREATE TABLE public.o (id int PRIMARY KEY, email text, a int, b int);
         SET search_path TO __template__, public;
         CREATE TABLE t (m public.mo DEFAULT 'a', p public.pa CHECK ((p).x > 0), x int REFERENCES public.o,
                         s regnamespace DEFAULT 'plans_oth'::regnamespace);
         CREATE VIEW v AS SELECT email FROM public.o;
         CREATE POLICY seen ON t USING (x IN (SELECT o.a FROM public.o))",
    );
    let provisioner = Provisioner::new(db.pool(1));
    let mut conn = db.connect();
    let mut compiled = |schema: &SchemaName| {
        let plan = Template::new(schema.clone()).compile(&mut conn).unwrap();
        plan.steps().to_vec()
    };
    let template = SchemaName::existing("__template__").unwrap();
    for (number, change) in std::iter::once(&"SELECT").chain(CHANGES).enumerate() {
        // One that waits is out of date, too.
        provisioner.keep_ready(1).unwrap();
        db.sql(change);
        let new = NewTenant::new(format!("t{number}").parse().unwrap());
        let made = provisioner.create(&new).unwrap();
        assert!(compiled(made.schema()) == compiled(&template), "{change}");
    }

    // What would lead back to the template is refused, however far away.
    db.sql(
        "CREATE VIEW public.far AS SELECT 1 AS x; CREATE VIEW public.near AS SELECT x FROM public.far;
         CREATE VIEW __template__.w AS SELECT x FROM public.near",
    );
    let create = |id: &str| provisioner.create(&NewTenant::new(id.parse().unwrap()));
    create("near").unwrap();
    db.sql("CREATE OR REPLACE VIEW public.far AS SELECT x FROM __template__.t");
    let refused = create("far").unwrap_err();
    assert_eq!(
        refused.kind(),
        ErrorKind::TemplateUnsupported,
        "{}",
        refused.chain()
    );
}

/// It is nobody's row but that of the dependency which says so.
#[test]
fn an_object_that_an_extension_takes_is_seen() {
    for taken in [
        "ALTER EXTENSION plpgsql ADD TABLE __template__.part",
        "ALTER FUNCTION __template__.one() DEPENDS ON EXTENSION plpgsql",
        "ALTER TRIGGER touched ON __template__.part DEPENDS ON EXTENSION plpgsql",
    ] {
        let db = TestDb::new();
        db.sql(TEMPLATE);
        let provisioner = Provisioner::new(db.pool(1));
        provisioner
            .create(&NewTenant::new("one".parse().unwrap()))
            .unwrap();
        db.sql(taken);
        let refused = provisioner
            .create(&NewTenant::new("two".parse().unwrap()))
            .unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::TemplateUnsupported, "{taken}");
    }
}

/// A plan of another name for what the template uses would not run.
#[test]
fn a_role_that_gets_another_name_is_seen() {
    let db = TestDb::new();
    let [old, new] = ["plans_role_before", "plans_role_after"];
    db.sql(&format!(
        "CREATE ROLE {old}; GRANT SELECT ON __template__.notes TO {old}"
    ));
    let provisioner = Provisioner::new(db.pool(1));
    provisioner
        .create(&NewTenant::new("one".parse().unwrap()))
        .unwrap();
    db.sql(&format!("ALTER ROLE {old} RENAME TO {new}"));
    provisioner
        .create(&NewTenant::new("two".parse().unwrap()))
        .unwrap();
    let acl = |schema: &str| {
        db.value(&format!(
            "SELECT relacl::text FROM pg_class WHERE oid = '{schema}.notes'::regclass"
        ))
    };
    assert_eq!(acl("two"), acl("one"));
}

/// What clones bring with them is in the same catalogs.
#[test]
fn a_clone_leaves_the_plan_as_it_is() {
    let db = TestDb::new();
    db.sql(TEMPLATE);
    db.sql(
        "ALTER DEFAULT PRIVILEGES IN SCHEMA __template__ GRANT SELECT ON TABLES TO pg_monitor;
         COMMENT ON TABLE __template__.part IS 'commented'",
    );
    let provisioner = Provisioner::new(db.pool(1));
    provisioner.keep_ready(3).unwrap();
    let compiled = || db.value("SELECT compiled_at FROM boardinghouse.clone_plans");
    let before = compiled();
    for (id, left) in [("one", 2), ("two", 1), ("three", 0), ("four", 0)] {
        provisioner
            .create(&NewTenant::new(id.parse().unwrap()))
            .unwrap();
        let waiting = provisioner.ready_schemas().unwrap();
        assert_eq!(
            (waiting.ready.len(), waiting.stale.len()),
            (left, 0),
            "{id}"
        );
    }
    assert_eq!(compiled(), before);
    // Those that count for every schema do change what the next clone gets.
    db.sql("ALTER DEFAULT PRIVILEGES GRANT SELECT ON TABLES TO pg_monitor");
    provisioner
        .create(&NewTenant::new("five".parse().unwrap()))
        .unwrap();
    assert_ne!(compiled(), before);
}

/// Whoever finds that a kept plan cannot be run makes it anew, whatever the reason.
#[test]
fn a_plan_that_cannot_be_run_is_made_anew() {
    type Way = fn(&Provisioner);
    let ways: [Way; 2] = [
        |provisioner| {
            let new = NewTenant::new("two".parse().unwrap());
            provisioner.create(&new).unwrap();
        },
        |provisioner| assert_eq!(provisioner.keep_ready(1).unwrap().created.len(), 1),
    ];
    for way in ways {
        let db = TestDb::new();
        Provisioner::new(db.pool(1))
            .create(&NewTenant::new("one".parse().unwrap()))
            .unwrap();
        db.sql(
            "UPDATE boardinghouse.clone_plans
             SET plan = replace(plan::text, 'CREATE TABLE', 'CREATE TABBLE')::jsonb",
        );
        let broken = || {
            db.value("SELECT count(*)::text FROM boardinghouse.clone_plans WHERE plan::text LIKE '%TABBLE%'")
        };
        assert_eq!(broken(), "1");
        // Another process, which has no plan of its own.
        way(&Provisioner::new(db.pool(1)));
        assert_eq!(broken(), "0");
    }
}

/// `CREATE SCHEMA … AUTHORIZATION` takes the default privileges of the owner, not those of who creates it.
#[test]
fn a_clone_of_somebody_elses_schema_has_its_privileges_and_no_more() {
    let db = TestDb::new();
    let owner = "plans_owner_of_schema";
    db.sql(&format!(
        "CREATE ROLE {owner}; GRANT CREATE ON DATABASE \"{}\" TO {owner};
         ALTER SCHEMA __template__ OWNER TO {owner};
         ALTER DEFAULT PRIVILEGES FOR ROLE {owner} GRANT USAGE ON SCHEMAS TO pg_monitor;
         ALTER DEFAULT PRIVILEGES FOR ROLE {owner} GRANT CREATE ON SCHEMAS TO pg_read_all_stats;
         ALTER DEFAULT PRIVILEGES GRANT USAGE ON SCHEMAS TO pg_signal_backend",
        db.value("SELECT current_database()")
    ));
    Provisioner::new(db.pool(1))
        .create(&NewTenant::new("one".parse().unwrap()))
        .unwrap();
    let acl = |schema: &str| {
        db.value(&format!(
            "SELECT pg_get_userbyid(nspowner) || coalesce(nspacl, acldefault('n', nspowner))::text
             FROM pg_namespace WHERE nspname = '{schema}'"
        ))
    };
    assert_eq!(acl("one"), acl("__template__"));
}

/// What the template uses gets another name, or another takes its name; what is the first of its kind comes, and
/// what only a row of a dependency says.
#[test]
fn what_happens_to_what_the_template_uses_is_in_the_next_tenant() {
    const CASES: &[(&str, &str)] = &[
        (
            "CREATE SCHEMA other;
             CREATE FUNCTION other.f() RETURNS integer LANGUAGE sql AS 'SELECT 1';
             CREATE TABLE t (x integer DEFAULT other.f())",
            "ALTER SCHEMA other RENAME TO gone; CREATE SCHEMA other;
             CREATE FUNCTION other.f() RETURNS integer LANGUAGE sql AS 'SELECT 2'",
        ),
        (
            "CREATE TYPE public.one AS ENUM ('a'); CREATE TYPE public.two AS ENUM ('a');
             CREATE TABLE t (x public.one)",
            "ALTER TYPE public.one RENAME TO three; ALTER TYPE public.two RENAME TO one",
        ),
        (
            "CREATE SEQUENCE public.numbers; CREATE TABLE t (x integer DEFAULT nextval('public.numbers'))",
            "ALTER SEQUENCE public.numbers RENAME TO digits",
        ),
        (
            "CREATE SEQUENCE s; CREATE TABLE t (x integer)",
            "ALTER SEQUENCE s OWNED BY __template__.t.x",
        ),
        (
            "CREATE TABLE t (x integer) PARTITION BY LIST (x); CREATE TABLE t1 PARTITION OF t FOR VALUES IN (1);
             CREATE INDEX i ON ONLY t (x); CREATE INDEX i1 ON t1 (x)",
            "ALTER INDEX i ATTACH PARTITION i1",
        ),
        (
            "CREATE FUNCTION public.f(float8, float8) RETURNS float8 LANGUAGE sql IMMUTABLE AS 'SELECT $1 - $2';
             CREATE TYPE span AS RANGE (subtype = float8, subtype_diff = public.f)",
            "ALTER FUNCTION public.f(float8, float8) RENAME TO less",
        ),
        (
            "CREATE OPERATOR public.=== (FUNCTION = int4eq, LEFTARG = integer, RIGHTARG = integer);
             CREATE TABLE t (x integer, CHECK (x OPERATOR(public.===) 1))",
            "CREATE SCHEMA other; ALTER OPERATOR public.=== (integer, integer) SET SCHEMA other",
        ),
    ];
    for (template, change) in CASES {
        let db = TestDb::new();
        db.sql(&format!("SET search_path TO __template__; {template}"));
        let pool = db.pool(1);
        let provisioner = Provisioner::new(pool);
        let mut conn = PgConnection::establish(db.url()).unwrap();
        let source = Template::new(SchemaName::existing("__template__").unwrap());
        let before = source.compile(&mut conn).unwrap();
        provisioner
            .create(&NewTenant::new("one".parse().unwrap()))
            .unwrap();
        provisioner.keep_ready(1).unwrap();
        db.sql(&format!("SET search_path TO __template__; {change}"));
        let now = source.compile(&mut conn).unwrap();
        assert_ne!(now.steps(), before.steps(), "{change}");
        let ready = provisioner.ready_schemas().unwrap();
        assert_eq!((ready.ready.len(), ready.stale.len()), (0, 1), "{change}");
        let made = provisioner
            .create(&NewTenant::new("two".parse().unwrap()))
            .unwrap();
        let clone = Template::new(made.schema().clone());
        assert_eq!(
            clone.compile(&mut conn).unwrap().steps(),
            now.steps(),
            "{change}"
        );
    }
}
