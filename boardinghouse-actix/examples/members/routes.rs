//! The routes. None of them names a schema, or asks for a right to enter: that was done before.

use actix_web::{
    HttpRequest, HttpResponse,
    error::ErrorForbidden,
    http::header,
    web::{self, Data, ServiceConfig},
};
use boardinghouse_actix::{
    Error, SessionTenant, SessionUser, SharedDb, Tenant, TenantDb, TenantForm, Visitor,
};
use boardinghouse_core::{PgRegistry, Provisioner, TenantId, TenantStatus};
use serde::Deserialize;

use crate::{
    data,
    page::{self, Frame},
};

const LONGEST: usize = 10_000;

pub(crate) fn routes(app: &mut ServiceConfig) {
    // A form may take 12 bytes for a character: four, each written as %XX.
    app.app_data(web::PayloadConfig::new(LONGEST * 12 + 1024))
        .route("/", web::get().to(home))
        .route("/login", web::post().to(log_in))
        .route("/logout", web::post().to(log_out))
        .route("/notes", web::get().to(list))
        .route("/notes", web::post().to(add))
        .route("/notes/{id}", web::get().to(note))
        .route("/suspend", web::post().to(suspend))
        .route("/resume", web::post().to(resume))
        .route("/healthz", web::get().to(async || "ok\n"));
}

/// Who is not known logs in; who has no tenant chooses one.
async fn home(
    request: HttpRequest,
    frame: Frame,
    tenant: Option<Tenant>,
    db: SharedDb,
    registry: Data<PgRegistry>,
) -> actix_web::Result<HttpResponse> {
    if tenant.is_some() {
        return Ok(see("/notes"));
    }
    let Some(user) = frame.user() else {
        let people = db.run(data::people).await?;
        return page::login(&frame, &people);
    };
    // One that was suspended while somebody was in it.
    SessionTenant::leave(&request)?;
    let user = user.to_owned();
    let mine = web::block(move || registry.memberships(&user)).await?;
    let suspended: Vec<_> = mine
        .map_err(Error::from)?
        .into_iter()
        .filter(|of| of.role == "owner" && of.tenant.status() == TenantStatus::Suspended)
        .collect();
    page::choose(&frame, &suspended)
}

#[derive(Deserialize)]
struct LogIn {
    name: String,
}

/// Anybody is believed, here.
async fn log_in(
    request: HttpRequest,
    form: TenantForm<LogIn>,
    db: SharedDb,
) -> actix_web::Result<HttpResponse> {
    let name = form.into_inner().name;
    let known = name.clone();
    if !db.run(move |conn| data::is_person(conn, &known)).await? {
        return Err(ErrorForbidden("nobody of that name"));
    }
    SessionUser::log_in(&request, &name)?;
    Ok(see("/"))
}

/// A form without fields of its own.
#[derive(Deserialize)]
struct Nothing {}

async fn log_out(
    request: HttpRequest,
    form: Result<TenantForm<Nothing>, Error>,
) -> Result<HttpResponse, Error> {
    if form.is_ok() {
        SessionUser::log_out(&request)?;
    }
    Ok(see("/"))
}

async fn list(frame: Frame, db: TenantDb) -> actix_web::Result<HttpResponse> {
    let notes = db.run(data::list).await?;
    page::notes(&frame, db.tenant(), &notes, None)
}

#[derive(Deserialize)]
struct NewNote {
    body: String,
}

impl NewNote {
    fn problem(&self) -> Option<&'static str> {
        match self.body.trim() {
            "" => Some("A note must not be empty."),
            body if body.chars().count() > LONGEST => {
                Some("A note must not be longer than 10,000 characters.")
            }
            body if body.contains('\0') => Some("A note must not contain a zero character."),
            _ => None,
        }
    }
}

/// Refused where the page was rendered for another tenant: somebody has switched in another tab.
async fn add(
    form: Result<TenantForm<NewNote>, Error>,
    frame: Frame,
    db: TenantDb,
) -> actix_web::Result<HttpResponse> {
    let refused = match form {
        Ok(note) => match (note.problem(), frame.user()) {
            (None, Some(user)) => {
                let (note, user) = (note.into_inner(), user.to_owned());
                db.run(move |conn| data::add(conn, note.body.trim(), &user))
                    .await?;
                return Ok(see("/notes"));
            }
            (problem, _) => (note.into_inner().body, problem.unwrap_or("Log in first.")),
        },
        Err(_) => (
            String::new(),
            "This page has changed since the form was made: you are in another tenant now. Nothing was saved.",
        ),
    };
    let notes = db.run(data::list).await?;
    page::notes(&frame, db.tenant(), &notes, Some(refused))
}

/// The page of one thing of one tenant: nobody switches here.
async fn note(frame: Frame, db: TenantDb, id: web::Path<i32>) -> actix_web::Result<HttpResponse> {
    let id = id.into_inner();
    match db.run(move |conn| data::note(conn, id)).await? {
        Some(note) => page::note(&frame, db.tenant(), &note),
        None => Ok(HttpResponse::NotFound().finish()),
    }
}

async fn suspend(
    tenant: Tenant,
    _form: TenantForm<Nothing>,
    provisioner: Data<Provisioner>,
) -> actix_web::Result<HttpResponse> {
    if tenant.role() != Some("owner") {
        return Err(ErrorForbidden("only owners suspend a tenant"));
    }
    let suspended = web::block(move || provisioner.suspend(tenant.id())).await?;
    suspended.map_err(Error::from)?;
    Ok(see("/notes"))
}

#[derive(Deserialize)]
struct Resume {
    tenant: TenantId,
}

/// The tenant is not that of the request, so the right is looked up here.
async fn resume(
    form: TenantForm<Resume>,
    visitor: Visitor,
    registry: Data<PgRegistry>,
    provisioner: Data<Provisioner>,
) -> actix_web::Result<HttpResponse> {
    let id = form.into_inner().tenant;
    let user = visitor
        .into_user()
        .ok_or_else(|| ErrorForbidden("log in"))?;
    let resumed = web::block(move || {
        let mine = registry.memberships(&user.id)?;
        let is_owner =
            |of: &&boardinghouse_core::Membership| of.role == "owner" && *of.tenant.id() == id;
        mine.iter()
            .find(is_owner)
            .map(|of| provisioner.resume(of.tenant.id()))
            .transpose()
    });
    match resumed.await?.map_err(Error::from)? {
        Some(_) => Ok(see("/")),
        None => Err(ErrorForbidden("only owners resume a tenant")),
    }
}

/// To a GET, so that a reload does not send the form again.
fn see(page: &str) -> HttpResponse {
    HttpResponse::SeeOther()
        .insert_header((header::LOCATION, page))
        .finish()
}
