//! What a page needs to let its reader choose a tenant.

use std::fmt::Write as _;

use actix_session::Session;
use actix_web::{FromRequest, HttpMessage as _, HttpRequest, dev::Payload};
use boardinghouse_core::{Tenant, TenantId, TenantStatus, User};
use futures_core::future::LocalBoxFuture;
use serde::Serialize;

use super::{OnSwitch, Refusal, Switch, page::rule, serve::PATH};
use crate::{
    error::{BoxError, Cause, Error},
    middleware::Seen,
    session::{secret, session_of},
    tenancy::Tenancy,
    user::known_user,
};

/// The tenants that a user can switch to, for a template: those that are ready and that the user may enter,
/// now. Somebody who is not known has none, but those that are [offered](Switch::offer) to everybody.
///
/// Superusers have those that they are members of, and those offered.
///
/// Any template engine can show it: by its fields, which it has as JSON, or as the [`html`](Self::html) of a
/// form that works without scripts.
///
/// # Extractor behaviour
///
/// Without [`Tenancy::switching`], without the session middleware, or without the tenancy the answer is 500,
/// and the log says what to add. On an exempt path nobody is known.
///
/// # Examples
///
/// ```
/// use actix_web::{HttpResponse, Responder, get};
/// use boardinghouse_actix::TenantMenu;
///
/// #[get("/")]
/// async fn page(menu: TenantMenu) -> impl Responder {
///     HttpResponse::Ok()
///         .content_type("text/html; charset=utf-8")
///         .body(format!("<header>{}</header>", menu.html()))
/// }
/// ```
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct TenantMenu {
    /// The tenants, in the order of their names.
    pub tenants: Vec<Entry>,
    /// The tenant that the page is of, where it is of one.
    pub selected: Option<TenantId>,
    /// To where the form is posted, with the fields `tenant`, `token` and `from`.
    pub action: &'static str,
    /// The session's token. Empty where there is nothing to choose.
    pub token: String,
    /// The page that the form is on.
    pub from: Option<String>,
    /// The page to go to afterwards, where the handler has said so.
    pub next: Option<String>,
    /// Whether nobody switches on this page: because [`Switch::page`] says so, or because its address names
    /// the tenant, so that the session is not asked. Links lead from there to other tenants:
    /// [`TenantUrls::url_of`](crate::TenantUrls::url_of).
    pub disabled: bool,
}

/// A tenant in a [`TenantMenu`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Entry {
    /// What is sent: the id.
    pub value: TenantId,
    /// The name for people.
    pub name: String,
    /// What the user is there; `None` for one who is no member.
    pub role: Option<String>,
}

impl TenantMenu {
    pub(super) fn new(
        switch: &Switch,
        session: &Session,
        entries: Vec<(Tenant, Option<String>)>,
        selected: Option<TenantId>,
        from: Option<String>,
    ) -> Result<Self, BoxError> {
        let token = if entries.is_empty() {
            String::new()
        } else {
            switch.token(&secret(session)?)
        };
        let rule = from.as_deref().map(|page| rule(&switch.pages, page));
        Ok(Self {
            tenants: entries
                .into_iter()
                .map(|(tenant, role)| Entry {
                    value: tenant.id().clone(),
                    name: tenant.display_name().to_owned(),
                    role,
                })
                .collect(),
            selected,
            action: PATH,
            token,
            disabled: rule == Some(&OnSwitch::Refuse),
            from,
            next: None,
        })
    }

    /// Sets the page to go to after a switch on this one: a path of this site. Defaults to what
    /// [`Switch::page`] says.
    #[must_use]
    pub fn go_to(mut self, page: impl Into<String>) -> Self {
        self.next = Some(page.into());
        self
    }

    /// Whether there is something to choose: another tenant than the page's.
    #[must_use]
    pub fn has_choice(&self) -> bool {
        let mut values = self.tenants.iter().map(|entry| Some(&entry.value));
        values.any(|value| value != self.selected.as_ref())
    }

    /// Leaves the tenants in whose name or id this is found, in whatever case.
    pub(super) fn keep_only(&mut self, part: &str) {
        let part = part.trim().to_lowercase();
        self.tenants.retain(|entry| {
            entry.value.as_str().contains(&part) || entry.name.to_lowercase().contains(&part)
        });
    }

    /// A `<form>` with a `<select>` and a button, all text escaped; empty where there is nothing to choose.
    ///
    /// Its class is `tenant-menu`. It needs no script and no style. [`html_in`](Self::html_in) is the same
    /// in other languages.
    #[must_use]
    pub fn html(&self) -> String {
        self.html_in("Tenant", "Switch")
    }

