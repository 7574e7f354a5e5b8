//! Many processes at once: who creates the same tenant, and who takes from the same pool.

use std::{
    collections::BTreeSet,
    process::{Child, Stdio},
    thread,
};

use crate::fixture::{Fixture, Run};

const PROCESSES: usize = 20;

fn soak() -> bool {
    std::env::var_os("BOARDINGHOUSE_SOAK").is_some()
}

/// Runs the binary once for each list of arguments, all at the same time.
fn at_once<'a>(fixture: &Fixture, runs: impl IntoIterator<Item = &'a [&'a str]>) -> Vec<Run> {
    let start = |args: &[&str]| {
        let mut command = fixture.command(args);
        let command = command.stdout(Stdio::piped()).stderr(Stdio::piped());
        command.spawn().unwrap()
    };
    let children: Vec<Child> = runs.into_iter().map(start).collect();
    let end = |child: Child| child.wait_with_output().unwrap().into();
    children.into_iter().map(end).collect()
}

/// Of all who wanted it one has the tenant, the others were told so; it is whole, and no schema is left over.
#[track_caller]
fn one_of_them_won(fixture: &Fixture, id: &str, runs: &[Run]) {
    let won = runs.iter().filter(|run| run.code == 0).count();
    assert_eq!(won, 1, "{id}: {runs:#?}");
    for run in runs.iter().filter(|run| run.code != 0) {
        assert_eq!(run.code, 2, "{id}: {run:#?}");
        assert_eq!(run.error()["kind"], "TenantExists", "{id}: {run:#?}");
        assert_eq!(run.error()["tenant"], id, "{id}: {run:#?}");
    }
    let rows = format!("SELECT count(*) FROM boardinghouse.tenants WHERE id = '{id}'");
    assert_eq!(fixture.number(&rows), 1, "{id}");
    fixture.nobody_is_half_made();
}

/// Acceptance: 200 rounds of 20 processes, with `BOARDINGHOUSE_SOAK` set.
#[test]
fn of_many_processes_that_create_one_tenant_exactly_one_wins() {
    let fixture = Fixture::with_tenants(&["keeper"]);
    let kept = fixture.kept("keeper");
    let rounds = if soak() { 200 } else { 3 };
    for round in 0..rounds {
        let id = format!("r{round}");
        // Every other time there is something to be taken, which all of them want.
        if round % 2 == 1 {
            fixture.run(&["pool", "fill", "--size", "2"]).expect(0);
        }
        let create = ["--json", "tenant", "create", &id];
        let runs = at_once(&fixture, [&create[..]; PROCESSES]);
        one_of_them_won(&fixture, &id, &runs);
    }
    let (drift, all) = (fixture.run(&["drift"]), rounds + 1);
    drift.expect(0);
    let tenants = "SELECT count(*) FROM boardinghouse.tenants WHERE status = 'ready'";
    assert_eq!(fixture.number(tenants), all);
    assert_eq!(fixture.kept("keeper"), kept);
}

/// The same, where each goes about it in another way, and takes its locks in another order.
#[test]
fn of_processes_that_create_one_tenant_in_different_ways_exactly_one_wins() {
    let fixture = Fixture::with_tenants(&["keeper", "other"]);
    fixture.execute("INSERT INTO keeper.notes (body) SELECT 'kept' FROM generate_series(1, 100)");
    let kept = fixture.kept("keeper");
    for round in 0..if soak() { 50 } else { 2 } {
        let id = format!("r{round}");
        let ways = [
            &["--json", "tenant", "create", &id][..],
            &["--json", "tenant", "create", &id, "--defer"],
            &["--json", "tenant", "create", &id, "--clone", "keeper"],
            &["--json", "tenant", "rename", "other", &id],
        ];
        let runs = at_once(&fixture, ways.into_iter().cycle().take(PROCESSES));
        let won = runs.iter().filter(|run| run.code == 0).count();
        assert_eq!(won, 1, "{id}: {runs:#?}");
        for (number, run) in runs.iter().enumerate().filter(|(_, run)| run.code != 0) {
            let kind = run.error()["kind"].clone();
            // Of several who rename it, all but one find that it is gone, or is about to be.
            let renames =
                number % ways.len() == 3 && (kind == "TenantNotFound" || kind == "Locked");
            assert!(kind == "TenantExists" || renames, "{id}: {run:#?}");
        }
        fixture.run(&["provision", "--pending"]).expect(0);
        fixture.nobody_is_half_made();
        // Whoever won has its own rows and nobody else's.
        let rows = fixture.number(&format!("SELECT count(*) FROM {id}.notes"));
        let copied = runs.iter().skip(2).step_by(4).any(|run| run.code == 0);
        assert_eq!(rows, if copied { 100 } else { 0 }, "{id}");
        let others = "SELECT count(*) FROM boardinghouse.tenants WHERE id = 'other'";
        if fixture.number(others) == 0 {
            fixture.run(&["tenant", "rename", &id, "other"]).expect(0);
        }
    }
    fixture.run(&["drift"]).expect(0);
    assert_eq!(fixture.kept("keeper"), kept);
}

/// Acceptance: 8 processes and a pool of 50, with `BOARDINGHOUSE_SOAK` set.
#[test]
fn no_schema_of_the_pool_is_handed_to_two_processes() {
    let fixture = Fixture::with_tenants(&[]);
    let (pool, each) = if soak() { (50, 8) } else { (12, 2) };
    fixture
        .run(&["pool", "fill", "--size", &pool.to_string()])
        .expect(0);
    // The number that the server knows a schema by stays when it is renamed.
    let oids = |which: &str| -> BTreeSet<i64> {
        let all = format!(
            "SELECT coalesce(string_agg(n.oid::text, ' '), '') FROM pg_namespace AS n
             WHERE nspname IN (SELECT schema_name FROM boardinghouse.{which})"
        );
        let all = fixture.text(&all);
        all.split_whitespace().map(|n| n.parse().unwrap()).collect()
    };
    let ready = oids("ready_schemas");
    assert_eq!(ready.len(), pool);
    thread::scope(|scope| {
        for process in 0..8 {
            let fixture = &fixture;
            scope.spawn(move || {
                for number in 0..each {
                    let id = format!("p{process}-{number}");
                    fixture.run(&["tenant", "create", &id]).expect(0);
                }
            });
        }
    });
    let tenants = oids("tenants");
    assert_eq!(tenants.len(), 8 * each, "each has a schema of its own");
    assert!(tenants.is_superset(&ready), "all that waited were taken");
    assert!(oids("ready_schemas").is_empty());
    fixture.nobody_is_half_made();
    fixture.run(&["drift"]).expect(0);
}
