//! Logs one line for each request, for debugging. Omits the query string, which may contain a token.

use actix_web::body::MessageBody;
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::middleware::Next;
use std::time::Instant;

/// Passes the request on, and logs its status and duration.
pub(super) async fn log<B: MessageBody>(
    request: ServiceRequest,
    next: Next<B>,
) -> Result<ServiceResponse<B>, actix_web::Error> {
    let (method, path) = (request.method().clone(), request.path().to_owned());
    let started = Instant::now();
    let answer = next.call(request).await;
    let status = match &answer {
        Ok(response) => response.status(),
        Err(error) => error.as_response_error().status_code(),
    };
    let (status, duration_ms) = (status.as_u16(), started.elapsed().as_millis());
    tracing::debug!(%method, path, status, duration_ms, "{method} {path} was answered {status}");
    answer
}
