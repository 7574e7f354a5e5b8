//! Behind PgBouncer: session state leaks there, `PathMode::Transaction` does not. (D05.)

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use boardinghouse_core::{
    Error, ErrorKind, PathMode, PgRegistry, PoolerCheckup, Tenant, TenantConnection, TenantPool,
    Verdict,
};
use boardinghouse_tests::{BAIT, PgBouncer, TestDb, bodies, tenant, try_value};
use diesel::{
    connection::{CacheSize, SimpleConnection},
    prelude::*,
};

use crate::{
    statements::Mood,
    stress::{Dice, quiet_panics},
    transaction::nothing_is_left,
};

diesel::table! {
    deeds (id) {
        id -> Integer,
        owner -> Text,
        mood -> crate::statements::sql::Mood,
    }
}

const MODES: [PathMode; 3] = [
    PathMode::TenantThenShared,
    PathMode::TenantOnly,
    PathMode::Transaction,
];

/// A pool of the mode for poolers.
fn pool(url: &str, size: u32) -> TenantPool {
    TenantPool::builder()
        .path_mode(PathMode::Transaction)
        .max_size(size)
        .checkout_timeout(Duration::from_secs(30))
        .build(url)
        .unwrap()
}

fn plain(url: &str) -> PgConnection {
    let mut conn = PgConnection::establish(url).unwrap();
    conn.set_prepared_statement_cache_size(CacheSize::Disabled);
    conn
}

/// That the fixture can show a leak at all.
#[test]
fn a_session_that_is_put_on_a_path_by_hand_reads_another_tenants_rows() {
    let db = TestDb::new();
    let Some(pooler) = PgBouncer::start(db.url(), "transaction", 1) else {
        return;
    };
    let (mut a, mut b) = (plain(pooler.url()), plain(pooler.url()));
    a.batch_execute("SET search_path TO a").unwrap();
    b.batch_execute("SET search_path TO b").unwrap();
    assert_eq!(bodies(&mut a).unwrap(), ["from-b"]);
    b.batch_execute("SET search_path TO public").unwrap();
    assert_eq!(bodies(&mut a).unwrap(), [BAIT]);
}

#[test]
fn nothing_of_a_borrower_is_left_in_the_server_process_that_somebody_else_gets_next() {
    let db = TestDb::new();
    let Some(pooler) = PgBouncer::start(db.url(), "transaction", 1) else {
        return;
    };
    let pool = pool(&format!("{}&application_name=us", pooler.url()), 1);
    let stranger = Mutex::new(plain(pooler.url()));
    let look = |query: &str| try_value(&mut *stranger.lock().unwrap(), query).ok();
    let pid = look("SELECT pg_backend_pid()");
    nothing_is_left(&pool, &tenant(&pool, "a"), &look);
    assert_eq!(look("SELECT pg_backend_pid()"), pid);
    // And what PgBouncer remembers of each client is still that client's own.
    let own = "SELECT current_setting('application_name')";
    stranger
        .lock()
        .unwrap()
        .batch_execute("SET application_name TO 'stranger'")
        .unwrap();
    let ours = pool.shared_transaction(|conn| try_value(conn, own).map_err(Error::from));
    assert_eq!(ours.unwrap(), "us");
    assert_eq!(look(own).unwrap(), "stranger");
}

#[test]
fn a_panic_takes_the_server_process_with_it() {
    quiet_panics();
    let db = TestDb::new();
    let Some(pooler) = PgBouncer::start(db.url(), "transaction", 1) else {
        return;
    };
    let pool = pool(pooler.url(), 1);
    let a = tenant(&pool, "a");
    let mut stranger = plain(pooler.url());
    let pid = "SELECT pg_backend_pid()";
    let before = try_value(&mut stranger, pid).unwrap();
    catch_unwind(AssertUnwindSafe(|| {
        pool.transaction(&a, |conn| -> Result<(), Error> {
            conn.batch_execute("SELECT pg_advisory_lock(815)")?;
            panic!("on purpose")
        })
    }))
    .unwrap_err();
    assert_ne!(try_value(&mut stranger, pid).unwrap(), before);
}

#[test]
fn two_tenants_never_meet_at_one_server_process() {
    behind_pooler(1, 4);
}

#[test]
fn two_tenants_never_meet_at_three_server_processes() {
    behind_pooler(3, 8);
}

/// Without a pooler, the one connection is what the threads take turns at.
#[test]
fn two_tenants_never_meet_at_one_connection_to_the_server_itself() {
    let db = interleave_fixture();
    interleave(&db, &pool(db.url(), 1), 4);
}

