//! Which connection a checkout gets, whose turn it is, for how long a connection lives, and what the
//! application adds to each checkout.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use boardinghouse_core::{ErrorKind, NewTenant, Provisioner, TenantConnection, TenantPool};
use boardinghouse_tests::{TestDb, bodies, tenant, until, value};
use diesel::prelude::*;

/// Asking for it is no plain select: the session is cleaned afterwards.
fn pid(conn: &mut TenantConnection) -> String {
    value(conn, "SELECT pg_backend_pid()")
}

fn hits(pool: &TenantPool) -> u64 {
    pool.state().counters.hits
}

#[test]
fn of_several_idle_connections_the_one_on_the_tenant_is_taken() {
    let db = TestDb::new();
    let provisioner = Provisioner::new(db.pool(1));
    for id in ["c", "d"] {
        provisioner
            .create(&NewTenant::new(id.parse().unwrap()))
            .unwrap();
    }
    let pool = db.pool(4);
    let tenants = ["a", "b", "c", "d"].map(|id| tenant(&pool, id));
    let mut conns: Vec<_> = tenants.iter().map(|t| pool.get(t).unwrap()).collect();
    let pids: Vec<_> = conns.iter_mut().map(pid).collect();
    drop(conns);
    assert_eq!(pool.state().idle, 4);
    for turn in [[2, 0, 3, 1], [1, 3, 0, 2], [0, 0, 2, 1]] {
        for which in turn {
            let mut conn = pool.get(&tenants[which]).unwrap();
            assert_eq!(pid(&mut conn), pids[which], "of tenant {which}");
        }
    }
    assert_eq!(pool.state().connections, 4);
}

#[test]
fn a_connection_that_stayed_on_its_tenant_is_a_hit() {
    let db = TestDb::new();
    let pool = db.pool(2);
    let tenants = [
        (tenant(&pool, "a"), "from-a"),
        (tenant(&pool, "b"), "from-b"),
    ];
    let all = || {
        let mut conns = tenants.each_ref().map(|(t, _)| pool.get(t).unwrap());
        for (conn, (_, expected)) in conns.iter_mut().zip(&tenants) {
            assert_eq!(bodies(conn).unwrap(), [*expected]);
        }
    };
    // On the first visit there is nothing to hit.
    let before = hits(&pool);
    all();
    assert_eq!(hits(&pool), before);
    // They stay for a fifth of a second: a busy machine may be slower than that, but not each time.
    until(|| {
        let before = hits(&pool);
        all();
        hits(&pool) == before + 2
    });
    let counters = pool.state().counters;
    assert_eq!(counters.gets, counters.hits + counters.binds);
    // Where the borrower left something, there is nothing to hit.
    for _ in 0..3 {
        pid(&mut pool.get(&tenants[0].0).unwrap());
    }
    let before = hits(&pool);
    pid(&mut pool.get(&tenants[0].0).unwrap());
    assert_eq!(hits(&pool), before);
}

#[test]
fn nobody_waits_for_a_particular_connection() {
    let db = TestDb::new();
    let pool = db.pool_with(|b| b.max_size(2).checkout_timeout(Duration::from_secs(2)));
    let (a, b) = (tenant(&pool, "a"), tenant(&pool, "b"));
    let (mut on_a, mut on_b) = (pool.get(&a).unwrap(), pool.get(&b).unwrap());
    let (busy, other) = (pid(&mut on_a), pid(&mut on_b));
    assert_ne!(busy, other);
    drop(on_b);
    // The connection that was on `a` before is out.
    let mut conn = pool.get(&a).unwrap();
    assert_eq!(pid(&mut conn), other);
    assert_eq!(bodies(&mut conn).unwrap(), ["from-a"]);
    assert_eq!(pool.state().counters.timeouts, 0);
}

