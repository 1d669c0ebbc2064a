//! Liveness and readiness probes, and metrics.
//!
//! - `GET /livez`: 200 while the program itself works; 503 means that a restart may help.
//! - `GET /readyz`: 200 while it can do its work; 503 means that something it depends on is unavailable.
//! - `GET /metrics`: Prometheus's text format.
//!
//! Both probes answer `{"status": "…", "checks": {"<name>": {"ok": true, "detail": "…"}}}`.

use super::answer::matrix_error;
use super::listening::Services;
use actix_web::http::StatusCode;
use actix_web::{HttpResponse, web};
use futures_util::future::{BoxFuture, join_all};
use serde::Serialize;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// How long a check may take before it counts as failed.
const CHECK_TIMEOUT: Duration = Duration::from_secs(3);

type Run = dyn Fn() -> BoxFuture<'static, Result<String, String>> + Send + Sync;

/// A check of a probe.
pub struct Check {
    name: &'static str,
    run: Box<Run>,
}

impl fmt::Debug for Check {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Check").field(&self.name).finish()
    }
}

impl Check {
    /// A check with its function, which returns a short description: `Ok` if the check passes, `Err` if it fails.
    pub fn new<F>(name: &'static str, run: impl Fn() -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = Result<String, String>> + Send + 'static,
    {
        Self { name, run: Box::new(move || Box::pin(run())) }
    }

    async fn finding(&self) -> (&'static str, Finding) {
        let result = tokio::time::timeout(CHECK_TIMEOUT, (self.run)()).await;
        let finding = match result {
            Ok(Ok(detail)) => Finding { ok: true, detail },
            Ok(Err(detail)) => Finding { ok: false, detail },
            Err(_) => {
                Finding { ok: false, detail: format!("no answer within {} s", CHECK_TIMEOUT.as_secs()) }
            }
        };
        (self.name, finding)
    }
}

/// The probes and metrics of the admin listener.
pub struct Probes {
    /// The checks of `/livez`.
    pub live: Vec<Check>,
    /// The checks of `/readyz`.
    pub ready: Vec<Check>,
    /// Renders the metrics; `None`: rendering failed.
    pub metrics: Box<dyn Fn() -> Option<String> + Send + Sync>,
}

impl fmt::Debug for Probes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Probes").field("live", &self.live).field("ready", &self.ready).finish_non_exhaustive()
    }
}

impl Probes {
    /// The probes as services of a listener.
    pub fn services(self) -> Services {
        let probes = web::Data::new(self);
        Arc::new(move |config| {
            config
                .app_data(probes.clone())
                .route("/livez", web::get().to(livez))
                .route("/readyz", web::get().to(readyz))
                .route("/metrics", web::get().to(metrics));
        })
    }
}

/// The result of a check.
#[derive(Debug, Serialize)]
struct Finding {
    ok: bool,
    detail: String,
}

#[derive(Debug, Serialize)]
struct Report {
    status: &'static str,
    checks: BTreeMap<&'static str, Finding>,
}

async fn livez(probes: web::Data<Probes>) -> HttpResponse {
    answer(&probes.live, "alive", "failing").await
}

async fn readyz(probes: web::Data<Probes>) -> HttpResponse {
    answer(&probes.ready, "ready", "not ready").await
}

async fn answer(checks: &[Check], good: &'static str, bad: &'static str) -> HttpResponse {
    let checks: BTreeMap<_, _> = join_all(checks.iter().map(Check::finding)).await.into_iter().collect();
    let (code, status) = if checks.values().all(|finding| finding.ok) {
        (StatusCode::OK, good)
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, bad)
    };
    HttpResponse::build(code).insert_header(("Cache-Control", "no-store")).json(Report { status, checks })
}

async fn metrics(probes: web::Data<Probes>) -> HttpResponse {
    match (probes.metrics)() {
        Some(text) => HttpResponse::Ok().content_type("text/plain; version=0.0.4; charset=utf-8").body(text),
        None => {
            matrix_error(StatusCode::INTERNAL_SERVER_ERROR, "M_UNKNOWN", "The metrics cannot be rendered.")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Check, Probes};
    use actix_web::{App, test};
    use serde_json::{Value, json};

    async fn ask(path: &str, ready: Vec<Check>) -> (u16, String) {
        let probes = Probes { live: Vec::new(), ready, metrics: Box::new(|| Some("up 1\n".to_owned())) };
        let services = probes.services();
        let app = test::init_service(App::new().configure(|config| services(config))).await;
        let answer = test::call_service(&app, test::TestRequest::get().uri(path).to_request()).await;
        let status = answer.status().as_u16();
        (status, String::from_utf8(test::read_body(answer).await.to_vec()).unwrap())
    }

    fn database(is_up: bool) -> Check {
        Check::new("database", move || async move {
            if is_up { Ok("answers".to_owned()) } else { Err("connection refused".to_owned()) }
        })
    }

    #[tokio::test]
    async fn readyz_reports_each_check() {
        let (status, body) = ask("/readyz", vec![database(true)]).await;
        assert_eq!(status, 200);
        let body: Value = serde_json::from_str(&body).unwrap();
        assert_eq!(
            body,
            json!({"status": "ready", "checks": {"database": {"ok": true, "detail": "answers"}}})
        );
    }

    #[tokio::test]
    async fn one_failed_check_makes_it_not_ready_but_it_stays_live() {
        let homeserver = Check::new("homeserver", || async { Ok("answers".to_owned()) });
        let (status, body) = ask("/readyz", vec![database(false), homeserver]).await;
        assert_eq!(status, 503);
        let body: Value = serde_json::from_str(&body).unwrap();
        assert_eq!(body["status"], "not ready");
        assert_eq!(body["checks"]["database"], json!({"ok": false, "detail": "connection refused"}));
        assert_eq!(body["checks"]["homeserver"]["ok"], true);
        assert_eq!(ask("/livez", vec![database(false)]).await.0, 200);
    }

    #[tokio::test(start_paused = true)]
    async fn a_check_that_times_out_fails() {
        let (status, body) = ask("/readyz", vec![Check::new("homeserver", std::future::pending)]).await;
        assert_eq!(status, 503);
        assert!(body.contains("no answer within 3 s"), "{body}");
    }

    #[tokio::test]
    async fn metrics_are_plain_text() {
        assert_eq!(ask("/metrics", Vec::new()).await, (200, "up 1\n".to_owned()));
    }
}