fn behind_pooler(processes: u32, threads: usize) {
    let db = interleave_fixture();
    if let Some(pooler) = PgBouncer::start(db.url(), "transaction", processes) {
        interleave(&db, &pool(pooler.url(), 4), threads);
    }
}

/// How many operations in all: `BOARDINGHOUSE_STRESS=100000` for the long run.
fn operations() -> usize {
    std::env::var("BOARDINGHOUSE_STRESS").map_or(2_000, |n| n.parse().unwrap())
}

/// What came of an operation.
#[derive(Default)]
struct Tally {
    saved: [AtomicUsize; 2],
    wrong: AtomicUsize,
    unknown: AtomicUsize,
    unexpected: Mutex<Vec<String>>,
}

fn interleave_fixture() -> TestDb {
    let db = TestDb::new();
    for (schema, moods) in [("a", "'glad', 'sad'"), ("b", "'sad', 'other', 'glad'")] {
        db.sql(&format!(
            "SET search_path TO {schema}; CREATE TYPE mood AS ENUM ({moods}); \
             CREATE TABLE deeds (id serial PRIMARY KEY, owner text NOT NULL, mood mood NOT NULL)"
        ));
    }
    // Different result types, so that a plan of the other tenant would not even run. The bait for
    // writes takes any of them.
    db.sql(
        "ALTER TABLE b.notes ALTER body TYPE varchar(100); \
         CREATE TYPE public.mood AS ENUM ('glad', 'sad'); \
         CREATE TABLE public.deeds (LIKE a.deeds INCLUDING DEFAULTS); \
         ALTER TABLE public.deeds ALTER mood TYPE public.mood USING NULL, \
         ALTER owner SET DEFAULT 'x'",
    );
    db
}

fn interleave(db: &TestDb, pool: &TenantPool, threads: usize) {
    quiet_panics();
    let tenants = [tenant(pool, "a"), tenant(pool, "b")];
    let tally = Tally::default();
    std::thread::scope(|scope| {
        for thread in 0..threads {
            let (tenants, tally) = (&tenants, &tally);
            scope.spawn(move || {
                let mut dice = Dice(0x9E37_79B9_7F4A_7C15 ^ (thread as u64 + 1));
                for _ in 0..operations() / threads {
                    let which = dice.roll(2) as usize;
                    let act = dice.roll(24);
                    operate(pool, tenants, which, act, tally);
                }
            });
        }
    });
    assert_eq!(tally.unexpected.into_inner().unwrap(), [""; 0]);
    assert_eq!(
        tally.wrong.into_inner(),
        0,
        "operations that saw wrong rows"
    );
    let saved = tally.saved.map(AtomicUsize::into_inner);
    let unknown = tally.unknown.into_inner();
    for (schema, saved) in ["a", "b"].iter().zip(saved) {
        let count = |what: &str| -> usize {
            let query = format!("SELECT count(*) FROM {schema}.deeds WHERE {what}");
            db.value(&query).parse().unwrap()
        };
        let own = count(&format!("owner = '{schema}'"));
        assert!(
            (saved..=saved + unknown).contains(&own),
            "{schema}: {own} rows, {saved} were saved, {unknown} perhaps"
        );
        assert_eq!(count("true"), own, "rows of {schema} that are not its own");
    }
    assert_eq!(db.value("SELECT count(*) FROM public.deeds"), "0");
    assert_eq!(db.value("SELECT count(*) FROM public.notes"), "1");
    assert!(saved.iter().all(|&saved| saved > 0));
    eprintln!(
        "{} operations by {threads} threads on at most {} connections: 0 wrong rows, \
         {saved:?} rows saved, {unknown} commits unknown",
        operations(),
        pool.max_size()
    );
}

