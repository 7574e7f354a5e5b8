//! What the registry tells other processes, whoever writes to it: channel `boardinghouse`, epochs and
//! incarnations.

use std::time::{Duration, Instant};

use boardinghouse_core::{NewTenant, PgRegistry, Provisioner};
use boardinghouse_tests::{TestDb, tenant};
use diesel::{connection::SimpleConnection, prelude::*};

/// A session that knows nothing of tenants, and hears.
struct Listener(PgConnection);

impl Listener {
    fn new(db: &TestDb) -> Self {
        let mut conn = db.connect();
        conn.batch_execute("LISTEN boardinghouse").unwrap();
        Self(conn)
    }

    /// What was said since the last time, sorted. The server passes it on in the order of commits, so
    /// nothing comes after the word that ends it.
    fn heard(&mut self, db: &TestDb) -> String {
        db.sql("NOTIFY boardinghouse, 'over'");
        let deadline = Instant::now() + Duration::from_secs(20);
        let mut words = Vec::new();
        loop {
            for notification in self.0.notifications_iter() {
                let notification = notification.unwrap();
                assert_eq!(notification.channel, "boardinghouse");
                if notification.payload == "over" {
                    words.sort();
                    return words.join(" ");
                }
                words.push(notification.payload);
            }
            assert!(Instant::now() < deadline, "only {words:?}");
            std::thread::yield_now();
        }
    }
}

fn epoch(db: &TestDb, id: &str) -> i64 {
    let query = format!("SELECT epoch FROM boardinghouse.tenants WHERE id = '{id}'");
    db.value(&query).parse().unwrap()
}

fn rows(from: usize, to: usize) -> String {
    format!(
        "INSERT INTO boardinghouse.tenants (id, schema_name, display_name) \
         SELECT 'x' || i, 'x' || i, 'x' FROM generate_series({from}, {to}) AS i"
    )
}

#[test]
fn a_change_by_hand_advances_the_epoch_and_is_told() {
    let db = TestDb::new();
    let mut listener = Listener::new(&db);
    let mut last = epoch(&db, "a");
    let b = epoch(&db, "b");
    for change in [
        "status = 'suspended'",
        "status = 'ready', display_name = 'A'",
        "schema_name = 'elsewhere'",
        "epoch = DEFAULT",
        "epoch = DEFAULT, status = 'suspended'",
    ] {
        db.sql(&format!(
            "UPDATE boardinghouse.tenants SET {change} WHERE id = 'a'"
        ));
        assert_eq!(listener.heard(&db), "a", "{change}");
        assert!(epoch(&db, "a") > last, "{change}");
        last = epoch(&db, "a");
    }
    // What does not make a checkout wrong is told all the same.
    for change in ["display_name = 'x'", "status = 'suspended'"] {
        db.sql(&format!(
            "UPDATE boardinghouse.tenants SET {change} WHERE id = 'a'"
        ));
        assert_eq!(listener.heard(&db), "a", "{change}");
        assert_eq!(epoch(&db, "a"), last, "{change}");
    }
    assert_eq!(epoch(&db, "b"), b);
    db.sql("UPDATE boardinghouse.tenants SET id = 'z' WHERE id = 'a'");
    assert_eq!(listener.heard(&db), "a z");
    assert!(epoch(&db, "z") > last);
    db.sql("DELETE FROM boardinghouse.tenants WHERE id = 'z'");
    assert_eq!(listener.heard(&db), "z");
    // Nothing changed.
    db.sql("DELETE FROM boardinghouse.tenants WHERE id = 'z'");
    db.sql("BEGIN; UPDATE boardinghouse.tenants SET status = 'suspended'; ROLLBACK");
    assert_eq!(listener.heard(&db), "");
}

#[test]
fn a_row_says_when_it_was_last_changed() {
    let db = TestDb::new();
    let updated = || db.value("SELECT updated_at FROM boardinghouse.tenants WHERE id = 'a'");
    let before = updated();
    db.sql("UPDATE boardinghouse.tenants SET display_name = 'x' WHERE id = 'a'");
    assert_ne!(updated(), before);
    // Whoever restores rows knows better.
    db.sql("UPDATE boardinghouse.tenants SET updated_at = '2000-01-01 00:00Z' WHERE id = 'a'");
    assert!(updated().starts_with("2000-01-01") || updated().starts_with("1999-12-31"));
}

