//! Tables that are moved from the shared schema to the tenants, and back.

use std::{sync::mpsc, thread, time::Duration};

use boardinghouse_core::{
    Drift, Error, ErrorKind, Migrator, MoveTo, NewTenant, PgRegistry, Provisioner, SchemaName,
    TableMove, TableMovePlan, TenantPool, embedded::Server,
};
use boardinghouse_tests::{SHARED, TENANT, TestDb, bodies, tenant, value};
use diesel::{Connection, PgConnection, connection::SimpleConnection, prelude::*};

diesel::table! {
    plans { id -> Integer, name -> Text }
}

/// A shared table with ten rows and a bit of everything, to which the tenants' notes refer.
const PLANS: &str = r#"
    CREATE TYPE public.mood AS ENUM ('good', 'bad');
    CREATE FUNCTION public.touch() RETURNS trigger LANGUAGE plpgsql AS
        $$ BEGIN NEW.changed := 'touched'; RETURN NEW; END $$;
    CREATE TABLE public.plans (
        id serial PRIMARY KEY,
        name text NOT NULL,
        mood public.mood NOT NULL DEFAULT 'good',
        number bigint GENERATED ALWAYS AS IDENTITY,
        owner integer REFERENCES public.users,
        parent integer REFERENCES public.plans,
        long text GENERATED ALWAYS AS (name || '!') STORED,
        changed text,
        CHECK (name <> '')
    );
    CREATE UNIQUE INDEX plans_name ON public.plans (lower(name)) WHERE mood = 'good';
    CREATE STATISTICS public.plans_both (dependencies) ON mood, owner FROM public.plans;
    COMMENT ON TABLE public.plans IS 'what can be bought';
    COMMENT ON COLUMN public.plans.name IS 'as it is called';
    GRANT SELECT (id, name) ON public.plans TO PUBLIC;
    ALTER TABLE public.plans ENABLE ROW LEVEL SECURITY;
    CREATE POLICY seen ON public.plans USING (id > 0);
    INSERT INTO public.plans (name, owner, parent)
        SELECT 'plan ' || n, 1, nullif(n - 1, 0) FROM generate_series(1, 10) AS n;
    CREATE TRIGGER touch BEFORE INSERT OR UPDATE ON public.plans
        FOR EACH ROW EXECUTE FUNCTION public.touch();
"#;

/// The tenants' notes refer to the plans.
const REFER: &str = "ALTER TABLE notes ADD COLUMN plan integer; \
     ALTER TABLE notes ADD CONSTRAINT notes_plan FOREIGN KEY (plan) REFERENCES public.plans \
     ON DELETE CASCADE DEFERRABLE INITIALLY DEFERRED; \
     COMMENT ON CONSTRAINT notes_plan ON notes IS 'what is paid for'; \
     CREATE INDEX ON notes (plan)";

struct Site {
    db: TestDb,
    pool: TenantPool,
}

impl Site {
    /// The fixture's tenants `a` and `b`, and the shared plans.
    fn new() -> Self {
        let site = Self::bare();
        site.db.sql(PLANS);
        site.in_fleet(REFER);
        site.db
            .sql("UPDATE a.notes SET plan = 3; UPDATE b.notes SET plan = 4");
        site
    }

    fn bare() -> Self {
        let db = TestDb::new();
        let pool = db.pool(2);
        Self { db, pool }
    }

    fn in_fleet(&self, sql: &str) {
        for schema in ["__template__", "a", "b"] {
            self.in_schema(schema, sql);
        }
    }

    fn in_schema(&self, schema: &str, sql: &str) {
        self.db
            .sql(&format!("SET search_path TO {schema}, public; {sql}"));
    }

    fn wanted(&self, table: &str, to: MoveTo) -> TableMove {
        TableMove::new(self.pool.clone(), table, to)
            .unwrap()
            .lock_wait(Duration::ZERO)
    }

    fn to_tenants(&self) -> Result<TableMovePlan, Error> {
        self.wanted("plans", MoveTo::Tenants)
            .copy_to_each(true)
            .run()
    }

    fn to_shared(&self) -> Result<TableMovePlan, Error> {
        self.wanted("plans", MoveTo::Shared).run()
    }

    fn count(&self, table: &str) -> String {
        self.db.value(&format!("SELECT count(*) FROM {table}"))
    }

    fn has(&self, table: &str) -> bool {
        self.db.value(&format!("SELECT to_regclass('{table}')")) != "NULL"
    }

    /// All that a failed move must leave as it was.
    fn state(&self) -> String {
        state(&self.db)
    }

    /// The move is refused for this reason, by either way of asking, and nothing changes.
    #[track_caller]
    fn refuses(&self, wanted: &TableMove, kind: ErrorKind, reasons: &[&str]) {
        let before = self.state();
        for result in [wanted.plan(), wanted.run()] {
            let error = result.unwrap_err();
            let text = error.chain();
            assert_eq!(error.kind(), kind, "{text}");
            for reason in reasons {
                assert!(text.contains(reason), "{reason:?} in {text}");
            }
        }
        assert_eq!(self.state(), before);
    }
}

/// The versions of all rows of the catalogs that say what there is, the rows, the sequences and the registry.
fn state(db: &TestDb) -> String {
    let mut conn = db.connect();
    let mut all = Vec::new();
    for catalog in [
        "pg_class",
        "pg_attribute",
        "pg_constraint",
        "pg_trigger",
        "pg_namespace",
        "pg_depend",
        "pg_type",
        "pg_description",
        "pg_statistic_ext",
        "boardinghouse.tenants",
        "boardinghouse.ready_schemas",
        "a.notes",
        "b.notes",
        "public.notes",
        "a.__diesel_schema_migrations",
    ] {
        // What VACUUM and ANALYZE write is no change.
        let xmin = match catalog {
            "pg_class" => {
                "oid::text || relname || relnamespace || relowner || coalesce(relacl::text, '')"
            }
            _ => "xmin::text || ctid::text",
        };
        all.push(value(
            &mut conn,
            &format!("SELECT md5(string_agg({xmin}, ' ' ORDER BY {xmin})) FROM {catalog}"),
        ));
    }
    all.join(" ")
}