/// One transaction of `tenants[which]`: it looks whose rows it sees, and then does as told.
fn operate(pool: &TenantPool, tenants: &[Tenant; 2], which: usize, act: u64, tally: &Tally) {
    let tenant = &tenants[which];
    let own = tenant.schema().as_str();
    let look = |conn: &mut TenantConnection| -> Result<(), Error> {
        if bodies(conn)? != [format!("from-{own}")] {
            tally.wrong.fetch_add(1, Ordering::Relaxed);
        }
        Ok(())
    };
    if act == 0 {
        let found = PgRegistry::new(pool.clone()).get(tenant.id());
        if found.map(|found| found.schema().clone()).ok().as_ref() != Some(tenant.schema()) {
            tally.wrong.fetch_add(1, Ordering::Relaxed);
        }
        return;
    }
    let done = catch_unwind(AssertUnwindSafe(|| {
        pool.transaction(tenant, |conn| {
            look(conn)?;
            let saved = act_out(conn, own, act)?;
            // Who has moved the path, became another role, or ended the transaction, sees what he asked for.
            if ![8, 18].contains(&act) && act < 20 {
                look(conn)?;
            }
            Ok::<_, Error>(saved)
        })
    }));
    match (act, done) {
        (_, Ok(Ok(saved))) => {
            tally.saved[which].fetch_add(saved, Ordering::Relaxed);
        }
        // Each error is one that the act asks for.
        (10, Err(_)) => {}
        (11..=14, Ok(Err(error))) if error.kind() == ErrorKind::Database => {}
        (15 | 16, Ok(Err(error))) if error.kind() == ErrorKind::ConnectionFailed => {}
        (20..=23, Ok(Err(error))) if error.kind() == ErrorKind::TransactionEnded => {}
        (_, Ok(Err(error))) if error.kind() == ErrorKind::OutcomeUnknown => {
            tally.unknown.fetch_add(1, Ordering::Relaxed);
        }
        (act, Ok(Err(error))) => {
            let text = format!("{act}: {:?}: {}", error.kind(), error.chain());
            tally.unexpected.lock().unwrap().push(text);
        }
        (act, Err(_)) => tally
            .unexpected
            .lock()
            .unwrap()
            .push(format!("{act}: panic")),
    }
}

fn do_deed(conn: &mut TenantConnection, owner: &str, mood: Mood) -> QueryResult<usize> {
    diesel::insert_into(deeds::table)
        .values((deeds::owner.eq(owner), deeds::mood.eq(mood)))
        .execute(conn)
}

/// Says how many rows of the tenant's own are saved when the transaction is.
fn act_out(conn: &mut TenantConnection, own: &str, act: u64) -> Result<usize, Error> {
    match act {
        1..=5 => {
            do_deed(conn, own, Mood::Glad)?;
            let last: Vec<(String, Mood)> = deeds::table
                .filter(deeds::mood.eq_any([Mood::Glad]))
                .select((deeds::owner, deeds::mood))
                .order(deeds::id.desc())
                .limit(5)
                .load(conn)?;
            assert!(
                last.iter()
                    .all(|deed| *deed == (own.to_owned(), Mood::Glad))
            );
            return Ok(1);
        }
        6 | 7 => {
            do_deed(conn, own, Mood::Sad)?;
            conn.transaction(|conn| {
                do_deed(conn, "half", Mood::Sad)?;
                conn.batch_execute("SELECT 1/0")
            })
            .unwrap_err();
            conn.transaction(|conn| do_deed(conn, own, Mood::Sad))?;
            return Ok(2);
        }
        8 => conn.batch_execute("SET search_path TO b, a")?,
        9 => conn.batch_execute(
            "CREATE TEMP TABLE notes (id int, body text, author int); LISTEN x; \
             DECLARE c CURSOR WITH HOLD FOR SELECT 1; SELECT pg_advisory_lock_shared(1)",
        )?,
        10 => {
            do_deed(conn, "half", Mood::Glad)?;
            panic!("on purpose");
        }
        11 => {
            do_deed(conn, "half", Mood::Glad)?;
            conn.batch_execute("SELECT 1/0")?;
        }
        12 => {
            // Swallowed: the commit tells.
            do_deed(conn, "half", Mood::Glad)?;
            let _ = conn.batch_execute("SELECT 1/0");
        }
        13 => {
            conn.batch_execute("INSERT INTO deeds (owner, mood) VALUES ('half', 'sad'); COMMIT")?
        }
        14 => conn.batch_execute("SELECT 1; ROLLBACK; INSERT INTO notes (body) VALUES ('x')")?,
        15 => conn.batch_execute("SELECT pg_terminate_backend(pg_backend_pid())")?,
        16 => {
            do_deed(conn, "half", Mood::Glad)?;
            let _ = conn.batch_execute("SELECT pg_terminate_backend(pg_backend_pid())");
        }
        17 => {
            let bare: &mut PgConnection = conn;
            bodies(bare)?;
        }
        18 => conn.batch_execute("SET ROLE pg_read_all_stats; SET timezone TO 'Asia/Tokyo'")?,
        // Past what can be refused: the bare connection.
        20 => bare(conn, "COMMIT")?,
        21 => bare(conn, "ROLLBACK")?,
        22 => bare(conn, "COMMIT; BEGIN")?,
        23 => bare(conn, "SET search_path TO b, a; ROLLBACK; BEGIN")?,
        _ => {}
    }
    Ok(0)
}

fn bare(conn: &mut TenantConnection, text: &str) -> QueryResult<()> {
    let bare: &mut PgConnection = conn;
    bare.batch_execute(text)
}

