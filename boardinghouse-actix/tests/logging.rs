//! Every record of a request says of which tenant it is. A program of its own: the subscriber is global.
#![cfg(unix)]
#![expect(clippy::unwrap_used, reason = "this is how a test fails")]

#[expect(dead_code, reason = "other tests use the rest of it")]
#[path = "http/fixture.rs"]
mod fixture;

use std::{
    io::Write,
    sync::{Arc, Mutex},
};

use actix_web::{
    App,
    test::{TestRequest, call_service, init_service},
    web,
};
use boardinghouse_actix::{Error, Header, SharedDb, TenantDb};
use diesel::RunQueryDsl as _;
// Brings libpq.
use pq_sys as _;
use serde_json::Value;

#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

async fn work(db: TenantDb) -> Result<&'static str, Error> {
    tracing::info!("in the handler");
    db.run(|conn| {
        tracing::info!("in the closure");
        diesel::sql_query("SELECT 1").execute(conn)
    })
    .await?;
    Ok("done")
}

async fn fail(db: TenantDb) -> Result<&'static str, Error> {
    let query = diesel::sql_query("SELECT * FROM nothing_of_that_name");
    db.run(|conn| query.execute(conn)).await?;
    Ok("done")
}

async fn shared(db: SharedDb) -> Result<&'static str, Error> {
    tracing::info!("of no tenant");
    db.run(|conn| diesel::sql_query("SELECT 1").execute(conn))
        .await?;
    Ok("done")
}

#[actix_web::test]
async fn every_record_of_a_request_names_its_tenant() {
    let log = Log::default();
    let writer = log.clone();
    tracing_subscriber::fmt()
        .json()
        .with_max_level(tracing::Level::INFO)
        .with_writer(move || writer.clone())
        .init();
    let fixture = fixture::Fixture::new();
    let header = Header::new("x-tenant").unwrap();
    let peer: std::net::IpAddr = "127.0.0.1".parse().unwrap();
    let tenancy = fixture
        .tenancy()
        .resolver(header.trust([peer]))
        .exempt("/shared");
    let app = App::new()
        .wrap(tenancy.middleware())
        .route("/work", web::get().to(work))
        .route("/fail", web::get().to(fail))
        .route("/shared", web::get().to(shared));
    let app = init_service(app).await;
    log.0.lock().unwrap().clear();
    let ask = async |tenant: &str, path: &str| {
        let request = TestRequest::with_uri(path).peer_addr((peer, 4711).into());
        let request = request.insert_header(("x-tenant", tenant)).to_request();
        let status = call_service(&app, request).await.status().as_u16();
        let text = String::from_utf8(std::mem::take(&mut *log.0.lock().unwrap())).unwrap();
        let records: Vec<Value> = text
            .lines()
            .map(|l| serde_json::from_str(l).unwrap())
            .collect();
        (status, records)
    };
    let spans =
        |record: &Value| -> Vec<Value> { record["spans"].as_array().cloned().unwrap_or_default() };
    for tenant in ["acme", "globex", "acme"] {
        for (path, status, least) in [("/work", 200, 2), ("/fail", 500, 1)] {
            let (got, records) = ask(tenant, path).await;
            assert_eq!(got, status);
            assert!(records.len() >= least, "{records:?}");
            for record in &records {
                let span = &spans(record)[0];
                assert_eq!(span["tenant"], *tenant, "{record}");
                assert_eq!(span["routed_by"], "header", "{record}");
            }
        }
    }
    // Of no tenant, and of one that does not exist: records without, and no failure.
    let (status, records) = ask("acme", "/shared").await;
    assert_eq!((status, records.len()), (200, 1));
    assert!(spans(&records[0]).is_empty(), "{records:?}");
    let (status, records) = ask("nobody", "/work").await;
    assert_eq!((status, records.len()), (404, 1));
    assert!(spans(&records[0]).is_empty(), "{records:?}");
}