/// Which migrations the schemas have, as their tables say, and when they were applied.
fn migrations(db: &TestDb) -> String {
    let of = |schema: &str| {
        db.value(&format!(
            "SELECT string_agg(version || run_on, ',' ORDER BY version) FROM {schema}.__diesel_schema_migrations"
        ))
    };
    ["public", "__template__", "a", "b"].map(of).join(" ")
}

/// Where the foreign key of a schema's notes leads, and whether it was validated.
fn leads_to(db: &TestDb, schema: &str) -> String {
    db.value(&format!(
        "SELECT confrelid::regclass || ' ' || convalidated || ' ' || condeferred || ' ' || confdeltype::text || ' '
                || obj_description(oid, 'pg_constraint')
         FROM pg_constraint WHERE conrelid = '{schema}.notes'::regclass AND conname = 'notes_plan'"
    ))
}

/// W11, F23, J08.
#[test]
fn a_shared_table_becomes_one_of_each_tenant_with_all_that_it_has() {
    let site = Site::new();
    let db = &site.db;
    let before = migrations(db);
    // A session that has used the shared table goes on with the tenant's own.
    let a = tenant(&site.pool, "a");
    let names = |conn: &mut boardinghouse_core::TenantConnection| {
        plans::table
            .select(plans::name)
            .order(plans::id)
            .load::<String>(conn)
    };
    assert_eq!(names(&mut site.pool.get(&a).unwrap()).unwrap().len(), 10);
    let mut held = site.pool.get(&a).unwrap();
    assert_eq!(names(&mut held).unwrap().len(), 10);
    let epoch: i64 = db
        .value("SELECT min(epoch) FROM boardinghouse.tenants")
        .parse()
        .unwrap();

    let done = site.to_tenants().unwrap();
    assert_eq!(done.shared_rows_before, 10);
    let rows: Vec<_> = done
        .schemas
        .iter()
        .map(|one| (one.schema.as_str(), one.rows_after))
        .collect();
    assert_eq!(rows, [("__template__", 0), ("a", 10), ("b", 10)]);
    assert!(
        done.locks.held > 0 && done.locks.held <= done.locks.predicted,
        "{:?}",
        done.locks
    );
    assert!(
        done.locks.predicted <= 3 * done.locks.held,
        "{:?}",
        done.locks
    );

    assert!(!site.has("public.plans"));
    assert!(!site.has("__boardinghouse_move__.plans"));
    assert_eq!(site.count("__template__.plans"), "0");
    for schema in ["a", "b"] {
        assert_eq!(site.count(&format!("{schema}.plans")), "10");
        assert_eq!(
            leads_to(db, schema),
            format!("{schema}.plans true true c what is paid for")
        );
        // Sequences go on, triggers work, rows were copied as they were.
        let added = format!(
            "INSERT INTO {schema}.plans (name) VALUES ('new') \
             RETURNING id || ' ' || number || ' ' || changed || ' ' || long || ' ' || mood"
        );
        let added = value_of_statement(db, &added);
        assert_eq!(added, "11 11 touched new! good");
        assert_eq!(
            site.count(&format!("{schema}.plans WHERE changed IS NOT NULL")),
            "1"
        );
        let of = format!("'{schema}.plans'::regclass");
        assert_eq!(
            db.value(&format!("SELECT obj_description({of})")),
            "what can be bought"
        );
        assert_eq!(
            db.value(&format!("SELECT col_description({of}, 2)")),
            "as it is called"
        );
        assert_eq!(
            db.value(&format!(
                "SELECT count(*) FROM pg_policy WHERE polrelid = {of}"
            )),
            "1"
        );
        assert_eq!(
            db.value(&format!(
                "SELECT stxnamespace::regnamespace FROM pg_statistic_ext WHERE stxrelid = {of}"
            )),
            schema
        );
        assert_eq!(
            db.value(&format!(
                "SELECT string_agg(confrelid::regclass::text, ' ' ORDER BY conname) FROM pg_constraint \
                 WHERE conrelid = {of} AND contype = 'f'"
            )),
            format!("users {schema}.plans")
        );
        assert_eq!(
            db.value(&format!(
                "SELECT has_column_privilege('pg_read_all_stats', {of}, 'name', 'SELECT')"
            )),
            "true"
        );
    }
    assert_eq!(db.value("SELECT plan FROM a.notes"), "3");
    // No phantom rows.
    assert_eq!(migrations(db), before);
    assert!(Drift::new(site.pool.clone()).check().unwrap().is_healthy());
    let after: i64 = db
        .value("SELECT min(epoch) FROM boardinghouse.tenants")
        .parse()
        .unwrap();
    assert!(after > epoch);

    // Each sees its own, right away: the one who had it, and whoever comes.
    db.sql("UPDATE a.plans SET name = 'own' WHERE id = 1");
    assert_eq!(names(&mut held).unwrap()[0], "own");
    drop(held);
    let b = tenant(&site.pool, "b");
    assert_eq!(names(&mut site.pool.get(&b).unwrap()).unwrap()[0], "plan 1");
    assert_eq!(bodies(&mut site.pool.get(&b).unwrap()).unwrap(), ["from-b"]);
    assert_eq!(db.value("SELECT body FROM public.notes"), "PUBLIC");

    // A tenant that is created now has it, empty, and begins at one.
    Provisioner::new(site.pool.clone())
        .create(&NewTenant::new("c".parse().unwrap()))
        .unwrap();
    assert_eq!(site.count("c.plans"), "0");
    assert_eq!(
        value_of_statement(
            db,
            "INSERT INTO c.plans (name) VALUES ('x') RETURNING id || ' ' || number"
        ),
        "1 1"
    );
    assert_eq!(leads_to(db, "c"), "c.plans true true c what is paid for");
}

/// Whether the server is of this version, or newer.
fn is_since(db: &TestDb, major: i32) -> bool {
    let version = db.value("SELECT current_setting('server_version_num')");
    version.parse::<i32>().unwrap() >= major * 10_000
}

