//! Other programs in a tenant, by a URL.

use std::time::Duration;

use boardinghouse_core::{ErrorKind, Layout, NewTenant, Provisioner, SchemaName, TenantPool};
use boardinghouse_tests::{TestDb, bodies, tenant, value};
use diesel::{Connection, PgConnection, connection::SimpleConnection};

#[test]
fn a_session_begins_on_the_tenants_path_and_comes_back_to_it() {
    let db = TestDb::new();
    let pool = db.pool(2);
    for (id, note) in [("a", "from-a"), ("b", "from-b")] {
        let url = pool.tenant_url(&tenant(&pool, id)).unwrap();
        assert!(!format!("{url:?}").contains("postgres"), "{url:?}");
        let mut conn = PgConnection::establish(url.as_str()).unwrap();
        assert_eq!(bodies(&mut conn).unwrap(), [note]);
        // Shared tables are there, too.
        assert_eq!(value(&mut conn, "SELECT count(*) > 0 FROM users"), "true");
        conn.batch_execute("SET search_path TO public; RESET ALL")
            .unwrap();
        assert_eq!(bodies(&mut conn).unwrap(), [note]);
    }
}

#[test]
fn whatever_the_schema_is_called_its_name_is_quoted() {
    let db = TestDb::new();
    let schemas = ["We \"ird\\ ", "o'n,e", "%41&b=c", "pg catalog"];
    let layout = Layout::default()
        .with_extra([SchemaName::existing(schemas[0]).unwrap()])
        .unwrap();
    for schema in schemas {
        let quoted = schema.replace('"', "\"\"");
        db.sql(&format!(
            "CREATE SCHEMA \"{quoted}\"; CREATE TABLE \"{quoted}\".notes (body text); \
             INSERT INTO \"{quoted}\".notes VALUES ('odd')"
        ));
    }
    let pool = db.pool_for(layout);
    for (n, schema) in schemas.iter().enumerate().skip(1) {
        let new = NewTenant::new(format!("n{n}").parse().unwrap())
            .adopt(SchemaName::existing(schema).unwrap());
        let odd = Provisioner::new(pool.clone()).create(&new).unwrap();
        let mut conn = PgConnection::establish(pool.tenant_url(&odd).unwrap().as_str()).unwrap();
        assert_eq!(value(&mut conn, "SELECT body FROM notes"), "odd");
        assert_eq!(value(&mut conn, "SELECT current_schema()"), *schema);
        assert_eq!(
            value(&mut conn, "SELECT current_setting('search_path')"),
            value(
                &mut *pool.get(&odd).unwrap(),
                "SELECT current_setting('search_path')"
            )
        );
    }
}

#[test]
fn there_is_no_url_where_the_tenant_is_not_served_or_the_path_would_be_lost() {
    let db = TestDb::new();
    let pool = db.pool(2);
    let (a, b) = (tenant(&pool, "a"), tenant(&pool, "b"));
    Provisioner::new(pool.clone()).suspend(b.id()).unwrap();
    assert_eq!(
        pool.tenant_url(&b).unwrap_err().kind(),
        ErrorKind::TenantUnavailable
    );
    db.sql("DROP SCHEMA a CASCADE");
    assert_eq!(
        pool.tenant_url(&a).unwrap_err().kind(),
        ErrorKind::SchemaUnavailable
    );
}

#[test]
fn options_that_the_url_has_stay() {
    let db = TestDb::new();
    let a = tenant(&db.pool(1), "a");
    let gap = if db.url().contains('?') { '&' } else { '?' };
    let own = "%6fptions=-cwork_mem%3D1MB%20-csearch_path%3Dpublic";
    let own = TenantPool::builder()
        .max_size(1)
        .build(&format!("{}{gap}{own}", db.url()))
        .unwrap();
    let first = own.tenant_url(&a).unwrap();
    // A way in through another way in.
    let second = TenantPool::builder()
        .max_size(1)
        .build(first.as_str())
        .unwrap();
    let second = second.tenant_url(&a).unwrap();
    for url in [first, second] {
        let mut conn = PgConnection::establish(url.as_str()).unwrap();
        assert_eq!(
            value(&mut conn, "SELECT current_setting('work_mem')"),
            "1MB"
        );
        assert_eq!(bodies(&mut conn).unwrap(), ["from-a"]);
    }
}

#[test]
fn while_it_lives_the_tenant_keeps_its_name() {
    let db = TestDb::new();
    let pool = db.pool(2);
    let url = pool.tenant_url(&tenant(&pool, "a")).unwrap();
    let hasty = Provisioner::new(db.pool(2)).lock_wait(Duration::ZERO);
    let id = "a".parse().unwrap();
    let renamed = hasty.rename(&id, &"other".parse().unwrap()).unwrap_err();
    assert_eq!(renamed.kind(), ErrorKind::Locked);
    assert_eq!(hasty.delete(&id).unwrap_err().kind(), ErrorKind::Locked);
    let mut conn = PgConnection::establish(url.as_str()).unwrap();
    assert_eq!(bodies(&mut conn).unwrap(), ["from-a"]);
    drop(url);
    hasty.delete(&id).unwrap();
}
