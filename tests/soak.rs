//! The soak: what a busy day holds, all at once and for as long as one likes. No row of another tenant,
//! never the bait, no checkout that hangs, and no error that nothing explains.
//!
//! Eight threads check tenants out, read, write and misbehave; a second process renames, suspends,
//! migrates, alters, deletes and creates tenants under them, and kills sessions; the server restarts.
//! `BOARDINGHOUSE_SOAK=10000000 cargo test --release -p boardinghouse-tests --test e2e soak` is the long
//! run. Each tenant's one note is its incarnation: a successor under the same name has another.

mod journal;
mod second;

use std::{
    collections::BTreeMap,
    io::{BufRead as _, BufReader},
    panic::{AssertUnwindSafe, catch_unwind},
    process::{Child, Command, Stdio},
    sync::{
        Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use boardinghouse_core::{
    Error, Migrator, PgRegistry, Tenant, TenantConnection, TenantPool, TenantStatus,
    embedded::Server,
};
use boardinghouse_tests::{BAIT, SHARED, TENANT, add_note, bodies, schema::notes};
use diesel::{
    connection::SimpleConnection,
    prelude::*,
    result::Error as DieselError,
    sql_types::{Nullable, Text},
};

use self::journal::{Event, Journal, Kind, Trouble, now};
use crate::stress::{Dice, quiet_panics};

const THREADS: usize = 8;
const CONNECTIONS: u32 = 5;
const TENANTS: usize = 200;

/// What tells the second process where the database is.
const URL: &str = "BOARDINGHOUSE_SOAK_URL";

const CHECKOUT_TIMEOUT: Duration = Duration::from_secs(3);

/// The timeout is to be honoured within a tenth. What the server takes to answer comes on top, by the
/// documentation of `get`: two seconds are what a shutdown that flushes everything may take on a machine
/// that is busy with other tests.
const LONGEST_GET: Duration = Duration::from_millis(3_300 + 2_000);

/// Nothing that a thread does between two checkouts takes longer, unless it hangs.
const LONGEST_TURN: Duration = Duration::from_secs(30);

/// Of a short run.
const RESTART_EVERY: Duration = Duration::from_secs(5);

fn checkouts() -> u64 {
    std::env::var("BOARDINGHOUSE_SOAK").map_or(8_000, |n| n.parse().unwrap())
}

/// How many times rarer than in a short run it is, for each checkout and in each second, that something
/// out of the ordinary happens: a long one is to get through as many checkouts as it is told to, and has
/// more of everything all the same.
fn calm() -> u64 {
    if checkouts() > 100_000 { 40 } else { 1 }
}

/// What a thread is at, for the one that watches.
#[derive(Default)]
struct Watched {
    /// When its `get` began, in microseconds; 0 between two.
    get: AtomicU64,
    turn: AtomicU64,
}

#[derive(Default)]
struct Soak {
    done: AtomicU64,
    served: AtomicU64,
    wrong: AtomicU64,
    bait: AtomicU64,
    panics: AtomicU64,
    slowest: AtomicU64,
    over: AtomicBool,
    watched: [Watched; THREADS],
    troubles: Mutex<Vec<Trouble>>,
    journal: Mutex<Journal>,
}

impl Soak {
    fn trouble(&self, kind: Kind, incarnation: i64, begin: u64, text: impl FnOnce() -> String) {
        self.troubles.lock().unwrap().push(Trouble {
            kind,
            incarnation,
            begin,
            end: now(),
            text: text(),
        });
    }

    /// Compares what was read with what is the tenant's.
    fn check(&self, tenant: &Tenant, begin: u64, read: QueryResult<Vec<String>>) -> bool {
        match read {
            Ok(rows) => {
                let right = rows == [tenant.incarnation().to_string()];
                if !right {
                    eprintln!("WRONG at {}: {tenant:?} read {rows:?}", now());
                    self.wrong.fetch_add(1, Relaxed);
                }
                if rows.iter().any(|row| row == BAIT) {
                    self.bait.fetch_add(1, Relaxed);
                }
                true
            }
            Err(error) => {
                let kind = Kind::of_query(&error);
                self.trouble(kind, tenant.incarnation(), begin, || error.to_string());
                false
            }
        }
    }

    fn checkout(
        &self,
        pool: &TenantPool,
        tenant: &Tenant,
        watched: &Watched,
        dice: &mut Dice,
    ) -> Option<Kind> {
        let begin = now();
        watched.get.store(begin, Relaxed);
        let got = pool.get(tenant);
        watched.get.store(0, Relaxed);
        self.slowest.fetch_max(now() - begin, Relaxed);
        let mut conn = match got {
            Ok(conn) => conn,
            Err(error) => {
                let kind = Kind::of(&error);
                self.trouble(kind, tenant.incarnation(), begin, || error.chain());
                return Some(kind);
            }
        };
        if conn.tenant().incarnation() != tenant.incarnation() {
            self.wrong.fetch_add(1, Relaxed);
        }
        self.served.fetch_add(1, Relaxed);
        let read = bodies(&mut conn);
        if !self.check(tenant, begin, read) {
            return None;
        }
        match dice.roll(3 * calm()) {
            0 => {
                if let Err(error) = self.work(tenant, &mut conn, dice) {
                    let kind = error.as_diesel().map_or(Kind::Other, Kind::of_query);
                    self.trouble(kind, tenant.incarnation(), begin, || error.chain());
                }
            }
            // An error of the borrower's own is its own business.
            1 => drop(self.misbehave(tenant, &mut conn, dice)),
            // Nothing but a plain select: nothing is cleaned.
            _ => {}
        }
        None
    }

    fn work(
        &self,
        tenant: &Tenant,
        conn: &mut TenantConnection,
        dice: &mut Dice,
    ) -> Result<(), Error> {
        match dice.roll(3) {
            0 => conn.transaction(|conn| {
                add_note(conn, "extra")?;
                diesel::delete(notes::table.filter(notes::body.eq("extra"))).execute(conn)?;
                Ok(())
            }),
            1 => {
                let rolled_back = conn.transaction::<(), Error, _>(|conn| {
                    add_note(conn, "never")?;
                    Err(DieselError::RollbackTransaction.into())
                });
                match rolled_back {
                    Err(error) if error.as_diesel() != Some(&DieselError::RollbackTransaction) => {
                        Err(error)
                    }
                    _ => Ok(()),
                }
            }
            _ => {
                let own = tenant.incarnation().to_string();
                let mine = notes::table.filter(notes::body.eq(&own));
                let changed = diesel::update(mine)
                    .set(notes::body.eq(&own))
                    .execute(conn)?;
                if changed != 1 {
                    eprintln!("WRONG at {}: {tenant:?} wrote {changed} rows", now());
                    self.wrong.fetch_add(1, Relaxed);
                }
                Ok(())
            }
        }
    }

    /// Does something that must not reach the next borrower.
    fn misbehave(
        &self,
        tenant: &Tenant,
        conn: &mut TenantConnection,
        dice: &mut Dice,
    ) -> Result<(), Error> {
        // What the borrower before left is not to be seen.
        let left = "pg_catalog.current_setting('soak.left', true)";
        let left = diesel::dsl::sql::<Nullable<Text>>(left);
        if let Some(left) = diesel::select(left).get_result::<Option<String>>(conn)?
            && !left.is_empty()
        {
            eprintln!("WRONG at {}: {tenant:?} found what was left", now());
            self.wrong.fetch_add(1, Relaxed);
        }
        match dice.roll(40) {
            0 => conn.batch_execute("BEGIN")?,
            1 => conn.batch_execute("BEGIN; INSERT INTO notes (body) VALUES ('half')")?,
            2 | 17..=20 => conn.batch_execute("SET search_path TO public")?,
            3 => conn.batch_execute("SET search_path TO t001, t002, t000")?,
            4 => conn.batch_execute("SET ROLE pg_read_all_data")?,
            5 | 21 => {
                conn.batch_execute("CREATE TEMP TABLE notes (id int, body text, author int)")?
            }
            6 => conn.batch_execute("SELECT 1/0")?,
            7 => panic!("on purpose"),
            8 => conn.batch_execute("BEGIN; SELECT 1/0")?,
            9 if dice.roll(20) == 0 => {
                conn.batch_execute("SELECT pg_terminate_backend(pg_backend_pid())")?;
            }
            10 => conn.batch_execute("LISTEN x; DECLARE c CURSOR WITH HOLD FOR SELECT 1")?,
            11 => conn.batch_execute("SELECT pg_advisory_lock_shared(1)")?,
            12 | 13 | 22..=26 => {
                // The bare connection, whose statements carry no tag.
                let begin = now();
                let bare: &mut PgConnection = conn;
                let read = bodies(bare);
                self.check(tenant, begin, read);
            }
            14 => conn.batch_execute("DEALLOCATE ALL")?,
            15 => conn.batch_execute("SELECT pg_advisory_unlock_all()")?,
            16 | 27..=30 => {
                // Queries of Diesel's that are no plain selects.
                let (name, value) = match dice.roll(2) {
                    0 => ("search_path", "public, pg_temp"),
                    _ => ("soak.left", "yes"),
                };
                let set = format!("pg_catalog.set_config('{name}', '{value}', false)");
                diesel::select(diesel::dsl::sql::<Text>(&set)).get_result::<String>(conn)?;
            }
            // Harmless, but not a plain select.
            _ => conn.batch_execute("SET work_mem TO '1MB'")?,
        }
        Ok(())
    }

    /// One thread's checkouts.
    fn borrow(&self, pool: &TenantPool, thread: usize) {
        let mut dice = Dice(0x9E37_79B9_7F4A_7C15 ^ (thread as u64 + 1));
        let watched = &self.watched[thread];
        let registry = PgRegistry::new(pool.clone());
        let mut tenants: Vec<Tenant> = Vec::new();
        let mut left = 0;
        while self.done.fetch_add(1, Relaxed) < checkouts() && !self.over.load(Relaxed) {
            watched.turn.store(now(), Relaxed);
            if left == 0 || tenants.is_empty() {
                let begin = now();
                match registry.list() {
                    Ok(read) => tenants = read,
                    Err(error) => self.trouble(Kind::of(&error), 0, begin, || error.chain()),
                }
                tenants.retain(|tenant| tenant.status() == TenantStatus::Ready);
                left = 50 + dice.roll(400);
                continue;
            }
            left -= 1;
            // Half of the checkouts are of a few, so that some stay on the tenant.
            let among = if dice.roll(2) == 0 {
                8
            } else {
                tenants.len() as u64
            };
            let chosen = dice.roll(among) as usize % tenants.len();
            let tenant = tenants[chosen].clone();
            let borrowed = catch_unwind(AssertUnwindSafe(|| {
                self.checkout(pool, &tenant, watched, &mut dice)
            }));
            match borrowed {
                // Who was told so does not ask for ever.
                Ok(Some(Kind::Deleted)) if dice.roll(3) == 0 => drop(tenants.swap_remove(chosen)),
                Ok(_) => {}
                Err(panic) if panic.downcast_ref::<&str>() == Some(&"on purpose") => {}
                Err(_) => drop(self.panics.fetch_add(1, Relaxed)),
            }
        }
        watched.turn.store(0, Relaxed);
    }

    /// Ends the process when a thread hangs: it could not be waited for. Restarts the server now and then.
    fn watch(&self, pool: &TenantPool, server: &mut Server) {
        let started = Instant::now();
        let (mut told, mut restarted, mut restarts) = (Instant::now(), Instant::now(), 0);
        let (mut done_before, long) = (0, calm() > 1);
        while !self.over.load(Relaxed) {
            std::thread::sleep(Duration::from_millis(50));
            for (number, watched) in self.watched.iter().enumerate() {
                let now = now();
                let since = |at: &AtomicU64| match at.load(Relaxed) {
                    0 => Duration::ZERO,
                    at => Duration::from_micros(now.saturating_sub(at)),
                };
                if since(&watched.get) > LONGEST_GET || since(&watched.turn) > LONGEST_TURN {
                    eprintln!(
                        "HUNG: thread {number}, a get for {:?}, all for {:?}; {:?}",
                        since(&watched.get),
                        since(&watched.turn),
                        pool.state()
                    );
                    std::process::exit(101);
                }
            }
            let done = self.done.load(Relaxed);
            if long && told.elapsed() >= Duration::from_secs(10) {
                let rate = (done - done_before) as f64 / told.elapsed().as_secs_f64();
                eprintln!(
                    "{:4} s: {done} checkouts, {rate:.0} a second; {:?}",
                    started.elapsed().as_secs(),
                    pool.state().counters
                );
                (told, done_before) = (Instant::now(), done);
            }
            let every = RESTART_EVERY * u32::try_from(calm()).unwrap();
            if restarted.elapsed() > every || (restarts == 0 && done > checkouts() / 2) {
                let begin = now();
                server.restart().unwrap();
                self.journal.lock().unwrap().add(Event {
                    what: "restart".into(),
                    incarnation: 0,
                    begin,
                    end: now(),
                });
                (restarted, restarts) = (Instant::now(), restarts + 1);
            }
        }
    }

    fn verdict(&self, pool: &TenantPool, took: Duration) {
        let journal = self.journal.lock().unwrap();
        let mut kinds = BTreeMap::new();
        let mut unexplained = Vec::new();
        for trouble in &*self.troubles.lock().unwrap() {
            *kinds.entry(trouble.kind).or_insert(0) += 1;
            if !journal.excuses(trouble) {
                unexplained.push(trouble.clone());
            }
        }
        let done = checkouts();
        eprintln!(
            "{done} checkouts in {:.0} s, {:.0} a second, {} served; {} wrong, {} bait, {} unexplained \
             errors of {kinds:?}; the slowest get {:?}; events {:?}; {:?}",
            took.as_secs_f64(),
            done as f64 / took.as_secs_f64(),
            self.served.load(Relaxed),
            self.wrong.load(Relaxed),
            self.bait.load(Relaxed),
            unexplained.len(),
            Duration::from_micros(self.slowest.load(Relaxed)),
            journal.counts(),
            pool.state(),
        );
        let read = |counter: &AtomicU64| counter.load(Relaxed);
        assert_eq!(
            (read(&self.wrong), read(&self.bait), read(&self.panics)),
            (0, 0, 0)
        );
        for trouble in unexplained.iter().take(20) {
            let Trouble {
                kind,
                incarnation,
                begin,
                end,
                text,
            } = trouble;
            eprintln!("{kind:?}, tenant {incarnation}, {begin} to {end}: {text}");
        }
        assert!(
            unexplained.is_empty(),
            "{} errors have no excuse",
            unexplained.len()
        );
        assert!(read(&self.served) * 2 > done, "most checkouts were refused");
        assert!(journal.counts().len() == 7, "not everything happened");
    }
}

fn second_process(url: &str) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "soak::second::second_process", "--nocapture"])
        .env(URL, url)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap()
}