fn value_of_statement(db: &TestDb, statement: &str) -> String {
    #[derive(QueryableByName)]
    struct Value {
        #[diesel(sql_type = diesel::sql_types::Text)]
        value: String,
    }
    let row: Value = diesel::sql_query(format!("{statement} AS value"))
        .get_result(&mut db.connect())
        .unwrap();
    row.value
}

/// W11, F23, J08.
#[test]
fn the_tables_of_all_tenants_become_one_and_rows_that_say_the_same_are_one() {
    let site = Site::new();
    let db = &site.db;
    site.to_tenants().unwrap();
    let before = migrations(db);
    db.sql(
        "INSERT INTO b.plans (id, name) VALUES (40, 'of b'); UPDATE b.notes SET plan = 40;
         SELECT setval('a.plans_id_seq', 70); SELECT setval('b.plans_number_seq', 90)",
    );
    let done = site.to_shared().unwrap();
    assert_eq!((done.shared_rows_after, done.all_conflicts), (11, 0));
    assert!(done.locks.held <= done.locks.predicted, "{:?}", done.locks);
    assert!(
        done.locks.predicted <= 3 * done.locks.held,
        "{:?}",
        done.locks
    );
    for schema in ["__template__", "a", "b", "__boardinghouse_move__"] {
        assert!(!site.has(&format!("{schema}.plans")), "{schema}");
    }
    assert_eq!(
        db.value("SELECT string_agg(id::text, ',' ORDER BY id) FROM plans"),
        "1,2,3,4,5,6,7,8,9,10,40"
    );
    // Triggers did not run: the rows are as they were.
    assert_eq!(
        db.value("SELECT string_agg(id::text, ',') FROM plans WHERE changed IS NOT NULL"),
        "40"
    );
    for schema in ["__template__", "a", "b"] {
        assert_eq!(leads_to(db, schema), "plans true true c what is paid for");
    }
    assert_eq!(
        value_of_statement(
            db,
            "INSERT INTO public.plans (name) VALUES ('x') RETURNING id || ' ' || number"
        ),
        "71 91"
    );
    assert_eq!(
        db.value("SELECT obj_description('public.plans'::regclass)"),
        "what can be bought"
    );
    assert_eq!(migrations(db), before);
    assert!(Drift::new(site.pool.clone()).check().unwrap().is_healthy());
    let mut conn = site.pool.get(&tenant(&site.pool, "a")).unwrap();
    assert_eq!(
        plans::table.count().get_result::<i64>(&mut conn).unwrap(),
        12
    );
    drop(conn);
    Provisioner::new(site.pool.clone())
        .create(&NewTenant::new("c".parse().unwrap()))
        .unwrap();
    assert!(!site.has("c.plans"));
    assert_eq!(leads_to(db, "c"), "plans true true c what is paid for");
}

/// W11.
#[test]
fn rows_that_differ_under_one_key_are_told_and_nothing_is_changed() {
    let site = Site::new();
    site.to_tenants().unwrap();
    site.db.sql(
        "UPDATE b.plans SET name = 'other ' || id WHERE id IN (2, 5);
         INSERT INTO a.plans (id, name, number) OVERRIDING SYSTEM VALUE VALUES (50, 'FREE', 50);
         INSERT INTO b.plans (id, name, number) OVERRIDING SYSTEM VALUE VALUES (51, 'free', 51)",
    );
    let before = site.state();
    let plan = site.wanted("plans", MoveTo::Shared).plan().unwrap();
    assert!(!plan.is_possible());
    let keys: Vec<_> = plan
        .conflicts
        .iter()
        .map(|one| format!("{} {} {}", one.index, one.key, one.holders.join(",")))
        .collect();
    assert_eq!(
        keys,
        [
            "plans_pkey 2 a,b",
            "plans_pkey 5 a,b",
            "plans_name free a,b"
        ]
    );
    assert_eq!(plan.all_conflicts, 3);
    let error = site.to_shared().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Conflict);
    let text = error.to_string();
    assert!(
        text.contains("3 keys") && text.contains("(id)=(5) of plans_pkey: a, b"),
        "{text}"
    );
    assert_eq!(site.state(), before);
}

#[test]
fn many_conflicts_are_counted_and_some_are_told() {
    let site = Site::bare();
    site.in_fleet("CREATE TABLE marks (id int PRIMARY KEY, body text)");
    site.db.sql(
        "INSERT INTO a.marks SELECT n, 'a' FROM generate_series(1, 500) n;
         INSERT INTO b.marks SELECT n, 'b' FROM generate_series(1, 500) n",
    );
    let plan = site.wanted("marks", MoveTo::Shared).plan().unwrap();
    assert_eq!((plan.conflicts.len(), plan.all_conflicts), (100, 500));
}

#[test]
fn a_table_without_a_key_keeps_what_one_tenant_has_twice() {
    let site = Site::bare();
    site.in_fleet("CREATE TABLE marks (\"boardinghouse source\" text, body json)");
    site.db.sql(
        r#"INSERT INTO a.marks VALUES ('x', '{}'), ('x', '{}'), ('y', NULL);
           INSERT INTO b.marks VALUES ('x', '{}'), ('z', NULL)"#,
    );
    let done = site.wanted("marks", MoveTo::Shared).run().unwrap();
    assert_eq!(done.shared_rows_after, 4);
    assert_eq!(
        site.db
            .value("SELECT string_agg(\"boardinghouse source\", '' ORDER BY \"boardinghouse source\") FROM marks"),
        "xxyz"
    );
}

#[test]
fn a_shared_table_with_rows_is_not_moved_unless_they_are_copied() {
    let site = Site::new();
    let wanted = site.wanted("plans", MoveTo::Tenants);
    site.refuses(
        &wanted,
        ErrorKind::InvalidInput,
        &["has 10 rows", "--copy-to-each"],
    );
    site.db.sql(
        "UPDATE a.notes SET plan = NULL; UPDATE b.notes SET plan = NULL; DELETE FROM public.plans",
    );
    wanted.run().unwrap();
    assert_eq!(site.count("a.plans"), "0");
    // No number is given twice.
    assert_eq!(
        value_of_statement(
            &site.db,
            "INSERT INTO a.plans (name) VALUES ('x') RETURNING id::text"
        ),
        "11"
    );
}

