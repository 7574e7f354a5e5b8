//! `/notes` of the example `saas`, with tenants and without.

use std::{
    net::{SocketAddr, TcpListener},
    sync::mpsc,
    thread,
    time::Duration,
};

use actix_web::{
    App, HttpRequest, HttpServer,
    dev::ServerHandle,
    error::ErrorInternalServerError,
    rt::System,
    web::{self, Data, Json, ServiceConfig},
};
use boardinghouse_actix::{Error, Tenancy, TenantDb};
use diesel::{
    connection::LoadConnection,
    dsl::sql,
    pg::Pg,
    prelude::*,
    r2d2::{ConnectionManager, Pool},
    sql_types::{Integer, Nullable, Text},
};
use serde::Serialize;

use crate::{
    bare,
    qualified::Qualified,
    schema::{notes, plans, users},
};

/// The rival's pool.
pub(crate) type Plain = Pool<ConnectionManager<PgConnection>>;

#[derive(Serialize)]
struct Page {
    tenant: String,
    notes: Vec<Note>,
    plans: Vec<Plan>,
}

#[derive(Queryable, Serialize)]
struct Note {
    id: i32,
    body: String,
    author: Option<String>,
}

#[derive(Queryable, Serialize)]
struct Plan {
    name: String,
    price_cents: i32,
}

/// What the example reads for its answer, of whatever schema the connection is on.
fn page<C>(conn: &mut C, tenant: String) -> QueryResult<Page>
where
    C: Connection<Backend = Pg> + LoadConnection,
{
    Ok(Page {
        tenant,
        notes: notes::table
            .left_join(users::table)
            .select((notes::id, notes::body, users::email.nullable()))
            .order(notes::id)
            .load(conn)?,
        plans: plans::table
            .select((plans::name, plans::price_cents))
            .order(plans::price_cents)
            .load(conn)?,
    })
}

async fn of_a_tenant(db: TenantDb) -> Result<Json<Page>, Error> {
    let tenant = db.tenant().id().to_string();
    Ok(Json(db.run(move |conn| page(conn, tenant)).await?))
}

/// As actix-web's own examples do it.
async fn read(
    pool: Data<Plain>,
    work: impl FnOnce(&mut PgConnection) -> QueryResult<Page> + Send + 'static,
) -> actix_web::Result<Json<Page>> {
    let read = web::block(move || {
        let mut conn = pool.get().map_err(|error| error.to_string())?;
        work(&mut conn).map_err(|error| error.to_string())
    });
    let page = read.await?.map_err(ErrorInternalServerError)?;
    Ok(Json(page))
}

async fn of_nobody(pool: Data<Plain>) -> actix_web::Result<Json<Page>> {
    read(pool, |conn| page(conn, "nobody".to_owned())).await
}

/// Of the tenant that the host names, by statements that name its schema.
async fn of_a_schema(pool: Data<Plain>, request: HttpRequest) -> actix_web::Result<Json<Page>> {
    let schema = first_label(&request);
    read(pool, move |conn| {
        let notes = format!("{schema}.notes");
        by_text(conn, schema, "", &notes)
    })
    .await
}

/// Of the tenant that the host names, by the path and its proof, as one message, and statements that carry the
/// schema's name in a comment. It needs no ping.
async fn of_a_path(pool: Data<Plain>, request: HttpRequest) -> actix_web::Result<Json<Page>> {
    let schema = first_label(&request);
    read(pool, move |conn| {
        bare::bind(conn, &schema)?;
        let tag = format!("/*{schema}*/ ");
        by_text(conn, schema, &tag, "notes")
    })
    .await
}

fn first_label(request: &HttpRequest) -> String {
    let host = request.connection_info().host().to_owned();
    host.split('.').next().unwrap_or_default().to_owned()
}

/// The texts of Diesel for [`page`].
fn by_text(conn: &mut PgConnection, tenant: String, tag: &str, notes: &str) -> QueryResult<Page> {
    type Notes = (Integer, Text, Nullable<Text>);
    let notes = format!(
        "{tag}SELECT notes.id, notes.body, users.email FROM {notes} \
         LEFT OUTER JOIN users ON notes.author_id = users.id ORDER BY notes.id"
    );
    let plans =
        format!("{tag}SELECT plans.name, plans.price_cents FROM plans ORDER BY plans.price_cents");
    Ok(Page {
        tenant,
        notes: Qualified::<i32, Integer, Notes>::new(&notes, None).load(conn)?,
        plans: Qualified::<i32, Integer, (Text, Integer)>::new(&plans, None).load(conn)?,
    })
}

/// Waits for whoever holds advisory lock 1.
async fn slow(db: TenantDb) -> Result<String, Error> {
    let lock = "(SELECT 1 FROM (SELECT pg_advisory_xact_lock_shared(1)) AS locked)";
    let query = diesel::select(sql::<Integer>(lock));
    db.run(move |conn| query.get_result::<i32>(conn)).await?;
    Ok("slow".to_owned())
}

pub(crate) fn with_tenants(tenancy: Tenancy) -> Served {
    let tenancy = tenancy.exempt("/healthz");
    serve(move |listener| {
        let app = move || {
            let routes = |app: &mut ServiceConfig| {
                app.route("/notes", web::get().to(of_a_tenant))
                    .route("/slow", web::get().to(slow))
                    .route("/healthz", web::get().to(async || "ok"));
            };
            App::new().wrap(tenancy.middleware()).configure(routes)
        };
        HttpServer::new(app)
            .workers(WORKERS)
            .keep_alive(KEPT)
            .disable_signals()
            .listen(listener)
            .unwrap()
            .run()
    })
}

/// `/notes` is of one schema, `/qualified` and `/path` of that of a tenant.
pub(crate) fn without_tenants(pool: Plain) -> Served {
    let pool = Data::new(pool);
    serve(move |listener| {
        let app = move || {
            App::new()
                .app_data(pool.clone())
                .route("/notes", web::get().to(of_nobody))
                .route("/qualified", web::get().to(of_a_schema))
                .route("/path", web::get().to(of_a_path))
                .route("/healthz", web::get().to(async || "ok"))
        };
        HttpServer::new(app)
            .workers(WORKERS)
            .keep_alive(KEPT)
            .disable_signals()
            .listen(listener)
            .unwrap()
            .run()
    })
}

const WORKERS: usize = 2;
/// Longer than any of the servers waits for its turn.
const KEPT: Duration = Duration::from_secs(600);

/// A server on a free port; stopped when it is dropped.
pub(crate) struct Served {
    pub(crate) at: SocketAddr,
    handle: ServerHandle,
    thread: Option<thread::JoinHandle<()>>,
}

fn serve(start: impl FnOnce(TcpListener) -> actix_web::dev::Server + Send + 'static) -> Served {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let at = listener.local_addr().unwrap();
    let (tell, told) = mpsc::channel();
    let thread = thread::spawn(move || {
        System::new().block_on(async {
            let server = start(listener);
            tell.send(server.handle()).unwrap();
            server.await.unwrap();
        });
    });
    Served {
        at,
        handle: told.recv().unwrap(),
        thread: Some(thread),
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        // The order is sent at once; the future only waits for it to be carried out.
        drop(self.handle.stop(false));
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}