#[test]
fn what_the_library_does_is_told_once() {
    let db = TestDb::new();
    let mut listener = Listener::new(&db);
    let provisioner = Provisioner::new(db.pool(1));
    let id = |id: &str| id.parse().unwrap();
    let new = NewTenant::new(id("acme")).domain("acme.test".parse().unwrap());
    provisioner.create(&new).unwrap();
    assert_eq!(listener.heard(&db), "acme");
    provisioner.suspend(&id("acme")).unwrap();
    assert_eq!(listener.heard(&db), "acme");
    provisioner.suspend(&id("acme")).unwrap();
    assert_eq!(listener.heard(&db), "");
    provisioner.resume(&id("acme")).unwrap();
    assert_eq!(listener.heard(&db), "acme");
    // The domain goes along.
    provisioner.rename(&id("acme"), &id("acme-2")).unwrap();
    assert_eq!(listener.heard(&db), "acme acme-2");
    provisioner.delete(&id("acme-2")).unwrap();
    assert_eq!(listener.heard(&db), "acme-2");
    // One that came to nothing.
    assert!(provisioner.rename(&id("a"), &id("b")).is_err());
    assert_eq!(listener.heard(&db), "");
}

#[test]
fn a_statement_that_changes_more_than_a_hundred_rows_is_one_word() {
    let db = TestDb::new();
    let mut listener = Listener::new(&db);
    db.sql(&rows(1, 100));
    assert_eq!(listener.heard(&db).split(' ').count(), 100);
    db.sql(&rows(101, 201));
    assert_eq!(listener.heard(&db), "*");
    let first = epoch(&db, "x1");
    db.sql("UPDATE boardinghouse.tenants SET status = 'suspended'");
    assert_eq!(listener.heard(&db), "*");
    assert!(epoch(&db, "x1") > first);
    db.sql("DELETE FROM boardinghouse.tenants WHERE id ~ '^x.'");
    assert_eq!(listener.heard(&db), "*");
    db.sql("TRUNCATE boardinghouse.domains");
    assert_eq!(listener.heard(&db), "*");
    // The word of the tenants themselves, not of the domains that go along.
    db.sql("ALTER TABLE boardinghouse.domains DISABLE TRIGGER USER; TRUNCATE boardinghouse.tenants CASCADE");
    assert_eq!(listener.heard(&db), "*");
}

#[test]
fn a_change_of_domains_is_told_by_their_tenants() {
    let db = TestDb::new();
    let mut listener = Listener::new(&db);
    for (change, told) in [
        (
            "INSERT INTO boardinghouse.domains VALUES ('a.test', 'a'), ('a2.test', 'a')",
            "a",
        ),
        (
            "UPDATE boardinghouse.domains SET is_primary = true WHERE domain = 'a.test'",
            "a",
        ),
        (
            "UPDATE boardinghouse.domains SET tenant_id = 'b' WHERE domain = 'a2.test'",
            "a b",
        ),
        ("DELETE FROM boardinghouse.domains", "a b"),
        (
            "INSERT INTO boardinghouse.domains SELECT i || '.test', 'a' FROM generate_series(1, 101) AS i",
            "a",
        ),
        (
            "DELETE FROM boardinghouse.domains WHERE domain = 'none.test'",
            "",
        ),
    ] {
        db.sql(change);
        assert_eq!(listener.heard(&db), told, "{change}");
    }
    db.sql(&rows(1, 101));
    assert_eq!(listener.heard(&db), "*");
    db.sql("INSERT INTO boardinghouse.domains SELECT id || '.test', id FROM boardinghouse.tenants WHERE id ~ '^x.'");
    assert_eq!(listener.heard(&db), "*");
}