#[test]
fn what_would_be_lost_or_shadowed_is_refused_with_a_list() {
    let site = Site::new();
    let db = &site.db;
    let to_tenants = site.wanted("plans", MoveTo::Tenants).copy_to_each(true);
    let kind = ErrorKind::InvalidInput;
    // The bait: there is one of that name on the other side.
    site.refuses(
        &site.wanted("notes", MoveTo::Shared),
        kind,
        &["schema public has something called notes already"],
    );
    site.refuses(
        &site.wanted("notes", MoveTo::Tenants).copy_to_each(true),
        kind,
        &[
            "schema __template__ has",
            "schema a has",
            "schema b has something called notes",
        ],
    );
    site.refuses(
        &site.wanted("none", MoveTo::Tenants),
        kind,
        &["schema public has no table none"],
    );
    db.sql(
        "CREATE VIEW public.seen AS SELECT id FROM public.plans;
         CREATE TABLE public.orders (plan int REFERENCES public.plans);
         CREATE SCHEMA other; CREATE TABLE other.t (plan int REFERENCES public.plans);
         CREATE TABLE a.typed (it public.plans);
         CREATE INDEX plans_pkey ON b.notes (body);
         CREATE PUBLICATION all_of_it FOR TABLE public.plans",
    );
    site.refuses(
        &to_tenants,
        kind,
        &[
            "rule _RETURN on view public.seen",
            "foreign key orders_plan_fkey of table orders in schema public: a shared table",
            "foreign key t_plan_fkey of table t in schema other: the schema is no tenant's",
            "column it of table a.typed",
            "schema b has something called plans_pkey already",
            "publication of table public.plans in publication all_of_it",
        ],
    );
    db.sql(
        "DROP VIEW public.seen; DROP TABLE public.orders, other.t, a.typed; DROP INDEX b.plans_pkey;
         DROP PUBLICATION all_of_it; ALTER TABLE a.notes DISABLE TRIGGER ALL",
    );
    site.refuses(&to_tenants, kind, &["its triggers are disabled"]);
    db.sql("ALTER TABLE a.notes ENABLE TRIGGER ALL; CREATE TABLE public.child () INHERITS (public.plans)");
    site.refuses(
        &to_tenants,
        kind,
        &["a child of another table, or has some"],
    );
    db.sql("DROP TABLE public.child; CREATE TABLE public.parted (id int) PARTITION BY LIST (id)");
    site.refuses(
        &site.wanted("parted", MoveTo::Tenants),
        kind,
        &["no table of the plain kind"],
    );
    if is_since(db, 14) {
        db.sql(
            "CREATE TABLE public.counted (id int);
             CREATE FUNCTION public.counts() RETURNS bigint LANGUAGE sql
                 BEGIN ATOMIC SELECT count(*) FROM public.counted; END",
        );
        let counted = site.wanted("counted", MoveTo::Tenants);
        site.refuses(&counted, kind, &["function public.counts() uses counted"]);
    }
    if is_since(db, 15) {
        db.sql("CREATE PUBLICATION of_all FOR TABLES IN SCHEMA public");
        let reason = "publication of_all of all tables in schema public";
        site.refuses(&to_tenants, kind, &[reason]);
        db.sql("DROP PUBLICATION of_all");
    }
    site.to_tenants().unwrap();
}

/// J03.
#[test]
fn what_refers_to_a_tenants_objects_does_not_become_shared() {
    let site = Site::bare();
    site.in_fleet(
        "CREATE TYPE size AS ENUM ('s'); CREATE FUNCTION f() RETURNS int LANGUAGE sql AS 'SELECT 1';
         CREATE TABLE marks (id int PRIMARY KEY DEFAULT f(), note int REFERENCES notes, size size)",
    );
    let kind = ErrorKind::InvalidInput;
    site.refuses(
        &site.wanted("marks", MoveTo::Shared),
        kind,
        &[
            "uses table __template__.notes",
            "uses type __template__.size",
            "uses function __template__.f()",
        ],
    );
    site.in_fleet(
        "ALTER TABLE marks DROP COLUMN note, DROP COLUMN size, ALTER COLUMN id DROP DEFAULT",
    );
    site.db
        .sql("CREATE TABLE b.odd (mark int REFERENCES a.marks)");
    site.refuses(
        &site.wanted("marks", MoveTo::Shared),
        kind,
        &["odd_mark_fkey of table odd in schema b"],
    );
}

#[test]
fn a_table_that_not_all_tenants_have_alike_is_refused_by_name() {
    let site = Site::bare();
    let wanted = site.wanted("marks", MoveTo::Shared);
    let kind = ErrorKind::InvalidInput;
    site.in_schema("__template__", "CREATE TABLE marks (id int, body text)");
    site.in_schema("a", "CREATE TABLE marks (id int, body text)");
    site.refuses(&wanted, kind, &["schema b has no table marks"]);
    site.in_schema("b", "CREATE TABLE marks (id int, body text NOT NULL)");
    site.refuses(
        &wanted,
        kind,
        &["marks of b is not like the template's", "NOT NULL"],
    );
    // Drift elsewhere is no reason.
    site.db
        .sql("ALTER TABLE b.marks ALTER COLUMN body DROP NOT NULL; CREATE TABLE b.more ()");
    wanted.run().unwrap();
    assert!(site.has("public.marks") && site.has("b.more"));
}

#[test]
fn a_dry_run_changes_nothing_and_says_what_would_be_done() {
    let site = Site::new();
    let before = site.state();
    let plan = site
        .wanted("plans", MoveTo::Tenants)
        .copy_to_each(true)
        .plan()
        .unwrap();
    assert_eq!(site.state(), before);
    assert_eq!(plan.schemas.len(), 3);
    let keys: Vec<_> = plan
        .foreign_keys
        .iter()
        .map(|key| format!("{} {}", key.schema, key.leads_to.as_ref().unwrap()))
        .collect();
    assert_eq!(keys, ["__template__ __template__", "a a", "b b"]);
    let done = site.to_tenants().unwrap();
    assert_eq!(done.migrations, plan.migrations);
    let before = site.state();
    let plan = site.wanted("plans", MoveTo::Shared).plan().unwrap();
    assert_eq!(site.state(), before);
    let done = site.to_shared().unwrap();
    assert_eq!(
        (done.migrations, done.schemas),
        (plan.migrations, plan.schemas)
    );
}

