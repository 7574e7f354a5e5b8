//! Many who want the same name, and sign-ups while others write. `BOARDINGHOUSE_RACES` makes it longer.

use std::{
    sync::atomic::{AtomicBool, AtomicUsize, Ordering},
    thread,
    time::{Duration, Instant},
};

use boardinghouse_core::{ErrorKind, NewTenant, Provisioner};
use boardinghouse_tests::TestDb;
use diesel::{Connection, PgConnection, connection::SimpleConnection};

fn rounds(short: usize) -> usize {
    std::env::var("BOARDINGHOUSE_RACES")
        .ok()
        .and_then(|rounds| rounds.parse().ok())
        .unwrap_or(short)
}

/// T18: of twenty that create one name, one wins, and the others are told so.
#[test]
fn of_twenty_that_create_one_tenant_one_wins() {
    let db = TestDb::new();
    for round in 0..rounds(5) {
        let won = AtomicUsize::new(0);
        thread::scope(|scope| {
            for _ in 0..20 {
                scope.spawn(|| {
                    // A process of its own has a pool of its own.
                    let provisioner = Provisioner::new(db.pool(1));
                    let id = format!("r{round}").parse().unwrap();
                    match provisioner.create(&NewTenant::new(id)) {
                        Ok(_) => drop(won.fetch_add(1, Ordering::SeqCst)),
                        Err(error) => {
                            assert_eq!(error.kind(), ErrorKind::TenantExists, "{error:?}")
                        }
                    }
                });
            }
        });
        assert_eq!(won.into_inner(), 1);
        assert_eq!(db.tables(&format!("r{round}")), db.tables("__template__"));
    }
}

/// T21: tenants come and go while four write the shared table that all of them refer to.
#[test]
fn signing_up_stalls_nobody_who_writes_a_shared_table() {
    let db = TestDb::new();
    db.sql("ALTER TABLE __template__.notes ADD CONSTRAINT of_user FOREIGN KEY (author) REFERENCES public.users");
    let over = AtomicBool::new(false);
    let (times, slowest) = thread::scope(|scope| {
        let writers: Vec<_> = (0..4)
            .map(|writer| {
                let (db, over) = (&db, &over);
                scope.spawn(move || {
                    let mut conn = PgConnection::establish(db.url()).unwrap();
                    let mut times = Vec::new();
                    let id = 1_000_000 + writer;
                    conn.batch_execute(&format!(
                        "INSERT INTO public.users (id, email) VALUES ({id}, '{id}')"
                    ))
                    .unwrap();
                    while !over.load(Ordering::Relaxed) {
                        let begun = Instant::now();
                        conn.batch_execute(&format!(
                            "BEGIN; UPDATE public.users SET id = id WHERE id = {id}; COMMIT"
                        ))
                        .unwrap();
                        times.push(begun.elapsed());
                    }
                    times
                })
            })
            .collect();
        let provisioner = Provisioner::new(db.pool(1));
        let mut slowest = Duration::ZERO;
        for number in 0..rounds(20) {
            let id: boardinghouse_core::TenantId = format!("n{number}").parse().unwrap();
            let begun = Instant::now();
            provisioner.create(&NewTenant::new(id.clone())).unwrap();
            slowest = slowest.max(begun.elapsed());
            provisioner.delete(&id).unwrap();
        }
        over.store(true, Ordering::Relaxed);
        let times = writers
            .into_iter()
            .flat_map(|writer| writer.join().unwrap());
        (times.collect::<Vec<_>>(), slowest)
    });
    let mut times = times;
    times.sort();
    let p99 = times[times.len() * 99 / 100];
    eprintln!(
        "{} writes, p99 {p99:?}, slowest {:?}; slowest create {slowest:?}",
        times.len(),
        times[times.len() - 1]
    );
}
