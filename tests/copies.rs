//! Clones with rows: all of them, in one snapshot, as they were.

use std::time::Duration;

use boardinghouse_core::{
    ErrorKind, Layout, NewTenant, Provisioner, SchemaName, Template, TenantStatus,
};
use boardinghouse_tests::TestDb;
use diesel::{Connection, PgConnection, connection::SimpleConnection};

/// What makes rows hard to copy.
const HARD: &str = "CREATE SCHEMA hard; SET search_path TO hard;
    CREATE TYPE mood AS ENUM ('sad', 'happy');
    CREATE DOMAIN amount AS numeric(8, 2) CHECK (VALUE >= 0);
    CREATE TYPE pair AS (x integer, mood mood);
    CREATE FUNCTION no() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RAISE EXCEPTION ''fired''; END';
    CREATE TABLE one (id integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY, two integer, mood mood,
        many mood[], pair pair, price amount, double numeric GENERATED ALWAYS AS (price * 2) STORED,
        part float8, raw bytea, at timestamptz, span interval, gone integer);
    ALTER TABLE one DROP gone;
    CREATE TABLE two (id serial PRIMARY KEY, one integer REFERENCES one DEFERRABLE INITIALLY DEFERRED,
        itself integer REFERENCES two);
    ALTER TABLE one ADD CONSTRAINT circle FOREIGN KEY (two) REFERENCES two;
    CREATE TABLE parted (id integer, body text) PARTITION BY LIST (id);
    CREATE TABLE parted_1 PARTITION OF parted FOR VALUES IN (1);
    CREATE TABLE parted_rest PARTITION OF parted DEFAULT;
    CREATE TABLE child () INHERITS (two);
    CREATE TABLE nothing (); INSERT INTO nothing DEFAULT VALUES;
    CREATE TABLE sessions (token text); INSERT INTO sessions VALUES ('secret');
    CREATE MATERIALIZED VIEW counted AS SELECT count(*) AS n FROM one WITH NO DATA;
    INSERT INTO one (mood, many, pair, price, part, raw, at, span) VALUES
        ('happy', '{sad,happy}', (1, 'sad'), 1.5, 0.1::float8 + 0.2, '\\xdeadbeef', '2024-02-03 04:05:06.789+00', '1 day -2 hours'),
        ('sad', NULL, NULL, 0, 'NaN', NULL, 'infinity', NULL);
    INSERT INTO two (one, itself) VALUES (1, 2), (2, 1);
    UPDATE one SET two = 3 - id;
    INSERT INTO child (id) VALUES (50);
    INSERT INTO parted VALUES (1, 'one'), (7, 'rest');
    SET CONSTRAINTS ALL IMMEDIATE; REFRESH MATERIALIZED VIEW counted;
    CREATE TRIGGER no BEFORE INSERT ON one FOR EACH ROW EXECUTE FUNCTION no();
    CREATE TRIGGER no_rows AFTER INSERT ON parted FOR EACH STATEMENT EXECUTE FUNCTION no();
    ALTER TABLE two ENABLE ROW LEVEL SECURITY; ALTER TABLE two FORCE ROW LEVEL SECURITY;
    CREATE POLICY none ON two USING (false)";

fn all(db: &TestDb, schema: &str) -> String {
    db.value(&format!(
        "SELECT concat_ws('|',
            (SELECT string_agg(concat_ws(',', id, two, mood, many, pair, price, double, part, raw, at, span), ';' ORDER BY id) FROM {schema}.one),
            (SELECT string_agg(concat_ws(',', tableoid = '{schema}.child'::regclass, id, one, itself), ';' ORDER BY id) FROM {schema}.two),
            (SELECT string_agg(concat_ws(',', tableoid = '{schema}.parted_1'::regclass, id, body), ';' ORDER BY id) FROM {schema}.parted),
            (SELECT count(*) FROM {schema}.nothing), (SELECT n FROM {schema}.counted),
            nextval('{schema}.two_id_seq'), (SELECT last_value FROM {schema}.one_id_seq))"
    ))
}

