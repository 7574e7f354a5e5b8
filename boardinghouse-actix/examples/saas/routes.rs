//! The routes. None of them names a schema, or could reach another tenant's.

use actix_web::{
    Either, HttpRequest, HttpResponse, Responder,
    http::header::{self, Accept},
    web::{self, Form, FormConfig, Header, Json, Redirect, ServiceConfig},
};
use boardinghouse_actix::{Error, Tenant, TenantDb};
use diesel::QueryResult;
use serde::Deserialize;
use serde_json::json;

use crate::{
    notes,
    page::{self, Page},
};

const LONGEST: usize = 10_000;

pub(crate) fn routes(app: &mut ServiceConfig) {
    // A form may take 12 bytes for a character: four, each written as %XX.
    app.app_data(FormConfig::default().limit(LONGEST * 12 + 1024))
        .route("/", web::get().to(home))
        .service(
            web::resource("/notes")
                .route(web::get().to(list))
                .route(web::post().to(add)),
        )
        .route("/plans", web::get().to(plans))
        .route("/whoami", web::get().to(whoami))
        .route("/healthz", web::get().to(async || "ok\n"));
}

#[derive(Debug, Deserialize)]
struct NewNote {
    body: String,
}

impl NewNote {
    fn problem(&self) -> Option<&'static str> {
        match self.body.trim() {
            "" => Some("a note must not be empty"),
            body if body.chars().count() > LONGEST => {
                Some("a note must not be longer than 10,000 characters")
            }
            body if body.contains('\0') => Some("a note must not contain a zero character"),
            _ => None,
        }
    }
}

/// The path is exempt, so a tenant is there only where the path named one: `/t/acme/`.
async fn home(
    tenant: Option<Tenant>,
    request: HttpRequest,
) -> actix_web::Result<Either<Redirect, HttpResponse>> {
    Ok(match tenant {
        Some(tenant) => {
            Either::Left(Redirect::to(format!("{}/notes", tenant.base_path())).see_other())
        }
        None => Either::Right(page::directory(request.app_config().local_addr().port())?),
    })
}

async fn list(db: TenantDb, accept: Header<Accept>) -> actix_web::Result<HttpResponse> {
    if wants_html(&accept) {
        let page = load(&db, None).await?;
        return page::render(db.tenant(), &page);
    }
    let (notes, plans) = db
        .run(|conn| QueryResult::Ok((notes::list(conn)?, notes::plans(conn)?)))
        .await?;
    let body = json!({ "tenant": db.tenant().id(), "notes": notes, "plans": plans });
    Ok(HttpResponse::Ok()
        .insert_header((header::VARY, "Accept"))
        .json(body))
}

async fn add(
    db: TenantDb,
    note: Either<Json<NewNote>, Form<NewNote>>,
) -> actix_web::Result<HttpResponse> {
    let (note, from_page) = match note {
        Either::Left(Json(note)) => (note, false),
        Either::Right(Form(note)) => (note, true),
    };
    match note.problem() {
        Some(problem) if from_page => {
            let page = load(&db, Some((note.body, problem))).await?;
            page::render(db.tenant(), &page)
        }
        Some(problem) => Ok(HttpResponse::UnprocessableEntity().json(json!({ "error": problem }))),
        None => {
            let added = db
                .run(move |conn| notes::add(conn, note.body.trim(), None))
                .await?;
            let list = format!("{}/notes", db.tenant().base_path());
            Ok(if from_page {
                // To a GET, so that a reload does not add the note again.
                HttpResponse::SeeOther()
                    .insert_header((header::LOCATION, list))
                    .finish()
            } else {
                HttpResponse::Created().json(added)
            })
        }
    }
}

async fn plans(db: TenantDb) -> Result<impl Responder, Error> {
    Ok(Json(db.run(notes::plans).await?))
}

async fn whoami(tenant: Tenant, db: TenantDb) -> Result<impl Responder, Error> {
    let schema = db.run(notes::schema).await?;
    Ok(Json(json!({
        "tenant": tenant.id(), "schema": schema, "routed_by": tenant.routed_by(),
    })))
}

/// Everything for the page, through one connection.
async fn load(db: &TenantDb, refused: Option<(String, &'static str)>) -> Result<Page, Error> {
    db.run(move |conn| {
        QueryResult::Ok(Page {
            schema: notes::schema(conn)?,
            notes: notes::list(conn)?,
            plans: notes::plans(conn)?,
            refused,
        })
    })
    .await
}

/// Whether HTML comes before JSON in what the client would like. curl, which takes all, gets JSON.
fn wants_html(accept: &Accept) -> bool {
    let ranked = accept.ranked();
    let first = ranked.iter().find_map(|mime| match mime.essence_str() {
        "text/html" => Some(true),
        "application/json" => Some(false),
        _ => None,
    });
    first.unwrap_or(false)
}