/// What is printed makes a new database alike.
#[test]
fn the_migrations_that_are_printed_do_what_was_done() {
    let (moved, other) = (Site::new(), Site::new());
    let done = moved.to_tenants().unwrap();
    for schema in ["__template__", "a", "b"] {
        let tenant = &done.migrations[1];
        assert_eq!(tenant.set, "tenant");
        other.db.sql(&format!("DELETE FROM {schema}.notes"));
        other
            .db
            .sql(&format!("SET search_path TO {schema}; {}", tenant.up));
    }
    assert_eq!(done.migrations[0].set, "shared");
    // Where the table was not moved, its rows are still there.
    let run = other.db.connect().batch_execute(&done.migrations[0].up);
    let error = run.unwrap_err().to_string();
    assert!(
        error.contains("table plans has rows") && error.contains("table move plans --to tenants"),
        "{error}"
    );
    other.db.sql("DELETE FROM public.plans");
    other.db.sql(&done.migrations[0].up);
    let shape = |site: &Site| {
        let template = SchemaName::existing("__template__").unwrap();
        let plan = boardinghouse_core::Template::new(template)
            .without_data()
            .compile(&mut site.db.connect())
            .unwrap();
        let mut steps: Vec<_> = plan
            .steps()
            .iter()
            .map(|step| plan.statement(step, plan.source()))
            .filter(|sql| !sql.contains("setval") && !sql.contains("__diesel_schema_migrations"))
            .collect();
        steps.sort();
        steps
    };
    assert_eq!(shape(&moved), shape(&other));

    let done = moved.to_shared().unwrap();
    other.db.sql(&done.migrations[0].up);
    other.in_schema("a", "INSERT INTO a.plans (name) VALUES ('kept')");
    let up = format!("SET search_path TO a; {}", done.migrations[1].up);
    let error = other
        .db
        .connect()
        .batch_execute(&up)
        .unwrap_err()
        .to_string();
    assert!(error.contains("table plans has rows"), "{error}");
    other.db.sql("DELETE FROM a.plans");
    for schema in ["__template__", "a", "b"] {
        other.db.sql(&format!(
            "SET search_path TO {schema}; {}",
            done.migrations[1].up
        ));
    }
    assert_eq!(shape(&moved), shape(&other));
}

#[test]
fn a_step_that_fails_leaves_everything_as_it_was() {
    let site = Site::new();
    // Found by nobody but the server, when two of three have their table.
    site.db.sql("CREATE TYPE b.plans AS ENUM ()");
    let before = site.state();
    let error = site.to_tenants().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Database, "{}", error.chain());
    assert!(error.chain().contains("schema b"), "{}", error.chain());
    assert_eq!(site.state(), before);
    site.db.sql("DROP TYPE b.plans");
    site.to_tenants().unwrap();
    // Nobody but the server knows of it: a key that is no index of ours.
    site.db.sql("CREATE TYPE public.plans AS ENUM ()");
    let before = site.state();
    site.to_shared().unwrap_err();
    assert_eq!(site.state(), before);
}

#[test]
fn names_that_are_no_table_of_an_application_are_refused_before_anything_is_sent() {
    let db = TestDb::new();
    let pool = db.pool(1);
    db.refuse_connections();
    let kind = |name: &str| {
        let wanted = TableMove::new(pool.clone(), name, MoveTo::Shared);
        wanted.unwrap_err().kind()
    };
    assert_eq!(kind(""), ErrorKind::InvalidName);
    assert_eq!(kind("a\0b"), ErrorKind::InvalidName);
    assert_eq!(kind(&"x".repeat(64)), ErrorKind::InvalidName);
    assert_eq!(kind("__diesel_schema_migrations"), ErrorKind::ReservedName);
    let wanted = TableMove::new(pool, "plans", MoveTo::Shared).unwrap();
    let error = wanted.copy_to_each(true).run().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
}

#[test]
fn any_name_that_postgresql_allows_is_moved() {
    let site = Site::bare();
    let name = r#"We "ird; DROP--'\ "#;
    let quoted = format!("\"{}\"", name.replace('"', "\"\""));
    site.db.sql(&format!(
        "CREATE TABLE public.{quoted} ({quoted} serial PRIMARY KEY); INSERT INTO public.{quoted} DEFAULT VALUES"
    ));
    site.in_fleet(&format!(
        "CREATE TABLE uses ({quoted} int REFERENCES public.{quoted})"
    ));
    let to = |to| {
        site.wanted(name, to)
            .copy_to_each(to == MoveTo::Tenants)
            .run()
    };
    to(MoveTo::Tenants).unwrap();
    assert_eq!(site.count(&format!("a.{quoted}")), "1");
    to(MoveTo::Shared).unwrap();
    assert_eq!(site.count(&format!("public.{quoted}")), "1");
}

/// E12.
#[test]
fn schemas_that_wait_for_a_tenant_are_not_handed_out_any_more() {
    let site = Site::new();
    let provisioner = Provisioner::new(site.pool.clone());
    provisioner.keep_ready(2).unwrap();
    let done = site.to_tenants().unwrap();
    let ends = done
        .foreign_keys
        .iter()
        .filter(|key| key.leads_to.is_none());
    assert_eq!(ends.count(), 2);
    let ready = provisioner.ready_schemas().unwrap();
    assert_eq!((ready.ready.len(), ready.stale.len()), (0, 2));
    provisioner
        .create(&NewTenant::new("c".parse().unwrap()))
        .unwrap();
    assert!(site.has("c.plans"));
    assert_eq!(provisioner.keep_ready(2).unwrap().dropped.len(), 2);
    site.to_shared().unwrap();
    let ready = provisioner.ready_schemas().unwrap();
    assert_eq!((ready.ready.len(), ready.stale.len()), (0, 2));
    provisioner
        .create(&NewTenant::new("d".parse().unwrap()))
        .unwrap();
    assert!(!site.has("d.plans"));
}