#[test]
fn checkouts_are_served_in_the_order_in_which_they_were_asked_for() {
    let db = TestDb::new();
    let pool = db.pool(1);
    let tenants = [tenant(&pool, "a"), tenant(&pool, "b")];
    let held = pool.get(&tenants[0]).unwrap();
    let served = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for number in 0..8 {
            let (pool, served) = (&pool, &served);
            // The connection is on `a`: those who want it for `b` wait no longer for that.
            let tenant = &tenants[number % 2];
            scope.spawn(move || {
                let conn = pool.get(tenant).unwrap();
                served.lock().unwrap().push(number);
                drop(conn);
            });
            until(|| pool.state().waiting as usize == number + 1);
        }
        drop(held);
    });
    assert_eq!(served.into_inner().unwrap(), [0, 1, 2, 3, 4, 5, 6, 7]);
    assert_eq!(pool.state().waiting, 0);
    assert_eq!(pool.state().connections, 1);
}

#[test]
fn whoever_comes_while_others_wait_does_not_overtake_them() {
    let db = TestDb::new();
    let pool = db.pool(1);
    let a = tenant(&pool, "a");
    let held = pool.get(&a).unwrap();
    let (first, served) = (AtomicBool::new(false), AtomicBool::new(false));
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let conn = pool.get(&a).unwrap();
            first.store(true, Ordering::SeqCst);
            // Holds it until the one who came after is waiting or served.
            until(|| served.load(Ordering::SeqCst) || pool.state().waiting == 1);
            assert!(!served.load(Ordering::SeqCst), "overtaken");
            drop(conn);
        });
        until(|| pool.state().waiting == 1);
        drop(held);
        // At once, by the thread that has just returned it.
        let conn = pool.get(&a).unwrap();
        served.store(true, Ordering::SeqCst);
        assert!(first.load(Ordering::SeqCst), "overtaken");
        drop(conn);
    });
}

#[test]
fn a_timeout_is_kept_to_within_a_tenth() {
    let db = TestDb::new();
    let timeout = Duration::from_millis(500);
    let pool = db.pool_with(|b| b.checkout_timeout(timeout));
    let a = tenant(&pool, "a");
    let held = pool.get(&a).unwrap();
    let took = || {
        let started = Instant::now();
        let error = pool.get(&a).unwrap_err();
        let took = started.elapsed();
        assert_eq!(error.kind(), ErrorKind::PoolTimeout);
        assert!(took >= timeout, "{took:?}");
        took
    };
    // A machine that is busy with other things only adds to it; more waiters must not.
    let least = (0..3)
        .map(|_| {
            std::thread::scope(|scope| {
                let waiters = [(); 3].map(|()| scope.spawn(took));
                waiters
                    .map(|waiter| waiter.join().unwrap())
                    .into_iter()
                    .max()
            })
        })
        .min();
    assert!(least.unwrap() <= Some(timeout.mul_f64(1.1)), "{least:?}");
    assert_eq!(pool.state().waiting, 0);
    assert_eq!(pool.state().counters.timeouts, 9);
    // Who gave up has not taken its turn along.
    drop(held);
    assert_eq!(bodies(&mut pool.get(&a).unwrap()).unwrap(), ["from-a"]);
}

#[test]
fn a_connection_that_is_never_idle_for_long_is_closed_by_age() {
    let db = TestDb::new();
    let lifetime = Duration::from_millis(300);
    let pool = db.pool_with(|b| b.max_lifetime(Some(lifetime)).idle_timeout(None));
    let a = tenant(&pool, "a");
    let mut held = pool.get(&a).unwrap();
    let (before, opened) = (pid(&mut held), Instant::now());
    let recycled = pool.state().counters.recycled;
    // Out all the time, so that only the return can close it.
    until(|| opened.elapsed() >= lifetime);
    assert_eq!(bodies(&mut held).unwrap(), ["from-a"]);
    drop(held);
    assert_eq!(pool.state().counters.recycled, recycled + 1);
    let mut next = pool.get(&a).unwrap();
    assert_ne!(pid(&mut next), before);
    assert_eq!(bodies(&mut next).unwrap(), ["from-a"]);
    drop(next);
    // In short loans that follow each other without a pause, too.
    let mut seen = std::collections::HashSet::new();
    until(|| {
        let mut conn = pool.get(&a).unwrap();
        seen.insert(pid(&mut conn));
        seen.len() >= 3
    });
}