#[test]
fn rows_come_over_as_they_are() {
    let db = TestDb::new();
    db.sql(HARD);
    let mut conn = PgConnection::establish(db.url()).unwrap();
    let hard = Template::new(SchemaName::parse("hard").unwrap()).with_data();
    let target = SchemaName::parse("copy").unwrap();
    // What a session has set makes no difference.
    conn.batch_execute(
        "SET extra_float_digits TO -5; SET datestyle TO 'SQL, DMY'; SET bytea_output TO escape",
    )
    .unwrap();
    hard.clone()
        .exclude_data("sessions")
        .clone_to(&mut conn, &target)
        .unwrap();
    assert_eq!(all(&db, "copy"), all(&db, "hard"));
    assert_eq!(db.value("SELECT count(*) FROM copy.sessions"), "0");
    assert_eq!(db.value("SELECT count(*) FROM hard.sessions"), "1");
    // The rows obey what is checked from now on, too.
    db.sql("DROP SCHEMA hard CASCADE; ALTER TABLE copy.one DISABLE TRIGGER no; SET CONSTRAINTS ALL IMMEDIATE;
        INSERT INTO copy.one (two, price) VALUES (1, 3)");
    assert_eq!(db.value("SELECT max(id) FROM copy.one"), "3");
}

/// What a database has set, every session of it has.
#[test]
fn values_are_the_same_whatever_the_database_has_set() {
    let db = TestDb::new();
    db.sql(
        "CREATE TABLE __template__.every (texts text[] DEFAULT ARRAY['x', NULL, 'NULL'], raw bytea,
             raws bytea[], part float8, at timestamptz, on_day date, span interval, price money,
             doc xml, body text);
         CREATE TYPE __template__.held AS (texts text[], raw bytea, part float8, at date, price money);
         CREATE TABLE __template__.own (held __template__.held, many __template__.held[]);
         INSERT INTO __template__.every (raw, raws, part, at, on_day, span, price, doc, body) VALUES
             ('\\xde5c00', ARRAY['\\x5c'::bytea, NULL], 0.1::float8 + 0.2,
              '2024-02-03 04:05:06.789+00', '2024-02-03', '-1 year 2 days -03:04:05', 1234.5,
              '<a/>tail', E'back\\\\slash');
         INSERT INTO __template__.own SELECT h, ARRAY[h, NULL]
             FROM (SELECT ROW(texts, raw, part, on_day, price)::__template__.held AS h FROM __template__.every) e",
    );
    for setting in [
        "array_nulls TO off",
        "bytea_output TO escape",
        "datestyle TO 'SQL, DMY'",
        "extra_float_digits TO -10",
        "intervalstyle TO sql_standard",
        "lc_monetary TO 'C.UTF-8'",
        "quote_all_identifiers TO on",
        "standard_conforming_strings TO off",
        "backslash_quote TO off",
        "timezone TO 'Asia/Kathmandu'",
        "transform_null_equals TO on",
        "xmlbinary TO hex",
        "xmloption TO document",
    ] {
        db.sql(&format!("DO $do$ BEGIN EXECUTE format($$ALTER DATABASE %I SET {setting}$$, current_database()); END $do$"));
    }
    let provisioner = Provisioner::new(db.pool(1));
    provisioner
        .create(&NewTenant::new("d".parse().unwrap()))
        .unwrap();
    let template = SchemaName::existing("__template__").unwrap();
    provisioner
        .create(&NewTenant::new("e".parse().unwrap()).copy_of(template))
        .unwrap();
    for schema in ["d", "e"] {
        db.sql(&format!("INSERT INTO {schema}.every (body) VALUES ('new')"));
        let rows = |schema: &str| {
            db.value(&format!(
                "SELECT concat_ws('|', (SELECT string_agg(t::text, ';' ORDER BY body) FROM {schema}.every t),
                     (SELECT string_agg(t::text, ';') FROM {schema}.own t))"
            ))
        };
        let expected = rows("__template__");
        let (expected, own) = expected.split_once('|').unwrap();
        let cloned = rows(schema);
        let new = "(\"{x,NULL,\"\"NULL\"\"}\",,,,,,,,,new)";
        assert_eq!(cloned, format!("{expected};{new}|{own}"));
    }
}

