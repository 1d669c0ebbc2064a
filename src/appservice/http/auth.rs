//! Authentication of the homeserver.

use crate::http::answer::matrix_error;
use crate::http::token::{PresentedToken, Token, credentials};
use actix_web::http::{StatusCode, header};
use actix_web::{HttpRequest, HttpResponse};
use subtle::Choice;
use url::form_urlencoded;

/// Why a request is rejected.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum Refused {
    /// It has no token.
    #[error("hs_token is missing")]
    Missing,
    /// Its token does not match.
    #[error("hs_token is wrong")]
    Wrong,
}

/// Checks the token. Homeservers send it in the header; older ones send it in the query, or in both. The header counts if
/// there is one, and every one of them: some put a token with `+`, `%` or `&` into the query without escaping it.
pub(super) fn check(request: &HttpRequest, hs_token: Option<&Token>) -> Result<(), Refused> {
    let headers = request.headers().get_all(header::AUTHORIZATION);
    let in_headers = headers.map(|header| {
        let token = header.to_str().ok().and_then(|header| credentials(header, "Bearer"));
        // A header of another scheme counts as a wrong token.
        PresentedToken::new(token.unwrap_or_default().as_bytes())
    });
    let in_query = form_urlencoded::parse(request.query_string().as_bytes())
        .filter(|(name, _)| name == "access_token")
        .map(|(_, token)| PresentedToken::new(token.as_bytes()));
    let mut presented: Vec<PresentedToken> = in_headers.collect();
    if presented.is_empty() {
        presented.extend(in_query);
    }
    if presented.is_empty() {
        return Err(Refused::Missing);
    }
    let right = hs_token.map_or(Choice::from(0), |token| {
        presented.iter().fold(Choice::from(1), |right, one| right & token.equals(one))
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

#[cfg(test)]
mod tests {
    use super::{Refused, check};
    use crate::http::token::Token;
    use actix_web::test::TestRequest;

    #[test]
    fn an_empty_token_authenticates_nobody() {
        let token = Token::new(&"".into());
        for query in ["access_token=", "access_token=x"] {
            let request = TestRequest::put().uri(&format!("/transactions/17?{query}")).to_http_request();
            assert_eq!(check(&request, token.as_ref()), Err(Refused::Wrong), "{query}");
        }
    }
}
