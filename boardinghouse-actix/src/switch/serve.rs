//! What a tenancy answers itself, where tenants are switched.

use actix_session::Session;
use actix_web::{
    HttpMessage as _, HttpResponse,
    dev::ServiceRequest,
    http::{Method, StatusCode, header},
    web::{Bytes, Query},
};
use boardinghouse_core::{Tenant, TenantId, User};

use super::{
    OnSwitch, Refusal, Switch, TenantMenu,
    link::{self, For, Signed},
    origin::{Origin, origin},
    page::{before_ids, local, referer, rule},
};
use crate::{
    accept::prefers_html,
    error::{Cause, Error},
    find::Answer,
    lookup::is_same,
    request::Incoming,
    session::{is_chosen, known_secret, leave, remember, session_of},
    tenancy::Tenancy,
};

/// Below which path tenants are switched.
pub(super) const PATH: &str = "/__tenant__/";

/// What is signed, with the session's secret.
const PURPOSE: &str = "switch";

/// The header for the token, for programs.
const TOKEN_HEADER: &str = "x-tenant-token";

/// What a switch says besides its tenant.
#[derive(Default)]
struct Wanted {
    tenant: Option<String>,
    token: Option<String>,
    from: Option<String>,
    next: Option<String>,
}

impl Wanted {
    fn parse(pairs: Vec<(String, String)>) -> Self {
        let mut wanted = Self::default();
        for (name, value) in pairs {
            let field = match name.as_str() {
                "tenant" => &mut wanted.tenant,
                "token" => &mut wanted.token,
                "from" => &mut wanted.from,
                "next" => &mut wanted.next,
                _ => continue,
            };
            // The first of several counts.
            field.get_or_insert(value);
        }
        wanted
    }
}

impl Switch {
    pub(super) fn token(&self, secret: &str) -> String {
        self.signer.sign(PURPOSE, &[secret])
    }

    fn is_token(&self, session: &Session, token: Option<&str>) -> bool {
        match (known_secret(session), token) {
            (Some(secret), Some(token)) => self.signer.is_signed(PURPOSE, &[&secret], token),
            _ => false,
        }
    }

    /// The page to go to; `None` where nobody switches.
    fn goes_to(&self, wanted: &Wanted, referer: Option<&str>) -> Option<String> {
        let page = wanted.from.as_deref().and_then(local).or(referer);
        let page = page.unwrap_or("/");
        // What the page says of itself is not asked by whoever made the form.
        let rules = [Some(page), referer].into_iter().flatten();
        let mut rules = rules.map(|page| rule(&self.pages, page));
        if rules.any(|rule| *rule == OnSwitch::Refuse) {
            return None;
        }
        if let Some(next) = wanted.next.as_deref().and_then(local) {
            return Some(next.to_owned());
        }
        Some(match rule(&self.pages, page) {
            OnSwitch::Stay => page.to_owned(),
            OnSwitch::To(page) => local(page).unwrap_or("/").to_owned(),
            OnSwitch::Cut | OnSwitch::Refuse => before_ids(page),
        })
    }
}

impl Tenancy {
    /// Answers a request that is about switching; leaves others alone.
    pub(crate) async fn switched(&self, request: &mut ServiceRequest) -> Result<(), Answer> {
        let Some(switch) = &self.inner().switch else {
            return Ok(());
        };
        let query = request.uri().query();
        if let Some(query) = query.filter(|query| query.contains(link::PARAMETER)) {
            let (values, rest) = link::take(query);
            if !values.is_empty() {
                let answer = self.by_link(switch, request, &values, &rest).await?;
                return Err(Answer::Response(answer.into()));
            }
        }
        let path = request.path();
        let named = match path.strip_prefix(PATH) {
            Some(named) => named.to_owned(),
            None if path == PATH.trim_end_matches('/') => String::new(),
            None => return Ok(()),
        };
        let answer = match *request.method() {
            Method::POST => self.by_form(switch, request, &named).await?,
            Method::GET if named.is_empty() => self.menu(switch, request).await?,
            Method::GET if switch.by_get => self.by_address(switch, request, &named).await?,
            _ => HttpResponse::MethodNotAllowed()
                .insert_header((header::ALLOW, "GET, POST"))
                .finish(),
        };
        Err(Answer::Response(answer.into()))
    }

