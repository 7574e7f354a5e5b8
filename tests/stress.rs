//! Many threads, few connections, and borrowers that misbehave in every way: no row of another
//! tenant, and never the bait (D07).

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::atomic::{AtomicUsize, Ordering},
};

use boardinghouse_core::{Error, ErrorKind, TenantConnection};
use boardinghouse_tests::{TestDb, add_note, bodies, tenant, value};
use diesel::{connection::SimpleConnection, prelude::*};

const THREADS: usize = 8;

/// How many checkouts in all: `BOARDINGHOUSE_STRESS=160000` for the long run.
fn checkouts() -> usize {
    std::env::var("BOARDINGHOUSE_STRESS").map_or(4_000, |n| n.parse().unwrap())
}

/// A small generator, so that a run can be repeated: xorshift64 (Marsaglia, 2003).
pub(crate) struct Dice(pub(crate) u64);

impl Dice {
    pub(crate) fn roll(&mut self, sides: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % sides
    }
}

/// From now on, panics that are meant are not shown.
pub(crate) fn quiet_panics() {
    static ONCE: std::sync::Once = std::sync::Once::new();
    ONCE.call_once(|| {
        let hook = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            if info.payload().downcast_ref::<&str>() != Some(&"on purpose") {
                hook(info);
            }
        }));
    });
}

/// Does something that must not reach the next borrower.
fn misbehave(conn: &mut TenantConnection, dice: &mut Dice, db: &TestDb) -> Result<(), Error> {
    match dice.roll(16) {
        0 => conn.batch_execute("BEGIN")?,
        1 => conn.batch_execute("BEGIN; INSERT INTO notes (body) VALUES ('half')")?,
        2 => conn.batch_execute("SET search_path TO public")?,
        3 => conn.batch_execute("SET search_path TO b, a")?,
        4 => conn.batch_execute("SET ROLE pg_read_all_stats")?,
        5 => conn.batch_execute("CREATE TEMP TABLE notes (id int, body text, author int)")?,
        6 => conn.batch_execute("SELECT 1/0")?,
        7 => panic!("on purpose"),
        8 => conn.transaction::<(), Error, _>(|conn| {
            add_note(conn, "rolled back")?;
            Err(diesel::result::Error::RollbackTransaction.into())
        })?,
        9 => conn.batch_execute("BEGIN; SELECT 1/0")?,
        10 => conn.batch_execute("SELECT pg_terminate_backend(pg_backend_pid())")?,
        11 => conn.batch_execute("LISTEN x; DECLARE c CURSOR WITH HOLD FOR SELECT 1")?,
        12 => conn.batch_execute("SELECT pg_advisory_lock_shared(1)")?,
        13 => {
            // The bare connection, whose statements carry no tag.
            let bare: &mut PgConnection = conn;
            bodies(bare)?;
        }
        14 if dice.roll(50) == 0 => db.disconnect_everybody(),
        _ => {}
    }
    Ok(())
}

#[test]
fn no_row_of_another_tenant_is_ever_seen() {
    let db = TestDb::new();
    // Different result types, so that a plan of the other tenant would not even run.
    db.sql("ALTER TABLE b.notes ALTER body TYPE varchar(100)");
    let pool = db.pool(3);
    let tenants = [
        (tenant(&pool, "a"), "from-a"),
        (tenant(&pool, "b"), "from-b"),
    ];
    let (wrong, refused) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let unexpected = std::sync::Mutex::new(Vec::new());
    quiet_panics();
    std::thread::scope(|scope| {
        for thread in 0..THREADS {
            let (db, pool, tenants, wrong, refused) = (&db, &pool, &tenants, &wrong, &refused);
            let unexpected = &unexpected;
            scope.spawn(move || {
                let mut dice = Dice(0x9E37_79B9_7F4A_7C15 ^ (thread as u64 + 1));
                for _ in 0..checkouts() / THREADS {
                    let (tenant, expected) = &tenants[dice.roll(2) as usize];
                    // A panic or an error of the borrower's own is its own business.
                    let _ = catch_unwind(AssertUnwindSafe(|| {
                        let mut conn = match pool.get(tenant) {
                            Ok(conn) => conn,
                            Err(error) => {
                                // Only connections that are being killed are an excuse.
                                if error.kind() == ErrorKind::ConnectionFailed {
                                    refused.fetch_add(1, Ordering::Relaxed);
                                } else {
                                    unexpected.lock().unwrap().push(error.chain());
                                }
                                return Ok(());
                            }
                        };
                        if let Ok(rows) = bodies(&mut conn)
                            && rows != [*expected]
                        {
                            eprintln!("{expected}: {rows:?}");
                            wrong.fetch_add(1, Ordering::Relaxed);
                        }
                        misbehave(&mut conn, &mut dice, db)
                    }));
                }
            });
        }
    });
    assert_eq!(
        wrong.into_inner(),
        0,
        "checkouts that saw rows which were not theirs"
    );
    assert_eq!(
        unexpected.into_inner().unwrap(),
        [""; 0],
        "errors that a checkout must not have"
    );
    let refused = refused.into_inner();
    assert!(
        refused * 100 <= checkouts(),
        "{refused} checkouts were refused"
    );
    let mut conn = pool.get(&tenants[0].0).unwrap();
    assert_eq!(value(&mut conn, "SELECT count(*) FROM public.notes"), "1");
    eprintln!("{} checkouts, 0 wrong rows, {refused} refused", checkouts());
}