/// A cast to or from text may do anything, and is none of a clone's business.
#[test]
fn values_are_not_copied_through_casts_of_the_schemas_own() {
    let db = TestDb::new();
    db.sql(
        "SET search_path TO __template__;
         CREATE TYPE pair AS (x int, y text); CREATE TYPE mood AS ENUM ('sad', 'happy');
         CREATE TYPE span AS RANGE (subtype = int);
         CREATE DOMAIN moods AS mood[]; CREATE DOMAIN doc AS jsonb; CREATE DOMAIN amount AS numeric(8, 2) NOT NULL;
         CREATE DOMAIN one AS pair CHECK ((VALUE).x > 0);
         CREATE FUNCTION shown(pair) RETURNS text LANGUAGE sql IMMUTABLE AS $$ SELECT '(9,9)' $$;
         CREATE FUNCTION shown(mood) RETURNS text LANGUAGE sql IMMUTABLE AS $$ SELECT 'sad' $$;
         CREATE FUNCTION shown(mood[]) RETURNS text LANGUAGE sql IMMUTABLE AS $$ SELECT '{}' $$;
         CREATE FUNCTION read(text) RETURNS pair LANGUAGE sql IMMUTABLE AS $$ SELECT ROW(8, '8')::__template__.pair $$;
         CREATE FUNCTION read_mood(text) RETURNS mood LANGUAGE sql IMMUTABLE AS $$ SELECT 'sad'::__template__.mood $$;
         CREATE CAST (pair AS text) WITH FUNCTION shown(pair) AS IMPLICIT;
         CREATE CAST (mood AS text) WITH FUNCTION shown(mood) AS IMPLICIT;
         CREATE CAST (mood[] AS text) WITH FUNCTION shown(mood[]) AS IMPLICIT;
         CREATE CAST (text AS pair) WITH FUNCTION read(text) AS IMPLICIT;
         CREATE CAST (text AS mood) WITH FUNCTION read_mood(text) AS IMPLICIT;
         CREATE TABLE held (\"Pa ir\" pair, pairs pair[], mood mood, moods moods, doc doc, docs doc[], amount amount,
             one one, span span, plain text);
         INSERT INTO held VALUES
             (ROW(1, E'a\"\\\\\n,'), ARRAY[ROW(2, NULL), NULL]::pair[], 'happy', ARRAY['happy']::mood[],
              '{\"a\": [\"b\"]}', ARRAY['\"c\"', NULL]::doc[], 1.5, ROW(3, 'x')::pair, '[1,4)', 'p'),
             (ROW(NULL, NULL), NULL, NULL, NULL, NULL, NULL, 2, NULL, 'empty', NULL);
         INSERT INTO held (amount, doc) VALUES (3, 'null')",
    );
    let provisioner = Provisioner::new(db.pool(1));
    let new = |id: &str| NewTenant::new(id.parse().unwrap());
    provisioner.create(&new("d")).unwrap();
    let template = SchemaName::existing("__template__").unwrap();
    provisioner.create(&new("e").copy_of(template)).unwrap();
    let rows = |schema: &str| {
        db.value(&format!(
            "SELECT string_agg(format('%s %s', t, \"Pa ir\" IS DISTINCT FROM NULL), ';' ORDER BY amount) FROM {schema}.held t"
        ))
    };
    assert!(rows("__template__").contains("happy"));
    assert_eq!(rows("d"), rows("__template__"));
    assert_eq!(rows("e"), rows("__template__"));
}

