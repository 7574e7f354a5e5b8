//! Reads on a replica (W30). A copy of the database stands in for one: it lags for ever, and what is done
//! to it by hand is what a replica replays, which no lock of ours holds back there either.

use boardinghouse_core::{
    Error, ErrorKind, NewTenant, PgRegistry, Provisioner, ReplicatedPool, Tenant, TenantConnection,
    TenantPool,
};
use boardinghouse_tests::{BAIT, TestDb, add_note, bodies, tenant, value};
use diesel::prelude::*;

type Result<T, E = Error> = std::result::Result<T, E>;

/// A primary, its replica, and pools of one connection each. The replica's notes say that they are its.
fn pair() -> (TestDb, TestDb, ReplicatedPool) {
    let (primary, replica) = (TestDb::new(), TestDb::new());
    replica.sql("UPDATE a.notes SET body = 'a on the replica'; UPDATE b.notes SET body = 'b on the replica'");
    let builder = TenantPool::builder().max_size(1);
    let pools = ReplicatedPool::new(primary.pool(1), builder, replica.url());
    (primary, replica, pools)
}

fn known(pools: &ReplicatedPool, id: &str) -> Tenant {
    tenant(pools.primary(), id)
}

fn read(pools: &ReplicatedPool, tenant: &Tenant) -> Vec<String> {
    let read = |conn: &mut TenantConnection| -> Result<_> { Ok(bodies(conn)?) };
    pools.read(tenant, read).unwrap()
}

#[test]
fn reads_go_to_the_replica_and_stay_in_their_tenant() {
    let (_primary, _replica, pools) = pair();
    let (a, b) = (known(&pools, "a"), known(&pools, "b"));
    for _ in 0..3 {
        assert_eq!(read(&pools, &a), ["a on the replica"]);
        assert_eq!(read(&pools, &b), ["b on the replica"]);
    }
    assert_eq!(pools.replica().state().connections, 1);
}

#[test]
fn a_replica_that_has_not_heard_of_a_change_is_not_asked() {
    let (primary, _replica, pools) = pair();
    let provisioner = Provisioner::new(pools.primary().clone());
    // One that was created, one that was created anew, and one that was migrated.
    provisioner
        .create(&NewTenant::new("c".parse().unwrap()))
        .unwrap();
    assert_eq!(read(&pools, &known(&pools, "c")), [""; 0]);
    provisioner.delete(&"a".parse().unwrap()).unwrap();
    provisioner
        .create(&NewTenant::new("a".parse().unwrap()))
        .unwrap();
    assert_eq!(
        read(&pools, &known(&pools, "a")),
        [""; 0],
        "the predecessor's rows"
    );
    primary.sql("UPDATE boardinghouse.tenants SET epoch = DEFAULT WHERE id = 'b'");
    assert_eq!(read(&pools, &known(&pools, "b")), ["from-b"]);
}

/// What `work` reads first and what it reads when `replayed` has happened, and what comes out.
fn read_while(replayed: &str) -> (Vec<Result<Vec<String>, ()>>, Vec<String>) {
    let (_primary, replica, pools) = pair();
    let a = known(&pools, "a");
    let mut seen = Vec::new();
    let given = pools.read(&a, |conn| -> Result<_> {
        seen.push(bodies(conn).map_err(drop));
        if seen.len() == 1 {
            replica.sql(replayed);
        }
        seen.push(bodies(conn).map_err(drop));
        seen.last()
            .cloned()
            .unwrap()
            .map_err(|()| Error::new(ErrorKind::Database, "test"))
    });
    // The next one is served by the same pools.
    assert_eq!(read(&pools, &known(&pools, "b")), ["b on the replica"]);
    (seen, given.unwrap())
}

#[test]
fn a_schema_that_is_dropped_during_a_read_does_not_turn_it_to_the_shared_schema() {
    let (seen, given) = read_while("DROP SCHEMA a CASCADE");
    assert_eq!(given, ["from-a"]);
    assert_eq!(seen[0], Ok(vec!["a on the replica".to_owned()]));
    assert_eq!(seen[1], Err(()), "not {BAIT}");
    assert_eq!(seen.len(), 4);
}

