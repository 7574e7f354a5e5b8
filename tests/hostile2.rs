//! Attacks on the checkout that once succeeded, by another hostile reviewer.

use std::time::Duration;

use boardinghouse_core::{NewTenant, Provisioner, TenantConnection, TenantPool};
use boardinghouse_tests::{TestDb, bodies, tenant, until, value};
use diesel::prelude::*;

diesel::table! {
    notes {
        id -> Integer,
        mood -> Text,
    }
}

/// Puts a view in place of the notes of `a`, whose function leaves a note of `a` in the session.
const LEAK: &str = "CREATE SCHEMA elsewhere;
    CREATE FUNCTION elsewhere.mark(text) RETURNS text LANGUAGE plpgsql AS
        'BEGIN PERFORM set_config(''app.x'', $1, false); RETURN $1; END';
    ALTER TABLE a.notes RENAME TO real_notes;
    CREATE VIEW a.notes AS SELECT id, elsewhere.mark(body) AS body, author FROM a.real_notes";

fn setting(conn: &mut TenantConnection) -> String {
    value(conn, "SELECT coalesce(current_setting('app.x', true), '')")
}

fn cleans(pool: &TenantPool) -> u64 {
    pool.state().counters.cleans
}

#[test]
fn what_a_checkout_that_was_out_during_a_migration_leaves_does_not_reach_the_next_tenant() {
    let db = TestDb::new();
    let pool = db.pool_with(|b| b.max_size(2).registry_ttl(Duration::from_secs(3600)));
    let (a, b) = (tenant(&pool, "a"), tenant(&pool, "b"));
    let mut long = pool.get(&a).unwrap();
    until(|| pool.state().listening);
    db.sql(LEAK);
    db.sql("UPDATE boardinghouse.tenants SET epoch = DEFAULT WHERE id = 'a'");
    // Until the pool has heard of it: a return of the other connection costs a clean.
    until(|| {
        let before = cleans(&pool);
        bodies(&mut pool.get(&a).unwrap()).unwrap();
        cleans(&pool) > before
    });
    let other = pool.get(&a).unwrap();
    assert_eq!(bodies(&mut long).unwrap(), ["from-a"]);
    drop(long);
    let mut conn = pool.get(&b).unwrap();
    assert_eq!(setting(&mut conn), "");
    assert_eq!(pool.state().connections, 2);
    drop(other);
}

#[test]
fn what_a_function_behind_a_cast_sets_does_not_reach_the_next_tenant() {
    let db = TestDb::new();
    db.sql(
        "CREATE SCHEMA elsewhere; CREATE TYPE a.mood AS ENUM ('good');
         CREATE FUNCTION elsewhere.mark(a.mood) RETURNS text LANGUAGE plpgsql AS
             'BEGIN PERFORM set_config(''app.x'', ''from-a'', false); RETURN ''good''; END';
         CREATE CAST (a.mood AS text) WITH FUNCTION elsewhere.mark(a.mood) AS IMPLICIT;
         ALTER TABLE a.notes ADD mood a.mood NOT NULL DEFAULT 'good'",
    );
    let pool = db.pool(1);
    let (a, b) = (tenant(&pool, "a"), tenant(&pool, "b"));
    let mut conn = pool.get(&a).unwrap();
    let good = notes::table.filter(notes::mood.eq("good")).count();
    assert_eq!(good.get_result(&mut conn), Ok(1_i64));
    drop(conn);
    assert_eq!(setting(&mut pool.get(&b).unwrap()), "");
}

#[test]
fn a_tenant_for_whom_no_connection_has_room_costs_one_connection_and_not_all() {
    let db = TestDb::new();
    let pool = db.pool_with(|b| b.max_size(3).max_tenants_per_connection(1));
    let elsewhere = db.pool(1);
    let (a, b) = (tenant(&elsewhere, "a"), tenant(&elsewhere, "b"));
    drop([(); 3].map(|()| pool.get(&a).unwrap()));
    let mut conn = pool.get(&b).unwrap();
    assert_eq!(bodies(&mut conn).unwrap(), ["from-b"]);
    let state = pool.state();
    assert_eq!((state.counters.recycled, state.connections), (1, 3));
}

#[test]
fn a_connection_that_knows_more_tenants_than_statements_does_not_forget_at_each_checkout() {
    let db = TestDb::new();
    let pool = db.pool_with(|b| b.max_statements_per_connection(4));
    let elsewhere = db.pool(1);
    let provisioner = Provisioner::new(elsewhere.clone());
    for id in ["c", "d", "e"] {
        provisioner
            .create(&NewTenant::new(id.parse().unwrap()))
            .unwrap();
    }
    let tenants = ["a", "b", "c", "d", "e"].map(|id| tenant(&elsewhere, id));
    // The sixth checkout forgets five proofs, and the seventh need not.
    for tenant in tenants.iter().chain(&tenants[..1]) {
        drop(pool.get(tenant).unwrap());
    }
    let proofs =
        "SELECT count(*) FROM pg_prepared_statements WHERE name LIKE 'boardinghouse_proof%'";
    assert_eq!(value(&mut pool.get(&tenants[1]).unwrap(), proofs), "2");
}