#[test]
fn templates_of_kinds_and_named_ones_take_part() {
    let site = Site::new();
    let db = &site.db;
    for schema in ["__template_shop", "demo"] {
        boardinghouse_core::Template::new(SchemaName::existing("__template__").unwrap())
            .clone_to(&mut db.connect(), &SchemaName::existing(schema).unwrap())
            .unwrap();
    }
    db.sql("INSERT INTO demo.notes (body, plan) VALUES ('demo', 5)");
    let registry = PgRegistry::new(site.pool.clone());
    registry
        .add_named_template(&SchemaName::parse("demo").unwrap())
        .unwrap();
    let done = site.to_tenants().unwrap();
    let rows: Vec<_> = done
        .schemas
        .iter()
        .map(|one| format!("{} {}", one.schema, one.rows_after))
        .collect();
    assert_eq!(
        rows,
        [
            "__template__ 0",
            "__template_shop 0",
            "demo 10",
            "a 10",
            "b 10"
        ]
    );
    assert_eq!(site.count("__template_shop.plans"), "0");
    assert_eq!(
        leads_to(db, "demo"),
        "demo.plans true true c what is paid for"
    );
    // A foreign key that tables of the kind alone have is in what is printed.
    site.in_schema(
        "__template_shop",
        "CREATE TABLE carts (plan int REFERENCES plans)",
    );
    let moved = site.to_shared().unwrap();
    let up = &moved.migrations[1].up;
    for part in [
        "ALTER TABLE IF EXISTS carts DROP CONSTRAINT carts_plan_fkey;",
        "ALTER TABLE IF EXISTS carts ADD CONSTRAINT carts_plan_fkey FOREIGN KEY (plan) REFERENCES public.plans",
    ] {
        assert!(up.contains(part), "{part} in {up}");
    }
    assert_eq!(up.matches("notes_plan").count(), 3, "{up}");
    assert!(!site.has("__template_shop.plans") && !site.has("demo.plans"));
    assert_eq!(leads_to(db, "demo"), "plans true true c what is paid for");
    db.sql(
        "COMMENT ON SCHEMA __template_shop IS 'boardinghouse: not finished, and not cloned yet'",
    );
    site.refuses(
        &site.wanted("plans", MoveTo::Tenants).copy_to_each(true),
        ErrorKind::InvalidInput,
        &["template __template_shop of a kind"],
    );
}

#[test]
fn whoever_writes_is_waited_for_and_then_nothing_is_changed() {
    let site = Site::new();
    let before = site.state();
    let quick = || {
        let wanted = site.wanted("plans", MoveTo::Tenants).copy_to_each(true);
        wanted
            .lock_timeout(Duration::from_millis(50))
            .run()
            .unwrap_err()
    };
    for held in [
        "SELECT pg_advisory_lock(x'62680001'::int, hashtext('b'))",
        "SELECT pg_advisory_lock(x'62680001'::int, hashtext('__template__'))",
        "SELECT pg_advisory_lock(x'62680001'::int, hashtext('public'))",
        "SELECT pg_advisory_lock(x'62680002'::int, 0)",
        "BEGIN; SELECT * FROM a.notes",
        "BEGIN; SELECT * FROM public.plans",
        "BEGIN; UPDATE boardinghouse.tenants SET display_name = 'x'",
    ] {
        let mut other = site.db.connect();
        other.batch_execute(held).unwrap();
        let error = quick();
        assert_eq!(error.kind(), ErrorKind::Locked, "{held}: {}", error.chain());
        drop(other);
        assert_eq!(site.state(), before, "{held}");
    }
    site.to_tenants().unwrap();
}

#[test]
fn while_a_table_is_moved_nobody_is_created_and_nothing_migrated() {
    let site = Site::new();
    // A request keeps the move waiting, with its locks.
    let mut request = site.db.connect();
    request
        .batch_execute("BEGIN; SELECT * FROM b.notes")
        .unwrap();
    let (done, moved) = mpsc::channel();
    let wanted = site
        .wanted("plans", MoveTo::Tenants)
        .copy_to_each(true)
        .lock_timeout(Duration::from_secs(60));
    let thread = thread::spawn(move || done.send(wanted.run()).unwrap());
    let waits =
        "SELECT count(*) FROM pg_locks WHERE relation = 'b.notes'::regclass AND NOT granted";
    boardinghouse_tests::until(|| site.db.value(waits) == "1");

    let provisioner = Provisioner::new(site.pool.clone()).lock_wait(Duration::from_millis(50));
    provisioner
        .create(&NewTenant::new("c".parse().unwrap()))
        .unwrap_err();
    let migrator = Migrator::new(site.pool.clone())
        .shared(SHARED)
        .tenants(TENANT)
        .lock_wait(Duration::from_millis(50));
    assert_eq!(migrator.run().unwrap_err().kind(), ErrorKind::Locked);
    assert!(moved.try_recv().is_err());
    request.batch_execute("COMMIT").unwrap();
    moved.recv().unwrap().unwrap();
    thread.join().unwrap();
    provisioner
        .create(&NewTenant::new("c".parse().unwrap()))
        .unwrap();
    assert!(site.has("c.plans"));
    assert!(migrator.run().unwrap().is_success());
}

#[test]
fn a_move_that_needs_too_many_locks_is_refused_with_the_setting() {
    let server = Server::builder()
        .setting("max_locks_per_transaction", "64")
        .setting("max_connections", "20")
        .start()
        .unwrap();
    let pool = TenantPool::builder()
        .max_size(2)
        .build(server.url())
        .unwrap();
    let migrator = Migrator::new(pool.clone()).shared(SHARED).tenants(TENANT);
    migrator.run().unwrap().into_result().unwrap();
    let mut conn = PgConnection::establish(server.url()).unwrap();
    conn.batch_execute(
        "CREATE TABLE public.plans (id int);
         SELECT count(pg_advisory_lock(n)) FROM generate_series(1, 1250) AS n",
    )
    .unwrap();
    let wanted = TableMove::new(pool, "plans", MoveTo::Tenants).unwrap();
    let error = wanted.run().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
    assert!(
        error
            .to_string()
            .contains("set max_locks_per_transaction to"),
        "{error}"
    );
    conn.batch_execute("SELECT pg_advisory_unlock_all()")
        .unwrap();
    wanted.run().unwrap();
}

