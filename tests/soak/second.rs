//! The second process of the soak: another writer, which knows nothing of the pool that is watched.

use std::{
    io::{Read as _, Write as _},
    path::Path,
    sync::atomic::{AtomicBool, Ordering::Relaxed},
    time::Duration,
};

use boardinghouse_core::{
    Error, ErrorKind, Migrator, NewTenant, PgRegistry, Provisioner, Selection, Tenant, TenantId,
    TenantPool,
};
use diesel::{connection::SimpleConnection, prelude::*, sql_types};
use diesel_migrations::FileBasedMigrations;

use super::{TENANTS, URL, calm, journal::Event, journal::now};
use crate::stress::Dice;

/// How many threads change tenants, each its own ones.
const WRITERS: usize = 3;

/// How long the list of migrations gets.
const MIGRATIONS: usize = 40;

/// Sessions are killed in the first part of each period only, so that there are times in which a lost
/// connection has no excuse.
const PERIOD: u64 = 3_000_000;
const KILLING: u64 = 300_000;

/// The two ids between which a tenant is renamed. Both can be in use, by two tenants.
pub(super) fn ids(number: usize) -> [TenantId; 2] {
    [format!("t{number:03}"), format!("t{number:03}-moved")].map(|id| id.parse().unwrap())
}

/// Creates a tenant whose one note is its incarnation, in one transaction.
pub(super) fn create(pool: &TenantPool, id: &TenantId) -> Result<Tenant, Error> {
    let provisioner = Provisioner::new(pool.clone()).lock_wait(Duration::from_secs(2));
    pool.get_shared()?.transaction(|conn| {
        let tenant = provisioner.create_in(conn, &NewTenant::new(id.clone()))?;
        let insert = format!("INSERT INTO {}.notes (body) VALUES ($1)", tenant.schema());
        diesel::sql_query(insert)
            .bind::<sql_types::Text, _>(tenant.incarnation().to_string())
            .execute(conn)?;
        Ok(tenant)
    })
}

/// Does something that can be interrupted until it is done, or turns out to be done. Whoever kills a
/// session can take ours.
fn persist<T>(mut work: impl FnMut() -> Result<T, Error>) -> Option<T> {
    let mut last = None;
    for _ in 0..300 {
        match work() {
            Ok(done) => return Some(done),
            Err(error) => match error.kind() {
                // A commit whose answer was lost has done it.
                ErrorKind::TenantNotFound
                | ErrorKind::TenantExists
                | ErrorKind::TenantUnavailable => return None,
                _ => {
                    std::thread::sleep(Duration::from_millis(5));
                    last = Some(error);
                }
            },
        }
    }
    panic!("the second process gets nothing done: {last:?}")
}

/// One of the threads that change tenants.
struct Writer<'a> {
    pool: TenantPool,
    dice: Dice,
    migrations: &'a Path,
    number: usize,
}

