//! Transactions, migrations and notifications on a checkout, and several checkouts at once.

use boardinghouse_core::{SharedConnection, TenantConnection};
use boardinghouse_tests::{BAIT, TestDb, add_note, bodies, tenant, value};
use diesel::{
    connection::{LoadConnection, SimpleConnection},
    pg::{Pg, TransactionBuilder},
    prelude::*,
    result::Error as DieselError,
};
use diesel_migrations::{FileBasedMigrations, MigrationHarness};

use crate::surface::in_turn;

type Begun<'a> = TransactionBuilder<'a, TenantConnection>;
type Kind = (fn(Begun<'_>) -> Begun<'_>, &'static str);

#[test]
fn transactions_have_the_level_and_the_access_mode_that_were_asked_for() {
    let kinds: [Kind; 7] = [
        (|begun| begun, "read committed off off"),
        (|begun| begun.read_committed(), "read committed off off"),
        (|begun| begun.repeatable_read(), "repeatable read off off"),
        (|begun| begun.serializable(), "serializable off off"),
        (
            |begun| begun.repeatable_read().read_only(),
            "repeatable read on off",
        ),
        (
            |begun| begun.serializable().read_only().deferrable(),
            "serializable on on",
        ),
        (
            |begun| begun.serializable().read_write().not_deferrable(),
            "serializable off off",
        ),
    ];
    let now = "SELECT concat_ws(' ', current_setting('transaction_isolation'), \
               current_setting('transaction_read_only'), current_setting('transaction_deferrable'))";
    let db = TestDb::new();
    in_turn(&db, |id, conn| {
        for (begin, expected) in &kinds {
            let seen = begin(conn.build_transaction()).run(|conn| {
                assert_eq!(bodies(conn)?[0], format!("from-{id}"));
                let written = conn.transaction(|conn| add_note(conn, "more"));
                assert_eq!(written.is_ok(), expected.contains(" off "), "{expected}");
                QueryResult::Ok(value(conn, now))
            });
            assert_eq!(seen.unwrap(), *expected);
        }
        assert_eq!(value(conn, now), "read committed off off");
    });
    assert_eq!(db.value("SELECT count(*) FROM a.notes"), "16");
    assert_eq!(db.value("SELECT count(*) FROM b.notes"), "11");
}

#[test]
fn savepoints_roll_back_to_their_own_beginning() {
    let db = TestDb::new();
    in_turn(&db, |_, conn| {
        let done = conn.transaction(|conn| {
            add_note(conn, "first")?;
            conn.transaction(|conn| {
                add_note(conn, "second")?;
                let third = conn.transaction(|conn| {
                    add_note(conn, "third")?;
                    diesel::sql_query("SELECT 1 / 0").execute(conn)
                });
                assert!(third.is_err());
                add_note(conn, "second again")
            })?;
            let undone = conn.transaction(|conn| {
                add_note(conn, "undone")?;
                Err::<(), _>(DieselError::RollbackTransaction)
            });
            assert_eq!(undone, Err(DieselError::RollbackTransaction));
            QueryResult::Ok(())
        });
        done.unwrap();
        let all = bodies(conn).unwrap();
        assert_eq!(all[all.len() - 3..], ["first", "second", "second again"]);
        assert!(!all.iter().any(|body| body == "third" || body == "undone"));
    });
}

#[test]
fn migrations_can_be_run_and_reverted_on_a_checkout_and_stay_in_its_schema() {
    let folder = tempfile::tempdir().unwrap();
    let one = folder.path().join("2027-01-01-000000_pets");
    std::fs::create_dir(&one).unwrap();
    std::fs::write(one.join("up.sql"), "CREATE TABLE pets (name text)").unwrap();
    std::fs::write(one.join("down.sql"), "DROP TABLE pets").unwrap();
    let db = TestDb::new();
    let before = db.tables("public");
    in_turn(&db, |id, conn| {
        let source = || FileBasedMigrations::from_path(folder.path()).unwrap();
        assert!(conn.has_pending_migration(source()).unwrap());
        assert_eq!(conn.run_pending_migrations(source()).unwrap().len(), 1);
        assert!(!conn.has_pending_migration(source()).unwrap());
        assert!(db.tables(id).contains("pets"));
        conn.revert_last_migration(source()).unwrap();
        assert!(!db.tables(id).contains("pets"));
    });
    assert_eq!(db.tables("public"), before);
}

#[test]
fn a_checkout_receives_what_it_listens_for() {
    let db = TestDb::new();
    in_turn(&db, |id, conn| {
        conn.batch_execute(&format!("LISTEN news_{id}")).unwrap();
        db.sql("NOTIFY news_a, 'a'; NOTIFY news_b, 'b'");
        // A round trip: what was sent before has then arrived.
        conn.batch_execute("SELECT 1").unwrap();
        let received: Vec<String> = conn
            .notifications_iter()
            .map(|one| one.unwrap().payload)
            .collect();
        assert_eq!(received, [id]);
    });
}

#[test]
fn two_tenants_can_be_used_at_once_in_one_thread() {
    let db = TestDb::new();
    let pool = db.pool(2);
    let (mut a, mut b) = (
        pool.get(&tenant(&pool, "a")).unwrap(),
        pool.get(&tenant(&pool, "b")).unwrap(),
    );
    a.begin_test_transaction().unwrap();
    for _ in 0..3 {
        assert_eq!(bodies(&mut a).unwrap()[0], "from-a");
        assert_eq!(bodies(&mut b).unwrap()[0], "from-b");
        // From one into the other.
        for body in bodies(&mut a).unwrap() {
            add_note(&mut b, &body).unwrap();
        }
    }
    let copied = bodies(&mut b).unwrap();
    assert_eq!(copied, ["from-b", "from-a", "from-a", "from-a"]);
}

fn first_body<C: Connection<Backend = Pg> + LoadConnection>(conn: &mut C) -> QueryResult<String> {
    conn.transaction(|conn| Ok(bodies(conn)?.swap_remove(0)))
}

fn first_body_of_bare(conn: &mut PgConnection) -> QueryResult<String> {
    first_body(conn)
}

#[test]
fn one_generic_function_serves_every_kind_of_connection() {
    let db = TestDb::new();
    let mut bare = db.connect();
    bare.batch_execute("SET search_path TO b").unwrap();
    assert_eq!(first_body(&mut bare).unwrap(), "from-b");
    in_turn(&db, |id, conn| {
        let own = format!("from-{id}");
        assert_eq!(first_body(conn).unwrap(), own);
        assert_eq!(first_body_of_bare(conn).unwrap(), own);
        let mut boxed: Box<dyn diesel::connection::BoxableConnection<Pg>> =
            Box::new(db.pool(1).get(conn.tenant()).unwrap());
        let again = boxed.downcast_mut::<TenantConnection>().unwrap();
        assert_eq!(first_body(again).unwrap(), own);
    });
    let pool = db.pool(1);
    let mut shared: SharedConnection = pool.get_shared().unwrap();
    assert_eq!(first_body(&mut shared).unwrap(), BAIT);
}