    /// `POST /__tenant__/acme`
    async fn by_form(
        &self,
        switch: &Switch,
        request: &mut ServiceRequest,
        named: &str,
    ) -> Result<HttpResponse, Answer> {
        let body = request.extract::<Bytes>().await;
        let body = body.map_err(|_| refused(Refusal::NoForm))?;
        let pairs = match request.mime_type() {
            Ok(Some(mime)) if mime == actix_web::mime::APPLICATION_WWW_FORM_URLENCODED => {
                pairs(&body).ok_or_else(|| refused(Refusal::NoForm))?
            }
            _ if body.is_empty() => Vec::new(),
            _ => return Err(refused(Refusal::NoForm)),
        };
        let wanted = Wanted::parse(pairs);
        let incoming = Incoming::new(request, &self.inner().trusted)?;
        let session = session_of(&*incoming).map_err(Cause::from)?;
        if origin(incoming.headers(), incoming.host()) == Origin::Other {
            return Err(refused(Refusal::OtherSite));
        }
        let in_header = incoming.headers().get(TOKEN_HEADER);
        let in_header = in_header.and_then(|value| value.to_str().ok());
        if !switch.is_token(&session, wanted.token.as_deref().or(in_header)) {
            return Err(refused(Refusal::NoToken));
        }
        self.put(switch, &incoming, &session, named, &wanted).await
    }

    /// `GET /__tenant__/acme`, where that is allowed.
    async fn by_address(
        &self,
        switch: &Switch,
        request: &ServiceRequest,
        named: &str,
    ) -> Result<HttpResponse, Answer> {
        let incoming = Incoming::new(request, &self.inner().trusted)?;
        let session = session_of(&*incoming).map_err(Cause::from)?;
        let token = incoming.headers().get(TOKEN_HEADER);
        let token = token.and_then(|value| value.to_str().ok());
        match origin(incoming.headers(), incoming.host()) {
            Origin::Own | Origin::Person => {}
            // A page can keep its browser from saying whose it is.
            Origin::Unsaid if switch.is_token(&session, token) => {}
            Origin::Other | Origin::Unsaid => return Err(refused(Refusal::OtherSite)),
        }
        let wanted = Wanted::default();
        self.put(switch, &incoming, &session, named, &wanted).await
    }

    /// Puts the tenant into the session, or takes it out, for who has the right.
    async fn put(
        &self,
        switch: &Switch,
        incoming: &Incoming<'_>,
        session: &Session,
        named: &str,
        wanted: &Wanted,
    ) -> Result<HttpResponse, Answer> {
        let referer = referer(incoming.headers(), incoming.host());
        let Some(page) = switch.goes_to(wanted, referer) else {
            return Err(refused(Refusal::OnThisPage));
        };
        let named = match named {
            "" => wanted.tenant.as_deref().unwrap_or_default(),
            named => named,
        };
        let tenant = match named {
            "" => None,
            named => Some(self.open(incoming, named).await?.0),
        };
        match &tenant {
            Some(tenant) => remember(session, tenant).map_err(Cause::Session)?,
            None => leave(session),
        }
        Ok(if prefers_html(incoming.headers()) {
            go_to(StatusCode::SEE_OTHER, &page)
        } else {
            HttpResponse::Ok().json(serde_json::json!({
                "tenant": tenant.as_ref().map(Tenant::id),
                "name": tenant.as_ref().map(Tenant::display_name),
                "page": page,
            }))
        })
    }

    /// `GET` of any page with `?__tenant=…`
    async fn by_link(
        &self,
        switch: &Switch,
        request: &ServiceRequest,
        values: &[&str],
        rest: &str,
    ) -> Result<HttpResponse, Answer> {
        let incoming = Incoming::new(request, &self.inner().trusted)?;
        let session = session_of(&*incoming).map_err(Cause::from)?;
        let bad = || refused(Refusal::BadLink);
        let page = local(request.path()).ok_or_else(bad)?;
        let [value] = values else { return Err(bad()) };
        let link = Signed::parse(value).ok_or_else(bad)?;
        if request.method() != Method::GET {
            return Err(bad());
        }
        // Signed or not is told first, so that others cannot find out by links which tenants there are.
        let tenant = self.tenant(link.tenant.clone()).await?.ok_or_else(bad)?;
        let user = self.user_in(&incoming, Some(&tenant))?;
        let meant = switch.is_for(&link, &tenant, page, user.as_ref());
        match meant.ok_or_else(bad)? {
            For::User => {}
            For::Anybody if origin(incoming.headers(), incoming.host()) != Origin::Other => {}
            For::Anybody => return Err(refused(Refusal::OtherSite)),
        }
        let (tenant, _) = self.open(&incoming, tenant.id().as_str()).await?;
        remember(&session, &tenant).map_err(Cause::Session)?;
        let page = match rest {
            "" => page.to_owned(),
            rest => format!("{page}?{rest}"),
        };
        Ok(go_to(StatusCode::FOUND, &page))
    }