impl Writer<'_> {
    fn tell(what: &str, incarnation: i64, begin: u64) {
        let event = Event {
            what: what.to_owned(),
            incarnation,
            begin,
            end: now(),
        };
        // One write a line, so that the threads' lines do not mix.
        let _ = std::io::stdout().write_all(format!("\n{event}\n").as_bytes());
    }

    fn provisioner(&self) -> Provisioner {
        Provisioner::new(self.pool.clone()).lock_wait(Duration::from_secs(2))
    }

    fn find(&self, id: &TenantId) -> Option<Tenant> {
        persist(|| PgRegistry::new(self.pool.clone()).find(id)).flatten()
    }

    /// Statements past the library, in one transaction.
    fn by_hand(&self, statements: &str) {
        persist(|| Ok(self.pool.get_shared()?.batch_execute(statements)?));
    }

    fn step(&mut self) {
        if self.dice.roll(8) == 0 && now() % PERIOD < KILLING {
            return self.kill();
        }
        let all = TENANTS / WRITERS;
        // Half of what happens does so to a few.
        let among = if self.dice.roll(2) == 0 { 2 } else { all };
        let number = self.number + WRITERS * self.dice.roll(among as u64) as usize;
        let ids = ids(number);
        let found = [self.find(&ids[0]), self.find(&ids[1])];
        let provisioner = self.provisioner();
        let begin = now();
        let (tenant, free) = match found {
            [None, None] => {
                persist(|| create(&self.pool, &ids[0]));
                return;
            }
            [Some(one), Some(other)] if self.dice.roll(3) == 0 => {
                let gone = if self.dice.roll(2) == 0 { one } else { other };
                persist(|| provisioner.delete(gone.id()));
                return Self::tell("delete", gone.incarnation(), begin);
            }
            [Some(one), Some(other)] => {
                // Each is where the other was, within moments.
                let aside = format!("{}-aside", ids[0]).parse().unwrap();
                for (from, to) in [
                    (one.id(), &aside),
                    (other.id(), one.id()),
                    (&aside, other.id()),
                ] {
                    persist(|| provisioner.rename(from, to));
                }
                Self::tell("rename", one.incarnation(), begin);
                return Self::tell("rename", other.incarnation(), begin);
            }
            [Some(tenant), None] => (tenant, &ids[1]),
            [None, Some(tenant)] => (tenant, &ids[0]),
        };
        let what = match self.dice.roll(20) {
            0..5 => {
                persist(|| provisioner.rename(tenant.id(), free));
                if self.dice.roll(2) == 0 {
                    // Another tenant, where this one was a moment ago.
                    persist(|| create(&self.pool, tenant.id()));
                }
                "rename"
            }
            5..8 => {
                persist(|| provisioner.delete(tenant.id()));
                // The deletion begins before the successor is there.
                persist(|| create(&self.pool, tenant.id()));
                "delete"
            }
            8..12 => {
                persist(|| provisioner.suspend(tenant.id()));
                std::thread::sleep(Duration::from_millis(self.dice.roll(20)));
                persist(|| provisioner.resume(tenant.id()));
                "suspend"
            }
            12..16 => {
                let to = match self.dice.roll(2) {
                    0 => "text".to_owned(),
                    _ => format!("varchar({})", 20 + self.dice.roll(1_000)),
                };
                self.by_hand(&format!(
                    "BEGIN; SET LOCAL lock_timeout TO '2s'; \
                     ALTER TABLE {}.notes ALTER body TYPE {to}; \
                     UPDATE boardinghouse.tenants SET epoch = DEFAULT WHERE id = '{}'; COMMIT",
                    tenant.schema(),
                    tenant.id()
                ));
                "alter"
            }
            _ => {
                self.migrate(&tenant);
                "migrate"
            }
        };
        Self::tell(what, tenant.incarnation(), begin);
    }

    /// Migrates a few tenants to the end of the list, which gets longer.
    fn migrate(&mut self, tenant: &Tenant) {
        if self.number == 0 && self.dice.roll(4) == 0 {
            let migrations = std::fs::read_dir(self.migrations).unwrap().count();
            if migrations < MIGRATIONS {
                add_migration(self.migrations, migrations);
            }
        }
        let mut few = vec![tenant.id().clone()];
        for _ in 0..2 {
            let number =
                self.number + WRITERS * self.dice.roll((TENANTS / WRITERS) as u64) as usize;
            few.extend(ids(number).into_iter().find(|id| self.find(id).is_some()));
        }
        few.sort();
        few.dedup();
        let source = FileBasedMigrations::from_path(self.migrations).unwrap();
        let migrator = Migrator::new(self.pool.clone())
            .tenants(source)
            .lock_wait(Duration::from_secs(2));
        persist(|| {
            migrator
                .run_selected(&Selection::Only(few.clone()))?
                .into_result()
        });
    }

    /// Kills some sessions, whosever they are.
    fn kill(&mut self) {
        let begin = now();
        let most = 1 + self.dice.roll(4);
        self.by_hand(&format!(
            "SELECT pg_terminate_backend(pid) FROM (SELECT pid FROM pg_stat_activity \
             WHERE datname = current_database() AND pid <> pg_backend_pid() \
             ORDER BY random() LIMIT {most}) AS victims"
        ));
        Self::tell("kill", 0, begin);
    }
}

fn add_migration(folder: &Path, number: usize) {
    // Under a name that does not count until it is whole.
    let whole = folder.join(format!("2026-02-01-{number:06}_column"));
    let part = folder.with_extension(number.to_string());
    std::fs::create_dir(&part).unwrap();
    let up = format!("ALTER TABLE notes ADD COLUMN c{number} int DEFAULT {number}");
    std::fs::write(part.join("up.sql"), up).unwrap();
    std::fs::write(part.join("down.sql"), "SELECT 1").unwrap();
    std::fs::rename(part, whole).unwrap();
}

/// Not a test of its own: it does nothing unless the soak starts it, and ends when its input does.
#[test]
fn second_process() {
    let Ok(url) = std::env::var(URL) else { return };
    let folder = tempfile::tempdir().unwrap();
    let migrations = folder.path().join("migrations");
    let first = migrations.join("2026-01-01-000000_first");
    std::fs::create_dir_all(&first).unwrap();
    let up = include_str!("../migrations/tenant/2026-01-01-000000_first/up.sql");
    std::fs::write(first.join("up.sql"), up).unwrap();
    std::fs::write(first.join("down.sql"), "SELECT 1").unwrap();
    let pool = TenantPool::builder()
        .max_size(5)
        .checkout_timeout(Duration::from_secs(3))
        .without_listener()
        .build_unchecked(&url);
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for number in 0..WRITERS {
            let (pool, migrations, over) = (pool.clone(), &*migrations, &over);
            scope.spawn(move || {
                let mut writer = Writer {
                    pool,
                    dice: Dice(0xD1B5_4A32_D192_ED03 ^ (number as u64 + 1)),
                    migrations,
                    number,
                };
                while !over.load(Relaxed) {
                    writer.step();
                    let pause = calm() * (10 + writer.dice.roll(30));
                    std::thread::sleep(Duration::from_millis(pause));
                }
            });
        }
        let _ = std::io::stdin().read_to_end(&mut Vec::new());
        over.store(true, Relaxed);
    });
}