/// A role that row-level security binds would copy what it sees, and nobody would be told.
#[test]
fn rows_that_a_policy_may_hide_are_refused_and_not_lost() {
    let db = TestDb::new();
    let role = format!("bound_{}", std::process::id());
    db.sql(&format!(
        "DROP ROLE IF EXISTS {role}; CREATE ROLE {role};
         DO $$ BEGIN EXECUTE format('GRANT CREATE ON DATABASE %I TO {role}', current_database()); END $$;
         CREATE SCHEMA src AUTHORIZATION {role}; SET ROLE {role}; SET search_path TO src;
         CREATE TABLE hidden (id int); INSERT INTO hidden VALUES (1), (2), (3);
         CREATE TABLE unused (id int); CREATE TABLE own (id int); INSERT INTO own VALUES (4);
         ALTER TABLE hidden ENABLE ROW LEVEL SECURITY; ALTER TABLE hidden FORCE ROW LEVEL SECURITY;
         ALTER TABLE unused ENABLE ROW LEVEL SECURITY; ALTER TABLE unused FORCE ROW LEVEL SECURITY;
         ALTER TABLE own ENABLE ROW LEVEL SECURITY;
         CREATE POLICY later ON hidden USING (id > 1)"
    ));
    let mut conn = db.connect();
    conn.batch_execute(&format!("SET ROLE {role}")).unwrap();
    let source = || Template::new(SchemaName::parse("src").unwrap());
    let target = SchemaName::parse("dst").unwrap();
    for error in [
        source()
            .with_data()
            .clone_to(&mut conn, &target)
            .unwrap_err(),
        source().compile(&mut conn).unwrap_err(),
    ] {
        assert_eq!(error.kind(), ErrorKind::TemplateUnsupported);
        let message = error.to_string();
        assert!(message.contains("table hidden: row-level"), "{message}");
        assert!(message.contains("these 1:"), "{message}");
    }
    let rest = || source().with_data().exclude_data("hidden");
    rest().clone_to(&mut conn, &target).unwrap();
    let count = "SELECT concat_ws(',', (SELECT count(*) FROM dst.hidden), (SELECT count(*) FROM dst.unused),
        (SELECT count(*) FROM dst.own))";
    assert_eq!(db.value(count), "0,0,1");

    // Nor are they lost where the policy comes after the plan.
    let plan = rest().compile(&mut conn).unwrap();
    db.sql("ALTER TABLE src.own FORCE ROW LEVEL SECURITY");
    let late = SchemaName::parse("late").unwrap();
    assert!(plan.apply(&mut conn, &late).is_err());

    // Whom nothing binds copies all of them.
    let all = SchemaName::parse("everything").unwrap();
    source()
        .with_data()
        .clone_to(&mut db.connect(), &all)
        .unwrap();
    assert_eq!(db.value("SELECT count(*) FROM everything.hidden"), "3");
    drop(conn);
    db.sql(&format!(
        "DROP SCHEMA src, dst, everything CASCADE; DROP OWNED BY {role} CASCADE; DROP ROLE {role}"
    ));
}

