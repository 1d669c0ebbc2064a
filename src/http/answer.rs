//! Error answers in JSON. Both callers, the homeserver and Alertmanager, understand them.

use actix_web::http::{Method, StatusCode, header};
use actix_web::{HttpRequest, HttpResponse};
use serde_json::json;

/// The answer to a rejected request: a standard error response of the Matrix specification.
pub fn matrix_error(status: StatusCode, errcode: &str, error: &str) -> HttpResponse {
    HttpResponse::build(status).json(json!({ "errcode": errcode, "error": error }))
}

/// The answer to an unknown path, as the default service of every listener. A POST there may be a webhook that is lost,
/// so it is logged.
pub async fn unknown_path(request: HttpRequest) -> HttpResponse {
    if request.method() == Method::POST {
        let path = request.path();
        tracing::warn!(path, "a POST to {path} was answered 404: there is nothing at this path");
    }
    matrix_error(StatusCode::NOT_FOUND, "M_UNRECOGNIZED", "There is nothing at this path.")
}

/// The answer to a method that a path does not support.
pub fn wrong_method(request: &HttpRequest, allowed: &'static str) -> HttpResponse {
    let error = format!("{} is not allowed here, only {allowed}.", request.method());
    let mut answer = matrix_error(StatusCode::METHOD_NOT_ALLOWED, "M_UNRECOGNIZED", &error);
    answer.headers_mut().insert(header::ALLOW, header::HeaderValue::from_static(allowed));
    answer
}
