//! The application under test, on a server of its own.

use std::{net::SocketAddr, sync::mpsc, thread};

use actix_web::{
    App, HttpRequest, HttpResponse, HttpServer, Responder,
    dev::ServerHandle,
    rt::System,
    web::{self, Json},
};
use boardinghouse_actix::{Error, SharedDb, Tenancy, Tenant, TenantDb};
use boardinghouse_core::{ErrorKind, NewTenant, Provisioner};
use diesel::{
    QueryResult, RunQueryDsl as _,
    dsl::sql,
    prelude::*,
    sql_types::{Array, Integer, Text},
};

diesel::table! {
    notes { id -> Integer, body -> Text }
}

diesel::table! {
    signups (tenant) { tenant -> Text }
}

async fn bodies(db: TenantDb) -> Result<String, Error> {
    let found = db.run(|conn| notes::table.select(notes::body).load::<String>(conn));
    Ok(found.await?.join(","))
}

async fn note(db: TenantDb, id: web::Path<i32>) -> Result<String, Error> {
    let query = notes::table.find(id.into_inner()).select(notes::body);
    let found = db.run(move |conn| query.first::<String>(conn).optional());
    Ok(found.await?.unwrap_or_default())
}

async fn whoami(tenant: Tenant, db: TenantDb) -> Result<impl Responder, Error> {
    let query = diesel::select(sql::<Text>("current_schema()::text"));
    let schema = db.run(move |conn| query.get_result::<String>(conn)).await?;
    Ok(Json(serde_json::json!({
        "tenant": tenant.id(),
        "schema": schema,
        "routed_by": tenant.routed_by(),
        "base_path": tenant.base_path(),
    })))
}

async fn target(request: HttpRequest, tenant: Tenant) -> String {
    format!("{} <- {}", request.uri(), tenant.original_uri())
}

async fn shared(db: SharedDb) -> Result<String, Error> {
    db.run(|conn| {
        let path = sql::<Array<Text>>("current_schemas(false)::text[]");
        let path: Vec<String> = diesel::select(path).get_result(conn)?;
        let bodies = notes::table.select(notes::body).load::<String>(conn)?;
        QueryResult::Ok(format!("{} {}", path.join(","), bodies.join(",")))
    })
    .await
}

/// Waits for whoever holds advisory lock 1.
async fn slow(db: TenantDb) -> Result<String, Error> {
    db.run(|conn| {
        conn.transaction(|conn| {
            diesel::select(sql::<Integer>(
                "(SELECT 1 FROM (SELECT pg_advisory_xact_lock_shared(1)) locked)",
            ))
            .execute(conn)?;
            notes::table.select(notes::body).first::<String>(conn)
        })
    })
    .await
}

async fn broken(db: TenantDb) -> Result<String, Error> {
    let query = diesel::sql_query("SELECT * FROM no_such_table_at_all");
    db.run(|conn| query.execute(conn)).await?;
    Ok(String::new())
}

async fn panics(db: TenantDb) -> Result<String, Error> {
    db.run(|_| -> QueryResult<String> { panic!("on purpose") })
        .await
}

pub(crate) fn routes(app: &mut web::ServiceConfig) {
    app.route("/notes", web::get().to(bodies))
        .route("/notes", web::post().to(add))
        .route("/signup/{id}", web::post().to(sign_up))
        .service(web::scope("/notes").route("/{id}", web::get().to(note)))
        .route("/whoami", web::get().to(whoami))
        .route("/target", web::get().to(target))
        .route("/shared", web::get().to(shared))
        .route("/slow", web::get().to(slow))
        .route("/broken", web::get().to(broken))
        .route("/panics", web::get().to(panics))
        .route("/healthz", web::get().to(healthz));
}

/// Creates a tenant, and one of its hosts as the application's own row about it.
async fn sign_up(
    db: SharedDb,
    provisioner: web::Data<Provisioner>,
    id: web::Path<String>,
) -> Result<HttpResponse, Error> {
    let new = NewTenant::new(id.parse()?);
    let created = db.run(move |conn| {
        conn.transaction::<_, boardinghouse_core::Error, _>(|conn| {
            let created = provisioner.create_in(conn, &new)?;
            diesel::insert_into(signups::table)
                .values(signups::tenant.eq(created.id().as_str()))
                .execute(conn)?;
            Ok(created)
        })
    });
    match created.await {
        Ok(created) => Ok(HttpResponse::Created().body(created.id().to_string())),
        Err(error) if error.kind() == Some(ErrorKind::TenantExists) => {
            Ok(HttpResponse::Conflict().finish())
        }
        Err(error) => Err(error),
    }
}

enum AppError {
    TooMany,
    Query(diesel::result::Error),
}

impl From<diesel::result::Error> for AppError {
    fn from(error: diesel::result::Error) -> Self {
        Self::Query(error)
    }
}

/// A tenant may have two notes.
async fn add(db: TenantDb, body: String) -> Result<HttpResponse, Error> {
    let added = db.run(move |conn| {
        let result = conn.transaction::<_, AppError, _>(|conn| {
            diesel::insert_into(notes::table)
                .values(notes::body.eq(body))
                .execute(conn)?;
            let count: i64 = notes::table.count().get_result(conn)?;
            if count > 2 {
                return Err(AppError::TooMany);
            }
            Ok(())
        });
        match result {
            Err(AppError::Query(error)) => Err(error),
            result => Ok(result),
        }
    });
    Ok(match added.await? {
        Ok(()) => HttpResponse::Created().finish(),
        Err(_) => HttpResponse::Conflict().finish(),
    })
}

async fn healthz(tenant: Option<Tenant>) -> String {
    tenant.map_or("ok".to_owned(), |tenant| format!("tenant {}", tenant.id()))
}

/// A server on a free port; stopped when it is dropped.
pub(crate) struct Server {
    pub(crate) at: SocketAddr,
    handle: ServerHandle,
    thread: Option<thread::JoinHandle<()>>,
}

pub(crate) fn serve(tenancy: Tenancy, workers: usize) -> Server {
    serve_routes(tenancy, workers, routes)
}

/// The same, with routes of the test's own.
pub(crate) fn serve_routes(
    tenancy: Tenancy,
    workers: usize,
    routes: fn(&mut web::ServiceConfig),
) -> Server {
    run(move || {
        let provisioner = Provisioner::new(tenancy.registry().pool().clone());
        let provisioner = web::Data::new(provisioner);
        let app = move || {
            App::new()
                .wrap(tenancy.middleware())
                .app_data(provisioner.clone())
                .configure(routes)
        };
        let server = HttpServer::new(app)
            .workers(workers)
            .disable_signals()
            .bind("127.0.0.1:0")
            .unwrap();
        (server.addrs()[0], server.run())
    })
}

/// The same, with a server of the test's own.
pub(crate) fn run(
    start: impl FnOnce() -> (SocketAddr, actix_web::dev::Server) + Send + 'static,
) -> Server {
    let (tell, told) = mpsc::channel();
    let thread = thread::spawn(move || {
        System::new().block_on(async {
            let (at, server) = start();
            tell.send((at, server.handle())).unwrap();
            server.await.unwrap();
        });
    });
    let (at, handle) = told.recv().unwrap();
    Server {
        at,
        handle,
        thread: Some(thread),
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // The order is sent at once; the future only waits for it to be carried out.
        drop(self.handle.stop(false));
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}