/// What is in the shared schema is the same for the copy, and so is what it reads.
#[test]
fn what_leads_back_to_the_source_by_way_of_the_shared_schema_is_refused() {
    let db = TestDb::new();
    db.sql(
        "CREATE VIEW public.va AS SELECT body FROM a.notes; CREATE VIEW public.vva AS SELECT * FROM public.va;
         CREATE VIEW a.v AS SELECT * FROM public.vva;
         CREATE VIEW public.harmless AS SELECT email FROM public.users; CREATE VIEW a.w AS SELECT * FROM public.harmless",
    );
    let provisioner = Provisioner::new(db.pool(1));
    let copy = || {
        let new = NewTenant::new("c".parse().unwrap());
        provisioner.create(&new.copy_of(SchemaName::parse("a").unwrap()))
    };
    let refused = |what: &str| {
        let error = copy().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::TemplateUnsupported);
        assert!(error.to_string().contains(what), "{}", error.chain());
        assert_eq!(db.tables("c"), "");
    };
    refused("view public.vva: the schema uses it, and it uses table a.notes of the schema");
    db.sql("DROP VIEW a.v");
    db.sql(
        "CREATE FUNCTION public.counted() RETURNS bigint LANGUAGE sql AS 'SELECT 1::bigint';
         CREATE TABLE a.defaults (n bigint DEFAULT public.counted())",
    );
    if db.value("SELECT current_setting('server_version_num')::int >= 140000") == "true" {
        db.sql("CREATE OR REPLACE FUNCTION public.counted() RETURNS bigint LANGUAGE sql BEGIN ATOMIC SELECT count(*) FROM a.notes; END");
        refused("function public.counted(): the schema uses it");
        db.sql("DROP TABLE a.defaults");
    }
    copy().unwrap();
}

#[test]
fn rows_that_point_to_something_in_the_source_are_refused() {
    let db = TestDb::new();
    db.sql("CREATE DOMAIN public.relation AS regclass; CREATE TYPE public.held AS (relation regclass, n int)");
    let provisioner = Provisioner::new(db.pool(1));
    let copy = |of: &str, id: &str| {
        let new = NewTenant::new(id.parse().unwrap());
        provisioner.create(&new.copy_of(SchemaName::existing(of).unwrap()))
    };
    for (of_type, value) in [
        ("regclass", "'a.notes'"),
        ("public.relation", "'a.notes_pkey'"),
        (
            "regclass[]",
            "ARRAY['public.notes', NULL, 'a.notes_id_seq']::regclass[]",
        ),
        ("public.relation[]", "ARRAY['a.notes']::public.relation[]"),
        ("regtype", "'a.notes'"),
        ("regnamespace", "'a'"),
        ("public.held", "ROW('a.notes', 1)::public.held"),
        ("public.held[]", "ARRAY[ROW('a.notes', 1)]::public.held[]"),
    ] {
        db.sql(&format!(
            "CREATE TABLE a.pointing (\"Of\" {of_type}); INSERT INTO a.pointing VALUES (NULL), ({value})"
        ));
        let error = copy("a", "c").unwrap_err();
        assert_eq!(error.kind(), ErrorKind::TemplateUnsupported, "{of_type}");
        let message = error.to_string();
        assert!(
            message.contains("table pointing: rows whose Of"),
            "{message}"
        );
        assert_eq!(db.tables("c"), "");
        db.sql("DROP TABLE a.pointing");
    }
    // Those that point elsewhere are what they are; and a template's rows are names, not numbers.
    db.sql(
        "CREATE TABLE a.pointing (r regclass, t regtype[], h public.held);
         INSERT INTO a.pointing VALUES ('public.notes', '{integer}', NULL)",
    );
    copy("a", "c").unwrap();
    assert_eq!(
        db.value("SELECT p::text FROM c.pointing p"),
        "(notes,{integer},)"
    );
    db.sql(
        "CREATE TABLE __template__.pointing (r regclass, many regclass[], f regprocedure, h public.held);
         CREATE FUNCTION __template__.f(__template__.notes) RETURNS int LANGUAGE sql AS 'SELECT 1';
         INSERT INTO __template__.pointing VALUES ('__template__.notes', ARRAY['public.notes', '__template__.notes']::regclass[],
             '__template__.f(__template__.notes)', ROW('__template__.notes', 1))",
    );
    provisioner
        .create(&NewTenant::new("d".parse().unwrap()))
        .unwrap();
    assert_eq!(
        db.value("SELECT p::text FROM d.pointing p"),
        "(d.notes,\"{notes,d.notes}\",\"d.f(d.notes)\",\"(d.notes,1)\")"
    );
    db.sql("CREATE TABLE __template__.named (n regnamespace); INSERT INTO __template__.named VALUES ('__template__')");
    let error = provisioner
        .create(&NewTenant::new("e".parse().unwrap()))
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TemplateUnsupported);
}