/// What is foretold holds for any number of tenants.
#[test]
fn locks_are_foretold_for_many_tenants() {
    let site = Site::new();
    let provisioner = Provisioner::new(site.pool.clone());
    for number in 0..15 {
        let new = NewTenant::new(format!("t{number}").parse().unwrap());
        provisioner.create(&new).unwrap();
    }
    for done in [site.to_tenants().unwrap(), site.to_shared().unwrap()] {
        let locks = done.locks;
        assert!(locks.held <= locks.predicted, "{locks:?}");
        assert!(locks.predicted <= 2 * locks.held, "{locks:?}");
    }
}

/// Rows that nobody sees would be lost without a word.
#[test]
fn rows_that_a_policy_hides_are_not_lost() {
    let server = Server::builder().start().unwrap();
    let mut conn = PgConnection::establish(server.url()).unwrap();
    conn.batch_execute("CREATE ROLE owner LOGIN").unwrap();
    conn.batch_execute("CREATE DATABASE owned OWNER owner")
        .unwrap();
    let (begin, end) = server.url().split_once('@').unwrap();
    let scheme = begin.split_once("://").unwrap().0;
    let address = end.rsplit_once('/').unwrap().0;
    let url = format!("{scheme}://owner@{address}/owned");
    let pool = TenantPool::builder().max_size(2).build(&url).unwrap();
    let migrator = Migrator::new(pool.clone()).shared(SHARED).tenants(TENANT);
    migrator.run().unwrap().into_result().unwrap();
    Provisioner::new(pool.clone())
        .create(&NewTenant::new("a".parse().unwrap()))
        .unwrap();
    let mut conn = PgConnection::establish(&url).unwrap();
    let hide = |schema: &str| {
        format!(
            "CREATE TABLE {schema}.plans (id int PRIMARY KEY); INSERT INTO {schema}.plans VALUES (1), (2);
             ALTER TABLE {schema}.plans ENABLE ROW LEVEL SECURITY;
             ALTER TABLE {schema}.plans FORCE ROW LEVEL SECURITY;
             CREATE POLICY seen ON {schema}.plans USING (id = 1);"
        )
    };
    let unhide = |schema: &str| {
        format!(
            "DROP POLICY seen ON {schema}.plans; ALTER TABLE {schema}.plans NO FORCE ROW LEVEL SECURITY;
             ALTER TABLE {schema}.plans DISABLE ROW LEVEL SECURITY;"
        )
    };
    conn.batch_execute(&hide("public")).unwrap();
    let to = |to| {
        TableMove::new(pool.clone(), "plans", to)
            .unwrap()
            .copy_to_each(to == MoveTo::Tenants)
    };
    let error = to(MoveTo::Tenants).run().unwrap_err();
    assert!(
        error.chain().contains("row-level security"),
        "{}",
        error.chain()
    );
    conn.batch_execute(&unhide("public")).unwrap();
    // A role that is nobody's superuser can do it.
    to(MoveTo::Tenants).run().unwrap();
    assert_eq!(value(&mut conn, "SELECT count(*) FROM a.plans"), "2");
    conn.batch_execute(
        "ALTER TABLE a.plans ENABLE ROW LEVEL SECURITY; ALTER TABLE a.plans FORCE ROW LEVEL SECURITY",
    )
    .unwrap();
    to(MoveTo::Shared).run().unwrap_err();
    assert_eq!(
        value(&mut conn, "SELECT to_regclass('public.plans')"),
        "NULL"
    );
    conn.batch_execute(
        "ALTER TABLE a.plans NO FORCE ROW LEVEL SECURITY; ALTER TABLE a.plans DISABLE ROW LEVEL SECURITY",
    )
    .unwrap();
    to(MoveTo::Shared).run().unwrap();
    assert_eq!(value(&mut conn, "SELECT count(*) FROM public.plans"), "2");
}

#[test]
fn keys_that_are_null_are_no_conflict_unless_the_index_says_so() {
    let site = Site::bare();
    site.in_fleet("CREATE TABLE marks (id serial, code text, UNIQUE (code))");
    site.db.sql(
        "INSERT INTO a.marks (id, code) VALUES (1, NULL), (3, 'x');
         INSERT INTO b.marks (id, code) VALUES (2, NULL), (3, 'x')",
    );
    let wanted = site.wanted("marks", MoveTo::Shared);
    let plan = wanted.plan().unwrap();
    assert_eq!((plan.all_conflicts, plan.shared_rows_after), (0, 3));
    if is_since(&site.db, 15) {
        site.in_fleet("CREATE UNIQUE INDEX apart ON marks (code) NULLS NOT DISTINCT");
        let plan = wanted.plan().unwrap();
        assert_eq!(plan.conflicts.len(), 1, "{:?}", plan.conflicts);
        assert_eq!(plan.conflicts[0].key, "NULL");
        site.in_fleet("DROP INDEX apart");
    }
    wanted.run().unwrap();
    assert_eq!(site.count("public.marks"), "3");
}

#[test]
fn sequences_that_count_down_go_on_downwards() {
    let site = Site::bare();
    site.in_fleet(
        "CREATE TABLE marks (id int GENERATED ALWAYS AS IDENTITY (INCREMENT -2 START -1 MAXVALUE -1), body text)",
    );
    site.db.sql(
        "INSERT INTO a.marks (body) VALUES ('a'), ('b'), ('c');
         INSERT INTO b.marks (body) VALUES ('a')",
    );
    site.wanted("marks", MoveTo::Shared).run().unwrap();
    assert_eq!(
        value_of_statement(
            &site.db,
            "INSERT INTO public.marks (body) VALUES ('x') RETURNING id::text"
        ),
        "-7"
    );
}

