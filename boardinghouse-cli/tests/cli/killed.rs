//! The program dies by `kill -9`, at any step of what it does to a tenant: nothing half-made is ever served,
//! nothing else is touched, and what is run again finishes.

use std::{
    process::{Child, Stdio},
    thread,
    time::Duration,
};

use diesel::{
    Connection, PgConnection, QueryableByName, RunQueryDsl, connection::SimpleConnection,
    sql_query, sql_types,
};

use crate::fixture::Fixture;

/// Whoever comes to the step with the number that `public.stop` says waits for a lock there: at a row of the
/// registry, at a command that defines something, at a row that is copied, and at the commit. A sequence
/// counts them, whoever rolls back.
const STEPS: &str = "
    CREATE SEQUENCE public.steps;
    CREATE TABLE public.stop (at bigint);
    INSERT INTO public.stop VALUES (0);
    CREATE FUNCTION public.step() RETURNS boolean LANGUAGE plpgsql
        SET lock_timeout TO 0 SET search_path TO pg_catalog AS $$
    DECLARE
        wanted bigint := (SELECT at FROM public.stop);
    BEGIN
        IF wanted > 0 AND nextval('public.steps') = wanted THEN
            PERFORM pg_advisory_xact_lock_shared(4711);
        END IF;
        RETURN true;
    END $$;
    CREATE FUNCTION public.step_of_row() RETURNS trigger LANGUAGE plpgsql
        AS 'BEGIN PERFORM public.step(); RETURN NULL; END';
    CREATE FUNCTION public.step_of_command() RETURNS event_trigger LANGUAGE plpgsql
        AS 'BEGIN PERFORM public.step(); END'";

const TRIGGERS: &str = "
    CREATE TRIGGER step AFTER INSERT OR UPDATE OR DELETE ON boardinghouse.tenants
        FOR EACH ROW EXECUTE FUNCTION public.step_of_row();
    CREATE CONSTRAINT TRIGGER last_step AFTER INSERT OR UPDATE OR DELETE ON boardinghouse.tenants
        DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION public.step_of_row();
    CREATE EVENT TRIGGER step ON ddl_command_end EXECUTE FUNCTION public.step_of_command()";

/// Something that a program does, and may die of.
struct Work {
    args: &'static [&'static str],
    /// What goes before it, and takes back what it did.
    prepare: fn(&Fixture),
    /// What is true when it is done, and not before.
    done: &'static str,
}

const CREATE: Work = Work {
    args: &["--json", "tenant", "create", "acme"],
    prepare: |fixture| delete(fixture, "acme"),
    done: "EXISTS (SELECT FROM boardinghouse.tenants WHERE id = 'acme' AND status = 'ready')",
};

const COPY: Work = Work {
    args: &["--json", "tenant", "create", "acme", "--clone", "keeper"],
    ..CREATE
};

const CLAIM: Work = Work {
    prepare: |fixture| {
        delete(fixture, "acme");
        fixture.run(&["pool", "fill", "--size", "1"]).expect(0);
    },
    ..CREATE
};

const RENAME: Work = Work {
    args: &["--json", "tenant", "rename", "mover", "moved"],
    prepare: |fixture| {
        delete(fixture, "moved");
        renew(fixture, "mover", &[]);
    },
    done: "EXISTS (SELECT FROM boardinghouse.tenants WHERE id = 'moved' AND schema_name = 'moved')",
};

const DELETE: Work = Work {
    args: &["--json", "tenant", "delete", "goner", "--yes"],
    prepare: |fixture| renew(fixture, "goner", &[]),
    done: "NOT EXISTS (SELECT FROM boardinghouse.tenants WHERE id = 'goner')",
};

const PROVISION: Work = Work {
    args: &["--json", "provision", "--pending"],
    prepare: |fixture| {
        renew(fixture, "first", &["--defer"]);
        renew(fixture, "second", &["--defer"]);
    },
    done: "2 = (SELECT count(*) FROM boardinghouse.tenants
                WHERE id IN ('first', 'second') AND status = 'ready')",
};