#[test]
fn idle_connections_are_closed_for_their_age_and_their_idle_time() {
    let db = TestDb::new();
    let short = Some(Duration::from_millis(100));
    for (lifetime, idle) in [(short, None), (None, short)] {
        let pool = db.pool_with(|b| b.max_size(3).max_lifetime(lifetime).idle_timeout(idle));
        let a = tenant(&pool, "a");
        let conns = [(); 3].map(|()| pool.get(&a).unwrap());
        assert_eq!(pool.state().connections, 3);
        drop(conns);
        until(|| pool.state().connections == 0);
        assert_eq!(pool.state().idle, 0);
        assert_eq!(bodies(&mut pool.get(&a).unwrap()).unwrap(), ["from-a"]);
    }
}

#[test]
fn idle_connections_are_kept_without_a_timeout_and_for_as_long_as_it_says() {
    let db = TestDb::new();
    let pool = db.pool_with(|b| {
        b.max_size(3)
            .max_lifetime(None)
            .idle_timeout(Some(Duration::from_millis(600)))
    });
    let a = tenant(&pool, "a");
    drop([(); 3].map(|()| pool.get(&a).unwrap()));
    let returned = Instant::now();
    until(|| pool.state().connections == 0);
    assert!(returned.elapsed() >= Duration::from_millis(600));
    let pool = db.pool_with(|b| b.max_lifetime(None).idle_timeout(None));
    drop(pool.get(&tenant(&pool, "a")).unwrap());
    until(|| returned.elapsed() >= Duration::from_millis(1500));
    assert_eq!(pool.state().idle, 1);
}

#[test]
fn connections_are_kept_ready() {
    let db = TestDb::new();
    let pool = db.pool_with(|b| {
        b.max_size(4)
            .min_idle(2)
            .idle_timeout(Some(Duration::from_millis(200)))
    });
    // Before anybody asks for one.
    until(|| pool.state().idle == 2);
    let a = tenant(&pool, "a");
    let mut out = vec![pool.get(&a).unwrap(), pool.get(&a).unwrap()];
    until(|| pool.state().idle == 2 && pool.state().connections == 4);
    // No more than the pool may open.
    out.push(pool.get(&a).unwrap());
    until(|| pool.state().idle == 1);
    assert_eq!(pool.state().connections, 4);
    let mut pids: Vec<_> = out.iter_mut().map(pid).collect();
    pids.sort();
    drop(out);
    // Those that were idle for too long are closed, and others opened in their place.
    let alive = format!(
        "SELECT count(*) FROM pg_stat_activity WHERE pid IN ({})",
        pids.join(", ")
    );
    until(|| db.value(&alive) == "0" && pool.state().idle == 2);
    assert_eq!(bodies(&mut pool.get(&a).unwrap()).unwrap(), ["from-a"]);
}

/// The settings of an application, as text.
fn setting(conn: &mut TenantConnection) -> String {
    value(
        conn,
        "SELECT coalesce(current_setting('app.tenant', true), '')",
    )
}

/// A hook that sets what [`setting`] reads.
fn set(id: &str, conn: &mut TenantConnection) -> boardinghouse_core::Result<()> {
    diesel::sql_query("SELECT set_config('app.tenant', $1, false)")
        .bind::<diesel::sql_types::Text, _>(id)
        .execute(conn)?;
    Ok(())
}

/// C16.
#[test]
fn what_the_hook_sets_is_seen_and_gone_at_the_end() {
    let db = TestDb::new();
    let pool = db.pool_with(|b| {
        b.on_checkout(|tenant, conn| {
            assert_eq!(conn.tenant(), tenant);
            set(tenant.id().as_str(), conn)
        })
    });
    let tenants = [tenant(&pool, "a"), tenant(&pool, "b")];
    for _ in 0..3 {
        for tenant in &tenants {
            let mut conn = pool.get(tenant).unwrap();
            assert_eq!(setting(&mut conn), tenant.id().as_str());
            // Diesel's own selects are no reason to leave it behind.
            bodies(&mut conn).unwrap();
        }
        let mut shared = pool.get_shared().unwrap();
        let query = "SELECT coalesce(current_setting('app.tenant', true), '')";
        assert_eq!(value(&mut shared, query), "");
    }
}