#[test]
fn a_schema_that_would_become_unlike_its_template_keeps_the_table_where_it_is() {
    let site = Site::new();
    // Meddles with the table of one tenant.
    site.db.sql(
        "CREATE FUNCTION public.meddle() RETURNS event_trigger LANGUAGE plpgsql AS $$ BEGIN
             IF pg_catalog.current_schema() = 'b' THEN ALTER TABLE b.plans SET (fillfactor = 50); END IF;
         END $$;
         CREATE EVENT TRIGGER meddle ON ddl_command_end WHEN TAG IN ('CREATE TABLE')
             EXECUTE FUNCTION public.meddle()",
    );
    let before = site.state();
    let error = site.to_tenants().unwrap_err();
    assert!(
        error.to_string().contains("schema b would not be like"),
        "{}",
        error.chain()
    );
    assert_eq!(site.state(), before);
}

#[test]
fn rows_of_the_template_that_refer_to_the_table_keep_it_where_it_is() {
    let site = Site::new();
    site.db
        .sql("INSERT INTO __template__.notes (body, plan) VALUES ('seed', 3)");
    let before = site.state();
    let error = site.to_tenants().unwrap_err();
    assert!(
        error.chain().contains("templates get no rows"),
        "{}",
        error.chain()
    );
    assert_eq!(site.state(), before);
}

/// Whoever got nothing before must not get the rows of all by the way.
#[test]
fn privileges_that_new_tables_get_by_themselves_keep_the_table_where_it_is() {
    let site = Site::new();
    site.db
        .sql("ALTER DEFAULT PRIVILEGES IN SCHEMA a GRANT SELECT ON TABLES TO pg_monitor");
    let wanted = site.wanted("plans", MoveTo::Tenants).copy_to_each(true);
    let reason = "schema a gives privileges on new tables by itself";
    site.refuses(&wanted, ErrorKind::InvalidInput, &[reason]);
    site.db
        .sql("ALTER DEFAULT PRIVILEGES IN SCHEMA a REVOKE SELECT ON TABLES FROM pg_monitor");
    site.to_tenants().unwrap();
    site.db
        .sql("ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT USAGE ON SEQUENCES TO pg_monitor");
    let wanted = site.wanted("plans", MoveTo::Shared);
    let reason = "schema public gives privileges";
    site.refuses(&wanted, ErrorKind::InvalidInput, &[reason]);
}

/// What was handed out is not handed out again.
#[test]
fn whoever_takes_a_number_is_waited_for() {
    let site = Site::new();
    let mut other = site.db.connect();
    let next = "SELECT nextval('plans_id_seq')";
    for (schema, to) in [("public", MoveTo::Tenants), ("b", MoveTo::Shared)] {
        let wanted = site.wanted("plans", to).copy_to_each(to == MoveTo::Tenants);
        let hasty = wanted.clone().lock_timeout(Duration::from_millis(50));
        other
            .batch_execute(&format!("BEGIN; SET LOCAL search_path TO {schema}; {next}"))
            .unwrap();
        let last = site
            .db
            .value(&format!("SELECT last_value FROM {schema}.plans_id_seq"));
        let error = hasty.run().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Locked, "{}", error.chain());
        let waits = thread::spawn(move || wanted.lock_wait(Duration::from_secs(60)).run());
        boardinghouse_tests::until(|| {
            site.db
                .value("SELECT count(*) FROM pg_locks WHERE NOT granted")
                != "0"
        });
        other.batch_execute("COMMIT").unwrap();
        waits.join().unwrap().unwrap();
        let schemas = if to == MoveTo::Shared {
            &["public"][..]
        } else {
            &["a", "b"]
        };
        for schema in schemas {
            let now = site
                .db
                .value(&format!("SELECT last_value FROM {schema}.plans_id_seq"));
            assert_eq!(now, last, "{schema}");
        }
    }
}

#[test]
fn missing_rights_are_told_at_once_and_are_no_lock() {
    let site = Site::new();
    site.db.sql(
        "CREATE ROLE move_reader; GRANT USAGE ON SCHEMA boardinghouse TO move_reader;
         GRANT SELECT ON ALL TABLES IN SCHEMA boardinghouse TO move_reader;
         ALTER TABLE public.plans OWNER TO move_reader; GRANT ALL ON SCHEMA public, a, b, __template__ TO move_reader",
    );
    let gap = if site.db.url().contains('?') {
        '&'
    } else {
        '?'
    };
    let url = format!("{}{gap}options=-crole%3Dmove_reader", site.db.url());
    let pool = TenantPool::builder().max_size(1).build(&url).unwrap();
    let wanted = TableMove::new(pool, "plans", MoveTo::Tenants).unwrap();
    let error = wanted.copy_to_each(true).run().unwrap_err();
    assert_ne!(error.kind(), ErrorKind::Locked, "{}", error.chain());
    site.db.sql("ALTER TABLE public.plans OWNER TO CURRENT_USER; DROP OWNED BY move_reader; DROP ROLE move_reader");
}

/// A unique index decides by its own words: also over a constant, and by its own collation.
#[test]
fn keys_are_compared_as_their_index_does() {
    let site = Site::bare();
    site.in_fleet(
        "CREATE TABLE settings (colour text); CREATE UNIQUE INDEX one ON settings ((true))",
    );
    site.db.sql("INSERT INTO a.settings VALUES ('red')");
    site.wanted("settings", MoveTo::Shared).run().unwrap();
    assert_eq!(site.count("public.settings"), "1");

    site.db.sql("CREATE COLLATION public.ci (provider = icu, locale = 'und-u-ks-level2', deterministic = false)");
    site.in_fleet("CREATE TABLE words (word text); CREATE UNIQUE INDEX word ON words (word COLLATE public.ci)");
    site.db.sql(
        "INSERT INTO a.words VALUES ('Foo'), ('bar'); INSERT INTO b.words VALUES ('foo'), ('bar')",
    );
    let plan = site.wanted("words", MoveTo::Shared).plan().unwrap();
    assert_eq!(plan.all_conflicts, 1, "{plan:?}");
    assert_eq!(plan.conflicts[0].holders, ["a", "b"]);
    let error = site.wanted("words", MoveTo::Shared).run().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Conflict);
}