    /// A tenant that the user may enter, and that is ready. Whether there is none, or just not for this user,
    /// cannot be told from the answer.
    async fn open(
        &self,
        incoming: &Incoming<'_>,
        named: &str,
    ) -> Result<(Tenant, Option<User>), Answer> {
        let no_right = || refused(Refusal::NoRight);
        let id = TenantId::parse(named).map_err(|_| no_right())?;
        let tenant = self.tenant(id).await?.ok_or_else(no_right)?;
        let user = self.user_in(incoming, Some(&tenant))?;
        let role = self.role(user.as_ref(), &tenant).await?;
        let access = self.inner().access.as_ref().ok_or(Cause::NoAccess)?;
        if !access.allows(user.as_ref(), &tenant, role.as_deref()) {
            return Err(no_right());
        }
        self.is_served(incoming.request(), &tenant)?;
        Ok((tenant, user))
    }

    /// `GET /__tenant__/?q=…`
    async fn menu(
        &self,
        switch: &Switch,
        request: &ServiceRequest,
    ) -> Result<HttpResponse, Answer> {
        let incoming = Incoming::new(request, &self.inner().trusted)?;
        let session = session_of(&*incoming).map_err(Cause::from)?;
        let user = self.user_in(&incoming, None)?;
        let mut entries = self.entries(switch, user.as_ref()).await?;
        if user.is_some() {
            // A user of a former tenant's own is not told who has its id now.
            entries.retain(|(tenant, _)| {
                let user = self.user_in(&incoming, Some(tenant));
                user.is_ok_and(|user| user.is_some())
            });
        }
        let mut selected = entries.iter().map(|(tenant, _)| tenant);
        let selected = selected.find(|tenant| is_chosen(&session, tenant));
        let selected = selected.map(|tenant| tenant.id().clone());
        let page = referer(incoming.headers(), incoming.host()).map(str::to_owned);
        let mut menu =
            TenantMenu::new(switch, &session, entries, selected, page).map_err(Cause::Session)?;
        let asked = Query::<Vec<(String, String)>>::from_query(request.query_string());
        let asked = asked.map_err(|_| refused(Refusal::NoForm))?.into_inner();
        if let Some((_, part)) = asked.iter().find(|(name, _)| name == "q") {
            menu.keep_only(part);
        }
        Ok(HttpResponse::Ok()
            .insert_header((header::CACHE_CONTROL, "no-store"))
            .json(menu))
    }

    /// The one tenant that a user may enter, put into the session.
    pub(crate) async fn only_tenant(
        &self,
        incoming: &Incoming<'_>,
        user: Option<&User>,
    ) -> Result<Option<Tenant>, Answer> {
        let Some(switch) = self.inner().switch.as_ref().filter(|switch| switch.single) else {
            return Ok(None);
        };
        if user.is_none() {
            return Ok(None);
        }
        let entries = self.entries(switch, user).await?;
        let [(listed, _)] = entries.as_slice() else {
            return Ok(None);
        };
        let found = self.tenant(listed.id().clone()).await?;
        let Some(tenant) = found.filter(|found| is_same(listed, found)) else {
            return Ok(None);
        };
        // One of another tenant's own, under the same id as a former one.
        if self.user_in(incoming, Some(&tenant))?.is_none() {
            return Ok(None);
        }
        let session = session_of(&**incoming).map_err(Cause::from)?;
        remember(&session, &tenant).map_err(Cause::Session)?;
        Ok(Some(tenant))
    }
}

/// The fields of a form.
pub(super) fn pairs(body: &[u8]) -> Option<Vec<(String, String)>> {
    let text = std::str::from_utf8(body).ok()?;
    Some(
        Query::<Vec<(String, String)>>::from_query(text)
            .ok()?
            .into_inner(),
    )
}

fn go_to(status: StatusCode, page: &str) -> HttpResponse {
    HttpResponse::build(status)
        .insert_header((header::LOCATION, page))
        .insert_header((header::CACHE_CONTROL, "no-store"))
        .finish()
}

fn refused(refusal: Refusal) -> Answer {
    Error::from(Cause::Switch(refusal)).into()
}