fn delete(fixture: &Fixture, id: &str) {
    let is_there = format!("SELECT count(*) FROM boardinghouse.tenants WHERE id = '{id}'");
    if fixture.number(&is_there) == 1 {
        let delete = ["tenant", "delete", id, "--yes"];
        fixture.run(&delete).expect(0);
    }
}

fn renew(fixture: &Fixture, id: &str, more: &[&str]) {
    delete(fixture, id);
    let create = [&["tenant", "create", id], more].concat();
    fixture.run(&create).expect(0);
}

fn fixture() -> Fixture {
    let fixture = Fixture::new();
    fixture.execute(STEPS);
    fixture.migration(
        "shared/2024-01-03-000000_key",
        "ALTER TABLE plans ADD PRIMARY KEY (id)",
    );
    fixture.migration(
        "tenant/2024-01-04-000000_more",
        "CREATE TABLE more (id serial PRIMARY KEY, note int REFERENCES notes,
             plan int REFERENCES public.plans, CHECK (public.step()));
         CREATE INDEX ON more (note);
         CREATE VIEW all_of AS SELECT id FROM more;
         COMMENT ON TABLE more IS 'more'",
    );
    fixture.run(&["migrate"]).expect(0);
    fixture.run(&["tenant", "create", "keeper"]).expect(0);
    fixture.execute(
        "INSERT INTO public.plans VALUES (1);
         INSERT INTO keeper.notes (body) SELECT 'kept' FROM generate_series(1, 3);
         INSERT INTO keeper.more (note, plan) VALUES (1, 1), (2, NULL)",
    );
    fixture.execute(TRIGGERS);
    fixture
}

#[derive(QueryableByName)]
struct Count {
    #[diesel(sql_type = sql_types::BigInt)]
    count: i64,
}

/// A session beside the program's.
struct Beside(PgConnection);

impl Beside {
    fn new(fixture: &Fixture) -> Self {
        Self(PgConnection::establish(&fixture.url).unwrap())
    }

    fn execute(&mut self, sql: &str) {
        self.0.batch_execute(sql).unwrap();
    }

    fn count(&mut self, sql: &str) -> i64 {
        sql_query(sql)
            .get_result::<Count>(&mut self.0)
            .unwrap()
            .count
    }

    /// Waits until the program waits at the step; false where it ends before it comes to that.
    fn sees_it_wait(&mut self, child: &mut Child) -> bool {
        loop {
            let ended = child.try_wait().unwrap().is_some();
            let waiting = "SELECT count(*) FROM pg_locks JOIN pg_database AS d ON d.oid = database
                WHERE locktype = 'advisory' AND objid = 4711 AND NOT granted
                  AND datname = current_database()";
            if self.count(waiting) > 0 {
                return true;
            }
            if ended {
                return false;
            }
            thread::yield_now();
        }
    }

    /// Waits until the server has noticed that nobody is there any more.
    fn is_alone(&mut self) {
        let others = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()
            AND pid <> pg_backend_pid() AND backend_type = 'client backend'";
        while self.count(others) > 0 {
            thread::yield_now();
        }
    }
}

fn start(fixture: &Fixture, work: &Work) -> Child {
    let mut command = fixture.command(work.args);
    let command = command.stdout(Stdio::null()).stderr(Stdio::null());
    command.spawn().unwrap()
}

/// `kill -9`.
fn kill(mut child: Child) {
    // It may have ended.
    let _ = child.kill();
    child.wait().unwrap();
}

/// What is true after the program has died: all as it was before, or all done, which is told; and then it is
/// done, whoever has to be asked again.
fn is_finished_when_it_is_run_again(fixture: &Fixture, work: &Work, kept: &str) -> bool {
    let is_done = || fixture.number(&format!("SELECT ({})::int", work.done)) == 1;
    fixture.nobody_is_half_made();
    assert_eq!(fixture.kept("keeper"), kept);
    let was_done = is_done();
    let again = fixture.run(work.args);
    if again.code != 0 {
        let kind = again.error()["kind"].clone();
        assert!(
            was_done && (kind == "TenantExists" || kind == "TenantNotFound"),
            "{again:#?}"
        );
    }
    assert!(is_done(), "{again:#?}");
    fixture.nobody_is_half_made();
    assert_eq!(fixture.kept("keeper"), kept);
    was_done
}