#[test]
fn a_tenant_that_is_created_anew_during_a_read_does_not_give_it_its_rows() {
    let replayed = "DROP SCHEMA a CASCADE; CREATE SCHEMA a; \
                    CREATE TABLE a.notes (id serial, body text, author int); \
                    INSERT INTO a.notes (body) VALUES ('of the successor')";
    let (seen, given) = read_while(replayed);
    assert_eq!(
        seen[1],
        Ok(vec!["of the successor".to_owned()]),
        "what would be given"
    );
    assert_eq!(given, ["from-a"]);
    // The same, where the schema is made by the library: its row is another one.
    let (_, given) = read_while(
        "UPDATE boardinghouse.tenants SET epoch = DEFAULT WHERE id = 'a'; \
         UPDATE a.notes SET body = 'of the successor'",
    );
    assert_eq!(given, ["from-a"]);
}

#[test]
fn a_tenant_that_was_exchanged_before_the_read_is_not_read_anywhere() {
    let (primary, _replica, pools) = pair();
    let provisioner = Provisioner::new(pools.primary().clone());
    let (old, by_hand) = (
        known(&pools, "a"),
        Tenant::new("b".parse().unwrap(), "b".parse().unwrap()),
    );
    provisioner.delete(old.id()).unwrap();
    provisioner
        .create(&NewTenant::new("a".parse().unwrap()))
        .unwrap();
    // A replica that has heard of it: here, the primary itself.
    let builder = TenantPool::builder().max_size(1);
    let pools = ReplicatedPool::new(pools.primary().clone(), builder, primary.url());
    for tenant in [&old, &by_hand] {
        let read = pools.read(tenant, |conn| -> Result<_> { Ok(bodies(conn)?) });
        assert_eq!(read.unwrap_err().kind(), ErrorKind::TenantNotFound);
    }
    assert_eq!(read(&pools, &known(&pools, "a")), [""; 0]);
}

#[test]
fn schemas_that_change_names_during_a_read_are_not_taken_for_one_another() {
    let (_, given) = read_while(
        "ALTER SCHEMA a RENAME TO c; ALTER SCHEMA b RENAME TO a; ALTER SCHEMA c RENAME TO b; \
         UPDATE b.notes SET body = 'b on the replica'",
    );
    assert_eq!(given, ["from-a"]);
}

#[test]
fn nothing_can_be_written_in_a_read_that_the_primary_serves() {
    let (primary, _replica, pools) = pair();
    primary.sql("UPDATE boardinghouse.tenants SET epoch = DEFAULT WHERE id = 'a'");
    let a = known(&pools, "a");
    let written = pools.read(&a, |conn| -> Result<usize> { Ok(add_note(conn, "x")?) });
    assert_eq!(written.unwrap_err().kind(), ErrorKind::Database);
    // The next borrower of the connection can.
    let mut conn = pools.primary().get(&a).unwrap();
    add_note(&mut conn, "y").unwrap();
    assert_eq!(value(&mut conn, "SELECT count(*) FROM notes"), "2");
}

#[test]
fn errors_of_the_work_and_of_an_unreachable_replica_are_told() {
    let (primary, replica, pools) = pair();
    let a = known(&pools, "a");
    let mut runs = 0;
    let failed = pools.read(&a, |conn| -> Result<usize> {
        runs += 1;
        Ok(diesel::sql_query("SELECT 1 / 0").execute(conn)?)
    });
    assert_eq!((failed.unwrap_err().kind(), runs), (ErrorKind::Database, 1));
    let aborted = pools.read(&a, |conn| -> Result<()> {
        diesel::sql_query("BEGIN").execute(conn)?;
        let _ = diesel::sql_query("SELECT 1 / 0").execute(conn);
        Ok(())
    });
    assert_eq!(aborted.unwrap_err().kind(), ErrorKind::Database);
    assert_eq!(read(&pools, &a), ["a on the replica"]);
    replica.refuse_connections();
    replica.disconnect_everybody();
    let builder = TenantPool::builder()
        .max_size(1)
        .checkout_timeout(std::time::Duration::from_millis(200));
    let pools = ReplicatedPool::new(primary.pool(1), builder, replica.url());
    let down = pools.read(&a, |conn| -> Result<_> { Ok(bodies(conn)?) });
    assert_eq!(down.unwrap_err().kind(), ErrorKind::ConnectionFailed);
    let listed = PgRegistry::new(pools.primary().clone()).list().unwrap();
    assert_eq!(listed.len(), 2);
}