#[test]
fn a_checkup_finds_sessions_safe_where_each_connection_keeps_its_server_process() {
    let db = TestDb::new();
    let direct = PoolerCheckup::run(db.url()).unwrap();
    let safe = |checkup: &PoolerCheckup| {
        for mode in MODES {
            assert_eq!(
                checkup.verdict(mode),
                Verdict::Safe,
                "{mode:?}: {checkup:#?}"
            );
        }
        assert!(checkup.sessions_are_safe());
    };
    safe(&direct);
    let Some(pooler) = PgBouncer::start(db.url(), "session", 20) else {
        return;
    };
    safe(&PoolerCheckup::run(pooler.url()).unwrap());
    drop(pooler);
    // One that has been busy, and whose processes are all older than the checkup.
    let busy = PgBouncer::start(db.url(), "session", 4).unwrap();
    let before: Vec<_> = (0..4).map(|_| plain(busy.url())).collect();
    drop(before);
    let checkup = PoolerCheckup::run(busy.url()).unwrap();
    safe(&checkup);
    assert!(
        checkup.modes[0].reason.contains("connection 5 has to wait"),
        "{checkup:#?}"
    );
}

/// Some poolers take no notice of how a session is to start. A `RESET` leads elsewhere there.
#[test]
fn where_a_pooler_ignores_how_a_session_is_to_start_the_clean_sets_the_path() {
    let db = TestDb::new();
    let ignores = "ignore_startup_parameters = extra_float_digits, options";
    let Some(pooler) = PgBouncer::start_with(db.url(), "session", 4, ignores) else {
        return;
    };
    let options = format!("{}&options=-c%20work_mem%3D3MB", pooler.url());
    let start = try_value(&mut plain(&options), "SELECT current_setting('work_mem')").unwrap();
    assert_ne!(start, "3MB", "it takes notice");
    let pool = TenantPool::builder()
        .max_size(1)
        .without_listener()
        .build(pooler.url())
        .unwrap();
    let mut conn = pool.get_shared().unwrap();
    conn.batch_execute("SET app.x = 'y'").unwrap();
    let pid = try_value(&mut conn, "SELECT pg_backend_pid()").unwrap();
    drop(conn);
    let last = db.value(&format!(
        "SELECT query FROM pg_stat_activity WHERE pid = {pid}"
    ));
    assert!(
        last.contains("SET search_path TO pg_catalog,pg_temp"),
        "{last}"
    );
}

#[test]
fn a_checkup_finds_sessions_unsafe_where_server_processes_are_shared() {
    let db = TestDb::new();
    for (size, more) in [(1, ""), (20, ""), (20, "server_round_robin = 1")] {
        let Some(pooler) = PgBouncer::start_with(db.url(), "transaction", size, more) else {
            return;
        };
        // As many processes as there can be, so that each connection could have one of its own.
        let mut before: Vec<_> = (0..size).map(|_| plain(pooler.url())).collect();
        for conn in &mut before {
            conn.batch_execute("BEGIN").unwrap();
        }
        for conn in &mut before {
            conn.batch_execute("COMMIT").unwrap();
        }
        let checkup = PoolerCheckup::run(pooler.url()).unwrap();
        let verdicts = MODES.map(|mode| checkup.verdict(mode));
        let expected = [Verdict::Unsafe, Verdict::Unsafe, Verdict::Safe];
        assert_eq!(verdicts, expected, "{size} {more}: {checkup:#?}");
        assert!(!checkup.sessions_are_safe());
        assert!(checkup.modes.iter().take(2).all(|mode| mode.hint.is_some()));
    }
}

#[test]
fn a_checkup_finds_nothing_safe_where_transactions_are_refused() {
    let db = TestDb::new();
    let Some(pooler) = PgBouncer::start(db.url(), "statement", 20) else {
        return;
    };
    let checkup = PoolerCheckup::run(pooler.url()).unwrap();
    for mode in MODES {
        assert_eq!(checkup.verdict(mode), Verdict::Unsafe, "{checkup:#?}");
    }
}

#[test]
fn a_checkup_that_cannot_know_does_not_say_safe() {
    let db = TestDb::new();
    // More old processes than are tried; and no more than two clients, of which one is the checkup's
    // first connection.
    for (warm, more) in [(30, ""), (0, "max_client_conn = 2")] {
        let Some(pooler) = PgBouncer::start_with(db.url(), "session", 40, more) else {
            return;
        };
        let before: Vec<_> = (0..warm).map(|_| plain(pooler.url())).collect();
        drop(before);
        let checkup = PoolerCheckup::run(pooler.url()).unwrap();
        let verdicts = MODES.map(|mode| checkup.verdict(mode));
        let expected = [Verdict::Inconclusive, Verdict::Inconclusive, Verdict::Safe];
        assert_eq!(verdicts, expected, "{more}: {checkup:#?}");
        assert!(!checkup.sessions_are_safe());
    }
}