fn soak() -> bool {
    std::env::var_os("BOARDINGHOUSE_SOAK").is_some()
}

/// Kills the program at its first step, at its second, and so on, until it is through before it comes to one.
fn at_every_step(work: &Work, least: usize) {
    at_steps(work, least, 1);
}

/// The same, less all but each so many steps.
fn at_steps(work: &Work, least: usize, stride: usize) {
    let fixture = fixture();
    let kept = fixture.kept("keeper");
    let mut beside = Beside::new(&fixture);
    let mut done = Vec::new();
    for at in (1..).step_by(stride) {
        (work.prepare)(&fixture);
        beside.execute(&format!(
            "SELECT pg_advisory_lock(4711), setval('public.steps', 1, false);
             UPDATE public.stop SET at = {at}"
        ));
        let mut child = start(&fixture, work);
        let waits = beside.sees_it_wait(&mut child);
        kill(child);
        beside.execute("UPDATE public.stop SET at = 0; SELECT pg_advisory_unlock(4711)");
        beside.is_alone();
        let was_done = is_finished_when_it_is_run_again(&fixture, work, &kept);
        if !waits {
            assert!(was_done, "nobody killed it");
            break;
        }
        done.push(was_done);
    }
    assert!(done.len() >= least / stride, "{done:?}");
    eprintln!("{}: {} kills", work.args.join(" "), done.len());
    // Only who dies while the server commits has done it.
    let last = done.pop();
    assert!(stride > 1 || last == Some(true), "{done:?}");
    assert!(done.iter().all(|done| !done), "{done:?}");
    fixture.run(&["drift"]).expect(0);
}

#[test]
fn a_creator_that_is_killed_at_any_step_leaves_all_or_nothing() {
    at_every_step(&CREATE, 8);
}

#[test]
fn who_copies_a_tenant_and_is_killed_at_any_step_leaves_all_or_nothing() {
    // Two of the steps are rows.
    at_every_step(&COPY, 10);
}

#[test]
fn who_claims_a_schema_and_is_killed_at_any_step_leaves_all_or_nothing() {
    at_every_step(&CLAIM, 3);
}

#[test]
fn who_renames_a_tenant_and_is_killed_at_any_step_leaves_all_or_nothing() {
    at_every_step(&RENAME, 3);
}

#[test]
fn who_deletes_a_tenant_and_is_killed_at_any_step_leaves_all_or_nothing() {
    at_every_step(&DELETE, 3);
}

#[test]
fn who_provisions_tenants_and_is_killed_at_any_step_leaves_each_with_all_or_nothing() {
    // Two tenants are twice as many steps. All of them with `BOARDINGHOUSE_SOAK` set.
    at_steps(&PROVISION, 16, if soak() { 1 } else { 3 });
}

/// Acceptance: 200 kills at random moments, with `BOARDINGHOUSE_SOAK` set.
#[test]
fn a_program_that_is_killed_at_any_moment_leaves_all_or_nothing() {
    let fixture = fixture();
    let kept = fixture.kept("keeper");
    let kills = if soak() { 200 } else { 6 };
    let mut beside = Beside::new(&fixture);
    let mut seed = 7_u64;
    let (mut done, works) = (0, [CREATE, COPY, CLAIM, RENAME, DELETE, PROVISION]);
    // How long the program takes is found out on the way: it is killed earlier where it was through.
    let mut longest = [Duration::from_millis(100); 6];
    for (number, which) in (0..kills).zip((0..works.len()).cycle()) {
        let work = &works[which];
        (work.prepare)(&fixture);
        seed = seed
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        let child = start(&fixture, work);
        // The moment is by chance; nothing is waited for.
        thread::sleep(longest[which] * u32::try_from((seed >> 33) % 1_000).unwrap() / 1_000);
        kill(child);
        beside.is_alone();
        let was_done = is_finished_when_it_is_run_again(&fixture, work, &kept);
        longest[which] = longest[which] * if was_done { 9 } else { 11 } / 10;
        done += i32::from(was_done);
        if number % 50 == 49 {
            fixture.run(&["drift"]).expect(0);
        }
    }
    eprintln!("{kills} kills, {done} of them after the commit");
    fixture.run(&["drift"]).expect(0);
}