/// A function that is copied as it is would read the source's rows.
#[test]
fn functions_that_put_the_name_of_their_schema_together_are_refused() {
    let db = TestDb::new();
    let provisioner = Provisioner::new(db.pool(1));
    let copy = || {
        let new = NewTenant::new("c".parse().unwrap());
        provisioner.create(&new.copy_of(SchemaName::parse("a").unwrap()))
    };
    for body in [
        "RETURN QUERY EXECUTE 'SELECT body FROM a.' || quote_ident('notes');",
        "RETURN QUERY EXECUTE format('SELECT body FROM a.%I', 'notes');",
        "RETURN QUERY EXECUTE 'SELECT body FROM \"a\".\"' || 'notes' || '\"';",
        "RETURN QUERY SELECT body FROM U&\"\\0061\".notes;",
        "RETURN QUERY EXECUTE 'SELECT body FROM ' || E'\\x61.notes';",
        "RETURN QUERY SELECT query_to_xml('SELECT body FROM ' || 'a' || '.notes', true, false, '')::text;",
        "PERFORM set_config('search_' || 'path', 'a' || ',public', true); RETURN QUERY SELECT body FROM notes;",
    ] {
        db.sql(&format!(
            "CREATE OR REPLACE FUNCTION a.f() RETURNS SETOF text LANGUAGE plpgsql AS $body$BEGIN {body} END$body$"
        ));
        // It is true of each that it reads the rows of `a` from anywhere.
        assert!(
            db.value("SELECT string_agg(f, ',') FROM a.f() f")
                .contains("from-a")
        );
        let error = copy().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::TemplateUnsupported, "{body}");
        assert!(
            error.to_string().contains("function f()"),
            "{}",
            error.chain()
        );
        assert_eq!(db.tables("c"), "");
    }
    db.sql(
        "CREATE OR REPLACE FUNCTION a.f() RETURNS SETOF text LANGUAGE plpgsql AS $body$BEGIN
         RETURN QUERY EXECUTE format('SELECT a.body FROM %I a', 'notes'); END$body$",
    );
    copy().unwrap();
    db.sql("UPDATE c.notes SET body = 'own'");
    assert_eq!(
        db.value("SELECT f FROM (SELECT set_config('search_path', 'c', false)) s, c.f() f"),
        "own"
    );

    // So is a template's, whose clones would share a table.
    db.sql(
        "CREATE TABLE __template__.audit (body text);
         CREATE FUNCTION __template__.log() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
             EXECUTE format('INSERT INTO __template__.%I VALUES ($1)', 'audit') USING NEW.body; RETURN NEW; END $$;
         CREATE TRIGGER t AFTER INSERT ON __template__.notes FOR EACH ROW EXECUTE FUNCTION __template__.log()",
    );
    let error = provisioner
        .create(&NewTenant::new("d".parse().unwrap()))
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TemplateUnsupported);
}

#[test]
fn a_copy_is_refused_before_anything_is_done() {
    let db = TestDb::new();
    db.sql(HARD);
    let mut conn = PgConnection::establish(db.url()).unwrap();
    let target = SchemaName::parse("copy").unwrap();
    let hard = || Template::new(SchemaName::parse("hard").unwrap()).with_data();
    let error = hard()
        .exclude_data("no")
        .clone_to(&mut conn, &target)
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
    let error = conn
        .transaction(|conn| hard().clone_to(conn, &target))
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
    db.sql("CREATE SCHEMA copy");
    let error = hard().clone_to(&mut conn, &target).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::SchemaExists);
    assert_eq!(db.tables("copy"), "");
}

