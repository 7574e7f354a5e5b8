//! The gate: does every tenant have what the program needs.

use boardinghouse_core::{ErrorKind, Gate, GateReport, Requirements, require_tables};
use boardinghouse_tests::{TestDb, schema};

mod more {
    diesel::table! {
        tags {
            id -> BigInt,
            names -> Array<Nullable<Text>>,
        }
    }
}

fn lines(report: &GateReport) -> Vec<String> {
    let groups = report.not_ready.iter();
    groups
        .flat_map(|group| {
            let targets = group.targets.iter().map(ToString::to_string);
            let targets = targets.collect::<Vec<_>>().join(", ");
            group
                .lacks
                .iter()
                .map(move |lack| format!("{targets}: {lack}"))
        })
        .collect()
}

#[test]
fn who_lacks_what_the_program_needs_is_not_ready() {
    let db = TestDb::new();
    let gate = Gate::new(db.pool(1));
    let required = require_tables!(schema::notes, schema::users);
    let report = gate.check(&required).unwrap();
    assert_eq!(lines(&report), [""; 0]);
    assert_eq!((report.ready, report.tables), (4, 2));
    assert!(report.is_ready());

    // What there is more is no fault.
    db.sql("ALTER TABLE b.notes ADD COLUMN more text; CREATE TABLE b.others (id integer)");
    // The shared schema's table of that name is none of the tenant's.
    db.sql(
        "ALTER TABLE a.notes RENAME TO gone; ALTER TABLE b.notes ALTER COLUMN body DROP NOT NULL",
    );
    let report = gate.check(&required).unwrap();
    let expected = [
        "tenant a: table notes is missing",
        "tenant b: column notes.body can be NULL",
    ];
    assert_eq!(lines(&report), expected);
    db.sql(
        "ALTER TABLE a.gone RENAME TO notes; ALTER TABLE a.notes ALTER COLUMN body TYPE varchar(20);
         ALTER TABLE b.notes DROP COLUMN body; ALTER TABLE b.notes ALTER COLUMN author TYPE bigint",
    );
    let report = gate.check(&required).unwrap();
    let expected = [
        "tenant b: column notes.body is missing",
        "tenant b: column notes.author is int8, not int4",
    ];
    assert_eq!(lines(&report), expected, "varchar is read as text");

    let report = gate.check(&require_tables!(more::tags)).unwrap();
    let all = "template __template__, tenant a, tenant b: table tags is missing";
    assert_eq!(lines(&report), [all]);
    db.sql(
        "CREATE TABLE __template__.tags (id bigint NOT NULL, names varchar(3)[] NOT NULL);
         CREATE TABLE a.tags (id bigint NOT NULL, names integer[] NOT NULL); DROP SCHEMA b CASCADE",
    );
    let report = gate.check(&require_tables!(more::tags)).unwrap();
    let expected = [
        "tenant b: the schema is missing",
        "tenant a: column tags.names is _int4, not _text",
    ];
    assert_eq!(lines(&report), expected);

    db.sql("ALTER TABLE public.users DROP COLUMN email");
    let report = gate.check(&require_tables!(schema::users)).unwrap();
    assert!(
        lines(&report).contains(&"shared schema public: column users.email is missing".to_owned())
    );
    let error = gate.check(&Requirements::new()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
}
