//! Whether it is the homeserver that calls.

use crate::http::answer::matrix_error;
use crate::http::token::{Shown, Token, credentials};
use actix_web::http::{StatusCode, header};
use actix_web::{HttpRequest, HttpResponse};
use subtle::Choice;
use url::form_urlencoded;

/// Why a caller is not taken for the homeserver.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum Refused {
    /// It shows no token.
    #[error("hs_token is missing")]
    Missing,
    /// It shows another token.
    #[error("hs_token is wrong")]
    Wrong,
}

/// Checks the token, which is in the header and, with older homeservers, in the query. Where it is in both, both
/// must be right.
pub(super) fn check(request: &HttpRequest, hs_token: Option<&Token>) -> Result<(), Refused> {
    let headers = request.headers().get_all(header::AUTHORIZATION);
    let in_headers = headers.map(|header| {
        let token = header.to_str().ok().and_then(|header| credentials(header, "Bearer"));
        // A header of another kind is shown all the same, and is wrong.
        Shown::new(token.unwrap_or_default().as_bytes())
    });
    let in_query = form_urlencoded::parse(request.query_string().as_bytes())
        .filter(|(name, _)| name == "access_token")
        .map(|(_, token)| Shown::new(token.as_bytes()));
    let shown: Vec<Shown> = in_headers.chain(in_query).collect();
    if shown.is_empty() {
        return Err(Refused::Missing);
    }
    let right = hs_token.map_or(Choice::from(0), |token| {
        shown.iter().fold(Choice::from(1), |right, shown| right & token.equals(shown))
    });
    if bool::from(right) { Ok(()) } else { Err(Refused::Wrong) }
}

impl Refused {
    pub(super) fn answer(self) -> HttpResponse {
        let (status, errcode) = match self {
            Self::Missing => (StatusCode::UNAUTHORIZED, "M_UNAUTHORIZED"),
            Self::Wrong => (StatusCode::FORBIDDEN, "M_FORBIDDEN"),
        };
        matrix_error(status, errcode, &self.to_string())
    }
}
