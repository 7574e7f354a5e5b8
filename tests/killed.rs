//! A server process that dies at any step: nothing half-made is ever served, and what is run again finishes.

use boardinghouse_core::{
    NewTenant, PgRegistry, Provisioner, SchemaName, TenantPool, TenantStatus,
};
use boardinghouse_tests::{BAIT, TestDb, bodies, tenant};
use diesel::{Connection, PgConnection, connection::SimpleConnection};

/// Ends the server process at the n-th command that defines something, counted in each process.
const REAPER: &str = "
    CREATE TABLE public.reaper (at integer);
    INSERT INTO public.reaper VALUES (0);
    GRANT SELECT ON public.reaper TO PUBLIC;
    CREATE FUNCTION public.reap() RETURNS event_trigger LANGUAGE plpgsql AS $$
    DECLARE
        seen integer := 1 + coalesce(nullif(current_setting('reaper.seen', true), ''), '0')::integer;
    BEGIN
        PERFORM set_config('reaper.seen', seen::text, false);
        IF seen = (SELECT at FROM public.reaper) THEN
            PERFORM pg_terminate_backend(pg_backend_pid());
        END IF;
    END $$;
    CREATE EVENT TRIGGER reap ON ddl_command_end EXECUTE FUNCTION public.reap()";

/// Runs `work` again and again, each time killed one step later, until it is through. `whole` is asked after
/// each time, by a connection that is not killed.
fn at_every_step(
    db: &TestDb,
    work: impl Fn(&TenantPool) -> boardinghouse_core::Result<()>,
    whole: impl Fn(&TenantPool, bool),
) -> i32 {
    db.sql(REAPER);
    let mut conn = PgConnection::establish(db.url()).unwrap();
    for at in 1.. {
        conn.batch_execute(&format!(
            "SET session_replication_role TO replica; UPDATE public.reaper SET at = {at}"
        ))
        .unwrap();
        // The session counts from its start.
        let pool = db.pool(1);
        let done = work(&pool).is_ok();
        conn.batch_execute("UPDATE public.reaper SET at = 0")
            .unwrap();
        whole(&db.pool(1), done);
        if done {
            return at;
        }
    }
    0
}

fn new(id: &str) -> NewTenant {
    NewTenant::new(id.parse().unwrap())
}

/// A tenant either is not there at all, or is there with its tables and serves.
fn is_whole_or_nothing(db: &TestDb, pool: &TenantPool, id: &str, is_there: bool) {
    let found = PgRegistry::new(pool.clone())
        .find(&id.parse().unwrap())
        .unwrap();
    assert_eq!(found.is_some(), is_there);
    let schema = format!("SELECT count(*) FROM pg_namespace WHERE nspname = '{id}'");
    assert_eq!(db.value(&schema), if is_there { "1" } else { "0" });
    if is_there {
        assert_eq!(db.tables(id), db.tables("__template__"));
        let mut conn = pool.get(&tenant(pool, id)).unwrap();
        assert!(!bodies(&mut conn).unwrap().contains(&BAIT.to_owned()));
    }
}

#[test]
fn create_is_all_or_nothing_wherever_it_dies() {
    let db = TestDb::new();
    db.sql(
        "CREATE TABLE __template__.more (id serial PRIMARY KEY, note integer REFERENCES __template__.notes);
         CREATE INDEX ON __template__.more (note); CREATE VIEW __template__.all_of AS SELECT id FROM __template__.more;
         COMMENT ON TABLE __template__.more IS 'more'",
    );
    let steps = at_every_step(
        &db,
        |pool| {
            Provisioner::new(pool.clone())
                .create(&new("acme"))
                .map(drop)
        },
        |pool, done| is_whole_or_nothing(&db, pool, "acme", done),
    );
    assert!(steps > 6, "{steps}");
}

#[test]
fn a_copy_with_rows_is_all_or_nothing_wherever_it_dies() {
    let db = TestDb::new();
    db.sql("INSERT INTO a.notes (body) SELECT 'mine' FROM generate_series(1, 500)");
    let steps = at_every_step(
        &db,
        |pool| {
            let source = SchemaName::parse("a").unwrap();
            Provisioner::new(pool.clone())
                .create(&new("acme").copy_of(source))
                .map(drop)
        },
        |pool, done| {
            is_whole_or_nothing(&db, pool, "acme", done);
            assert_eq!(
                db.value("SELECT count(*) FROM a.notes WHERE body = 'mine'"),
                "500"
            );
        },
    );
    assert!(steps > 3, "{steps}");
    assert_eq!(
        db.value("SELECT count(*) FROM acme.notes WHERE body = 'mine'"),
        "500"
    );
}

#[test]
fn a_claim_is_all_or_nothing_wherever_it_dies() {
    let db = TestDb::new();
    Provisioner::new(db.pool(1)).keep_ready(1).unwrap();
    at_every_step(
        &db,
        |pool| {
            Provisioner::new(pool.clone())
                .create(&new("acme"))
                .map(drop)
        },
        |pool, done| {
            is_whole_or_nothing(&db, pool, "acme", done);
            let waiting = Provisioner::new(pool.clone())
                .ready_schemas()
                .unwrap()
                .ready;
            assert_eq!(waiting.len(), usize::from(!done));
        },
    );
}

#[test]
fn provisioning_is_all_or_nothing_wherever_it_dies() {
    let db = TestDb::new();
    let pool = db.pool(1);
    let provisioner = Provisioner::new(pool.clone());
    provisioner.create(&new("acme").deferred()).unwrap();
    drop((provisioner, pool));
    let steps = at_every_step(
        &db,
        |pool| {
            let report = Provisioner::new(pool.clone()).provision_pending()?;
            report.into_results().map(drop)
        },
        |pool, done| {
            let expected = match done {
                true => TenantStatus::Ready,
                false => TenantStatus::Pending,
            };
            assert_eq!(tenant(pool, "acme").status(), expected);
            assert_eq!(done, db.tables("acme") == db.tables("__template__"));
            assert_eq!(done, !db.tables("acme").is_empty());
        },
    );
    assert!(steps > 3, "{steps}");
}

#[test]
fn a_renaming_is_all_or_nothing_wherever_it_dies() {
    let db = TestDb::new();
    at_every_step(
        &db,
        |pool| {
            let (old, new) = ("a".parse().unwrap(), "z".parse().unwrap());
            Provisioner::new(pool.clone()).rename(&old, &new).map(drop)
        },
        |pool, done| {
            is_whole_or_nothing(&db, pool, "a", !done);
            is_whole_or_nothing(&db, pool, "z", done);
        },
    );
}

#[test]
fn a_deletion_is_all_or_nothing_wherever_it_dies() {
    let db = TestDb::new();
    at_every_step(
        &db,
        |pool| {
            Provisioner::new(pool.clone())
                .delete(&"a".parse().unwrap())
                .map(drop)
        },
        |pool, done| {
            is_whole_or_nothing(&db, pool, "a", !done);
            is_whole_or_nothing(&db, pool, "b", true);
        },
    );
}