/// A migrator has its schema's lock before it wants the tables: a copy has none of them while it waits.
#[test]
fn a_copy_waits_for_a_migration_with_nothing_in_its_hands() {
    let db = TestDb::new();
    let provisioner = Provisioner::new(db.pool(1)).lock_wait(Duration::from_millis(50));
    // Whoever waits for a table is told so, and not that a migration goes on.
    db.sql("DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET lock_timeout TO 2000', current_database()); END $$");
    let mut migrator = db.connect();
    migrator
        .batch_execute(
            "SELECT pg_advisory_lock(x'62680001'::int, hashtext('a'));
             BEGIN; ALTER TABLE a.notes ADD later integer",
        )
        .unwrap();
    let copy = NewTenant::new("c".parse().unwrap()).copy_of(SchemaName::parse("a").unwrap());
    let error = provisioner.create(&copy).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Locked, "{}", error.chain());
    migrator.batch_execute("COMMIT").unwrap();
    let error = provisioner.create(&copy).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Locked, "{}", error.chain());
    drop(migrator);
    // The lock ends some time after the connection.
    Provisioner::new(db.pool(1)).create(&copy).unwrap();
    assert_eq!(db.tables("c"), db.tables("a"));
    assert_eq!(
        db.value("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"),
        "0"
    );
}

#[test]
fn a_tenant_that_is_not_whole_is_not_copied() {
    let db = TestDb::new();
    let provisioner = Provisioner::new(db.pool(1));
    let copy = |id: &str| {
        let new = NewTenant::new(id.parse().unwrap());
        provisioner.create(&new.copy_of(SchemaName::parse("a").unwrap()))
    };
    for status in ["pending", "failed", "dropping"] {
        db.sql(&format!(
            "UPDATE boardinghouse.tenants SET status = '{status}' WHERE id = 'a'"
        ));
        let error = copy("c").unwrap_err();
        assert_eq!(error.kind(), ErrorKind::TenantUnavailable, "{status}");
        assert_eq!(db.tables("c"), "");
    }
    db.sql("UPDATE boardinghouse.tenants SET status = 'suspended' WHERE id = 'a'");
    assert_eq!(copy("c").unwrap().status(), TenantStatus::Ready);
}

#[test]
fn a_schema_with_a_role_of_its_own_is_not_copied() {
    let db = TestDb::new();
    let extra = SchemaName::existing("extras").unwrap();
    db.sql("CREATE SCHEMA extras");
    let layout = Layout::default().with_extra([extra]).unwrap();
    let provisioner = Provisioner::new(db.pool_for(layout));
    let copy = |of: &str| {
        let new = NewTenant::new("c".parse().unwrap());
        provisioner.create(&new.copy_of(SchemaName::existing(of).unwrap()))
    };
    for of in ["public", "boardinghouse", "extras", "__ready_1"] {
        let error = copy(of).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ReservedName, "{of}");
    }
    assert!(SchemaName::existing("pg_catalog").is_err());
    copy("__template__").unwrap();
    assert_eq!(db.tables("c"), db.tables("__template__"));
}

#[test]
fn a_tenant_can_begin_with_the_rows_of_another() {
    let db = TestDb::new();
    let provisioner = Provisioner::new(db.pool(1));
    let a = SchemaName::parse("a").unwrap();
    let new = |id: &str| NewTenant::new(id.parse().unwrap()).copy_of(a.clone());
    provisioner.create(&new("acme")).unwrap();
    assert_eq!(
        db.value("SELECT string_agg(body, ',') FROM acme.notes"),
        db.value("SELECT string_agg(body, ',') FROM a.notes")
    );
    db.sql("INSERT INTO acme.notes (body) VALUES ('own')");
    assert_eq!(
        db.value("SELECT count(*) FROM a.notes WHERE body = 'own'"),
        "0"
    );
    let error = provisioner.create(&new("acme")).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TenantExists);
}