#[test]
fn nothing_wrong_is_ever_read_while_tenants_are_changed_by_another_process() {
    quiet_panics();
    let mut server = Server::builder()
        .setting("lc_messages", "C")
        .start()
        .unwrap();
    let url = server.socket_url().to_owned();
    let pool = TenantPool::builder()
        .max_size(CONNECTIONS)
        .checkout_timeout(CHECKOUT_TIMEOUT)
        .build(&url)
        .unwrap();
    Migrator::new(pool.clone())
        .shared(SHARED)
        .tenants(TENANT)
        .run()
        .and_then(|report| report.into_result())
        .unwrap();
    for number in 0..TENANTS {
        second::create(&pool, &second::ids(number)[0]).unwrap();
    }
    let soak = Soak::default();
    let mut second = second_process(&url);
    let lines = BufReader::new(second.stdout.take().unwrap()).lines();
    let started = Instant::now();
    std::thread::scope(|scope| {
        let (soak, pool, server) = (&soak, &pool, &mut server);
        let borrowers: Vec<_> = (0..THREADS)
            .map(|thread| scope.spawn(move || soak.borrow(pool, thread)))
            .collect();
        scope.spawn(move || soak.watch(pool, server));
        scope.spawn(move || {
            for event in lines
                .map_while(Result::ok)
                .filter_map(|line| Event::parse(&line))
            {
                soak.journal.lock().unwrap().add(event);
            }
            // Without the other process there is nothing to see.
            soak.over.store(true, Relaxed);
        });
        let failed = borrowers.into_iter().any(|thread| thread.join().is_err());
        soak.over.store(true, Relaxed);
        drop(second.stdin.take());
        assert!(!failed && second.wait().unwrap().success());
    });
    soak.verdict(&pool, started.elapsed());
}