    /// As [`html`](Self::html), with these words for what is chosen, and for the button.
    #[must_use]
    pub fn html_in(&self, label: &str, button: &str) -> String {
        if !self.has_choice() {
            return String::new();
        }
        let label = escaped(label);
        let disabled = if self.disabled { " disabled" } else { "" };
        let mut html = format!(
            "<form class=\"tenant-menu\" method=\"post\" action=\"{}\">",
            self.action
        );
        let from = self.from.as_deref();
        let hidden = [
            ("token", Some(self.token.as_str())),
            ("from", from),
            ("next", self.next.as_deref()),
        ];
        for (name, value) in hidden {
            let Some(value) = value else { continue };
            let value = escaped(value);
            // Writing to a string cannot fail.
            let _ = write!(
                html,
                "<input type=\"hidden\" name=\"{name}\" value=\"{value}\">"
            );
        }
        let _ = write!(
            html,
            "<select name=\"tenant\" aria-label=\"{label}\"{disabled}>"
        );
        if self.selected.is_none() {
            let _ = write!(html, "<option value=\"\" selected>{label}…</option>");
        }
        for entry in &self.tenants {
            let is_selected = self.selected.as_ref() == Some(&entry.value);
            let selected = if is_selected { " selected" } else { "" };
            let (value, name) = (&entry.value, escaped(&entry.name));
            let _ = write!(html, "<option value=\"{value}\"{selected}>{name}</option>");
        }
        let button = escaped(button);
        let _ = write!(html, "</select><button{disabled}>{button}</button></form>");
        html
    }
}

/// For text and for attributes in double quotes.
pub(super) fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            c => escaped.push(c),
        }
    }
    escaped
}

impl Tenancy {
    /// The tenants that a user can switch to, and as what.
    pub(super) async fn entries(
        &self,
        switch: &Switch,
        user: Option<&User>,
    ) -> Result<Vec<(Tenant, Option<String>)>, Error> {
        let access = self.inner().access.as_ref().ok_or(Cause::NoAccess)?;
        let mut found = match user {
            Some(user) => self.memberships(user).await?.to_vec(),
            None => Vec::new(),
        };
        found.retain(|membership| self.can_be_served(&membership.tenant));
        let mut entries: Vec<_> = found
            .into_iter()
            .map(|membership| (membership.tenant, Some(membership.role)))
            .collect();
        for id in &switch.offered {
            let is_there = entries.iter().any(|(tenant, _)| tenant.id() == id);
            if !is_there && let Some(tenant) = self.tenant(id.clone()).await? {
                entries.push((tenant, None));
            }
        }
        entries.retain(|(tenant, role)| {
            tenant.status() == TenantStatus::Ready && access.allows(user, tenant, role.as_deref())
        });
        Ok(entries)
    }
}

impl FromRequest for TenantMenu {
    type Error = Error;
    type Future = LocalBoxFuture<'static, Result<Self, Error>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let request = request.clone();
        Box::pin(async move {
            let session = session_of(&request).map_err(Cause::from)?;
            let (tenancy, user, selected, is_fixed, from) = {
                let extensions = request.extensions();
                let seen = extensions.get::<Seen>().ok_or(Cause::NoMiddleware)?;
                let tenant = seen.tenant.as_ref();
                let selected = tenant.map(|tenant| tenant.id().clone());
                let is_fixed = tenant.is_some_and(|tenant| tenant.routed_by().is_by_address());
                let user = known_user(seen).cloned();
                let from = page(&request, seen);
                (seen.tenancy.clone(), user, selected, is_fixed, from)
            };
            let switch = tenancy.inner().switch.as_ref();
            let switch = switch.ok_or(Cause::Switch(Refusal::NotConfigured))?;
            let entries = tenancy.entries(switch, user.as_ref()).await?;
            let menu = Self::new(switch, &session, entries, selected, Some(from));
            let mut menu = menu.map_err(Cause::Session)?;
            menu.disabled |= is_fixed;
            Ok(menu)
        })
    }
}

/// The page that a request is for, as its client knows it.
fn page(request: &HttpRequest, seen: &Seen) -> String {
    if let Some(tenant) = &seen.tenant {
        let target = tenant.original_uri().path_and_query();
        return target.map_or("/", |target| target.as_str()).to_owned();
    }
    let target = request.uri().path_and_query();
    let target = target.map_or("/", |target| target.as_str());
    target
        .strip_prefix(seen.added.as_str())
        .unwrap_or(target)
        .to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_name_holds_is_text() {
        let menu = TenantMenu {
            tenants: vec![Entry {
                value: "acme".parse().unwrap(),
                name: "<script>\"Acme\" & 'Sons'".to_owned(),
                role: None,
            }],
            selected: None,
            action: PATH,
            token: "00".to_owned(),
            from: Some("/?x=\"><script>".to_owned()),
            next: None,
            disabled: false,
        };
        let html = menu.html();
        assert!(!html.contains("<script"), "{html}");
        assert!(
            html.contains("&lt;script&gt;&quot;Acme&quot; &amp; &#39;Sons&#39;</option>"),
            "{html}"
        );
        assert!(html.contains("value=\"/?x=&quot;&gt;&lt;script&gt;\""));
    }
}
