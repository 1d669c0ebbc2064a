//! Stands in for the listener while matrixbot is not running: answers the homeserver's ping, and 503 to everything
//! else.

use super::auth::{self, Refused};
use super::{done, unavailable};
use crate::http::Services;
use crate::http::token::Token;
use actix_web::{HttpRequest, HttpResponse, web};
use secrecy::SecretString;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Answers in matrixbot's place. Clones share their state.
#[derive(Debug, Clone)]
pub struct StandIn(Arc<State>);

#[derive(Debug)]
struct State {
    hs_token: Option<Token>,
    refused: AtomicBool,
}

impl StandIn {
    /// A stand-in for a homeserver that authenticates with `hs_token`.
    pub fn new(hs_token: &SecretString) -> Self {
        Self(Arc::new(State { hs_token: Token::new(hs_token), refused: AtomicBool::new(false) }))
    }

    /// Whether it rejected a ping because of a wrong or missing token.
    pub fn has_refused(&self) -> bool {
        self.0.refused.load(Ordering::Relaxed)
    }

    /// Its services.
    pub fn services(&self) -> Services {
        let state = web::Data::new(self.clone());
        Arc::new(move |config| {
            config.app_data(state.clone()).route("/_matrix/app/v1/ping", web::post().to(ping)).service(
                web::resource("/{any}*").to(|| async { unavailable("matrixbot is not running; try again") }),
            );
        })
    }
}

async fn ping(stand_in: web::Data<StandIn>, request: HttpRequest) -> HttpResponse {
    match auth::check(&request, stand_in.0.hs_token.as_ref()) {
        Ok(()) => done(),
        Err(refused @ (Refused::Missing | Refused::Wrong)) => {
            stand_in.0.refused.store(true, Ordering::Relaxed);
            refused.answer()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::StandIn;
    use actix_web::{App, test};

    async fn ask(stand_in: &StandIn, method: test::TestRequest, path: &str, token: &str) -> u16 {
        let services = stand_in.services();
        let app = test::init_service(App::new().configure(|config| services(config))).await;
        let request = method.uri(path).insert_header(("Authorization", format!("Bearer {token}")));
        test::call_service(&app, request.to_request()).await.status().as_u16()
    }

    #[tokio::test]
    async fn a_ping_is_answered_and_everything_else_is_refused() {
        let stand_in = StandIn::new(&"right".into());
        let ping = "/_matrix/app/v1/ping";
        assert_eq!(ask(&stand_in, test::TestRequest::post(), ping, "wrong").await, 403);
        assert!(stand_in.has_refused());
        let stand_in = StandIn::new(&"right".into());
        assert_eq!(ask(&stand_in, test::TestRequest::post(), ping, "right").await, 200);
        assert!(!stand_in.has_refused());
        for path in ["/_matrix/app/v1/transactions/1", "/transactions/1", "/_matrix/app/v1/users/@x:y"] {
            assert_eq!(ask(&stand_in, test::TestRequest::put(), path, "right").await, 503, "{path}");
        }
    }
}