#[test]
fn a_role_that_may_write_the_tables_needs_no_other_right() {
    let db = TestDb::new();
    let role = db.value("SELECT current_database() || '_clerk'");
    db.sql(&format!(
        "CREATE ROLE {role}; GRANT USAGE ON SCHEMA boardinghouse TO {role};
         GRANT INSERT, UPDATE, DELETE, TRUNCATE
         ON boardinghouse.tenants, boardinghouse.domains TO {role};
         CREATE SCHEMA mine; GRANT USAGE ON SCHEMA mine TO {role};
         CREATE FUNCTION mine.pg_notify(text, text) RETURNS void LANGUAGE sql AS 'SELECT 1/0';
         CREATE FUNCTION mine.now() RETURNS timestamptz LANGUAGE sql AS 'SELECT 1/0; SELECT NULL::timestamptz';
         CREATE FUNCTION mine.pg_get_serial_sequence(text, text) RETURNS text LANGUAGE sql
         AS 'SELECT 1/0; SELECT NULL::text'"
    ));
    let mut listener = Listener::new(&db);
    let before = epoch(&db, "a");
    let clerk = |statement: &str| {
        // A path on which the clerk's own things come first, which must not be met.
        db.connect().batch_execute(&format!(
            "CREATE TEMP TABLE rows_after (id text, tenant_id text); GRANT ALL ON rows_after TO {role};
             SET search_path TO mine, pg_temp, boardinghouse, pg_catalog; SET ROLE {role}; {statement}"
        ))
    };
    clerk("UPDATE boardinghouse.tenants SET status = 'suspended'").unwrap();
    assert_eq!(listener.heard(&db), "a b");
    assert!(epoch(&db, "a") > before);
    clerk(
        "INSERT INTO boardinghouse.tenants (id, schema_name, display_name) VALUES ('c', 'c', 'c')",
    )
    .unwrap();
    clerk("INSERT INTO boardinghouse.domains VALUES ('c.test', 'c')").unwrap();
    clerk("UPDATE boardinghouse.domains SET is_primary = true").unwrap();
    clerk("DELETE FROM boardinghouse.domains").unwrap();
    assert_eq!(listener.heard(&db), "c c c c");
    clerk("TRUNCATE boardinghouse.domains").unwrap();
    clerk("DELETE FROM boardinghouse.tenants").unwrap();
    assert_eq!(listener.heard(&db), "* a b c");
    // The functions are for the triggers alone.
    let borrow = clerk(
        "CREATE TEMP TABLE t (id text, schema_name text, status text, epoch bigint, incarnation bigint, updated_at timestamptz); \
         CREATE TRIGGER t BEFORE UPDATE ON t FOR EACH ROW EXECUTE FUNCTION boardinghouse.tenants_before_update()",
    );
    assert!(borrow.is_err());
    db.sql(&format!("DROP OWNED BY {role}; DROP ROLE {role}"));
}

#[test]
fn a_tenant_that_is_created_anew_is_another_one() {
    let db = TestDb::new();
    let pool = db.pool(1);
    let provisioner = Provisioner::new(pool.clone());
    let registry = PgRegistry::new(pool.clone());
    let (a, b) = (tenant(&pool, "a"), tenant(&pool, "b"));
    assert!(a.incarnation() > 0 && a.incarnation() != b.incarnation());
    db.sql("UPDATE boardinghouse.tenants SET epoch = DEFAULT, status = 'suspended'");
    assert_eq!(tenant(&pool, "a").incarnation(), a.incarnation());
    provisioner.delete(a.id()).unwrap();
    let anew = provisioner.create(&NewTenant::new(a.id().clone())).unwrap();
    assert!(anew.incarnation() > b.incarnation());
    assert_eq!(registry.get(a.id()).unwrap(), anew);
    for change in [
        "incarnation = DEFAULT",
        "incarnation = 7",
        "incarnation = NULL",
    ] {
        let changed = db.connect().batch_execute(&format!(
            "UPDATE boardinghouse.tenants SET {change} WHERE id = 'a'"
        ));
        assert!(changed.is_err(), "{change}");
    }
    let json = serde_json::to_value(&anew).unwrap();
    assert_eq!(json.get("incarnation"), None);
    assert_eq!(json["epoch"], anew.epoch());
}
