//! What every listener answers when it cannot do as asked.

use actix_web::HttpResponse;
use actix_web::http::StatusCode;

/// An error as Matrix has them: a code for programs and a sentence for people. Alertmanager logs the latter.
pub fn error(status: StatusCode, errcode: &str, message: &str) -> HttpResponse {
    HttpResponse::build(status).json(serde_json::json!({ "errcode": errcode, "error": message }))
}

/// The answer at a path where nothing is.
pub(super) async fn not_found() -> HttpResponse {
    error(StatusCode::NOT_FOUND, "M_UNRECOGNIZED", "there is nothing at this path")
}