/// C16.
#[test]
fn a_hook_that_fails_fails_the_checkout_and_the_connection_goes_back_clean() {
    let db = TestDb::new();
    let failing = Arc::new(AtomicBool::new(false));
    let fails = Arc::clone(&failing);
    let pool = db.pool_with(|b| {
        b.on_checkout(move |tenant, conn| {
            if !fails.load(Ordering::SeqCst) {
                return Ok(());
            }
            set(tenant.id().as_str(), conn)?;
            diesel::sql_query("SET ROLE nobody_has_this_name").execute(conn)?;
            Ok(())
        })
    });
    let (a, b) = (tenant(&pool, "a"), tenant(&pool, "b"));
    let before = pid(&mut pool.get(&a).unwrap());
    let refused = pool.state().counters.refused;
    failing.store(true, Ordering::SeqCst);
    for _ in 0..3 {
        let error = pool.get(&a).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Database);
        assert_eq!(error.tenant(), Some(a.id()));
    }
    assert_eq!(pool.state().counters.refused, refused + 3);
    failing.store(false, Ordering::SeqCst);
    let mut conn = pool.get(&b).unwrap();
    assert_eq!(pid(&mut conn), before);
    assert_eq!(setting(&mut conn), "");
    assert_eq!(bodies(&mut conn).unwrap(), ["from-b"]);
}

#[test]
fn a_hook_that_panics_takes_the_connection_along_and_leaves_the_pool_whole() {
    crate::stress::quiet_panics();
    let db = TestDb::new();
    let failing = Arc::new(AtomicBool::new(true));
    let fails = Arc::clone(&failing);
    let pool = db.pool_with(|b| {
        b.on_checkout(move |_, conn| {
            conn.transaction(|_| {
                if fails.load(Ordering::SeqCst) {
                    std::panic::panic_any("on purpose");
                }
                Ok(())
            })
        })
    });
    let a = tenant(&pool, "a");
    let get = || std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| drop(pool.get(&a))));
    for _ in 0..3 {
        assert!(get().is_err());
    }
    failing.store(false, Ordering::SeqCst);
    assert_eq!(bodies(&mut pool.get(&a).unwrap()).unwrap(), ["from-a"]);
    assert_eq!(pool.state().counters.closed_on_doubt, 3);
}

#[test]
fn a_connection_keeps_no_more_statements_than_it_may() {
    const MOST: i64 = 20;
    let db = TestDb::new();
    let pool = db.pool_with(|b| b.max_statements_per_connection(20));
    let provisioner = Provisioner::new(db.pool(1));
    let tenants: Vec<_> = (0..30)
        .map(|number| {
            let id = format!("t{number}");
            let tenant = provisioner.create(&NewTenant::new(id.parse().unwrap()));
            db.sql(&format!(
                "INSERT INTO {id}.notes (body) VALUES ('from-{id}')"
            ));
            (tenant.unwrap(), format!("from-{id}"))
        })
        .collect();
    let (mut most, mut pids) = (0, std::collections::HashSet::new());
    for round in 0..4 {
        for step in 0..tenants.len() {
            // Now in order, now all over the place.
            let (tenant, expected) = &tenants[step * [1, 7, 11, 13][round] % tenants.len()];
            // The second time on the same tenant the path is proven by another statement.
            drop(pool.get(tenant).unwrap());
            let mut conn = pool.get(tenant).unwrap();
            assert_eq!(bodies(&mut conn).unwrap(), [expected.as_str()]);
            let count = value(&mut conn, "SELECT count(*) FROM pg_prepared_statements");
            most = most.max(count.parse().unwrap());
            pids.insert(pid(&mut conn));
        }
    }
    assert_eq!(pids.len(), 1);
    assert!(
        most > MOST / 2,
        "{most}: they are kept as long as they may be"
    );
    // What one checkout prepares comes on top.
    assert!(most <= MOST + 4, "{most}");
}
