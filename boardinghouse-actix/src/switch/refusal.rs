//! Why a switch, or a form, was refused.

use actix_web::http::StatusCode;

#[derive(Clone, Copy, Debug, thiserror::Error)]
pub(crate) enum Refusal {
    #[error(
        "nothing says how tenants are switched: call `Tenancy::switching`, which also signs forms"
    )]
    NotConfigured,
    #[error("a switch must come from a page of the same site, or by a link for the user")]
    OtherSite,
    #[error("the switch has no token of this session")]
    NoToken,
    #[error("the user may not switch to the tenant, or there is none")]
    NoRight,
    #[error("the link does not switch: it is not signed, of another page or user, or too old")]
    BadLink,
    #[error("nobody switches on this page")]
    OnThisPage,
    #[error("the form was rendered for another tenant, or in another session")]
    OtherTenant,
    #[error("the body is no form")]
    NoForm,
}

impl Refusal {
    pub(crate) fn status(self) -> StatusCode {
        match self {
            Self::NotConfigured => StatusCode::INTERNAL_SERVER_ERROR,
            Self::OtherSite | Self::NoToken | Self::NoRight | Self::BadLink => {
                StatusCode::FORBIDDEN
            }
            Self::OnThisPage | Self::OtherTenant => StatusCode::CONFLICT,
            Self::NoForm => StatusCode::BAD_REQUEST,
        }
    }
}
