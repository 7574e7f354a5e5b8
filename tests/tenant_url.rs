//! Other programs in a tenant, by a URL.

use boardinghouse_core::{ErrorKind, Layout, NewTenant, Provisioner, SchemaName, TenantPool};
use boardinghouse_tests::{TestDb, bodies, tenant, value};
use diesel::{Connection, PgConnection, connection::SimpleConnection};

#[test]
fn a_session_begins_on_the_tenants_path_and_comes_back_to_it() {
    let db = TestDb::new();
    let pool = db.pool(2);
    for (id, note) in [("a", "from-a"), ("b", "from-b")] {
        let url = pool.tenant_url(&tenant(&pool, id)).unwrap();
        let mut conn = PgConnection::establish(&url).unwrap();
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
        let mut conn = PgConnection::establish(&pool.tenant_url(&odd).unwrap()).unwrap();
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
    let gap = if db.url().contains('?') { '&' } else { '?' };
    let own = format!("{}{gap}options=-cwork_mem%3D1MB", db.url());
    let own = TenantPool::builder().max_size(1).build(&own).unwrap();
    let error = own.tenant_url(&a).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
    assert!(error.to_string().contains("sets options"), "{error}");
    db.sql("DROP SCHEMA a CASCADE");
    assert_eq!(
        pool.tenant_url(&a).unwrap_err().kind(),
        ErrorKind::SchemaUnavailable
    );
}
