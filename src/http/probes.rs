//! Liveness and readiness probes, and metrics.
//!
//! - `GET /livez`: 200 while the program itself works; 503 means that a restart may help.
//! - `GET /readyz`: 200 with the status `ready`; 200 with `degraded` if something needs a person but is no reason to stop a
//!   rollout; 503 with `not ready` if pages do not arrive.
//! - `GET /metrics`: Prometheus's text format.
//!
//! Both probes answer within 2 s with `{"status": "…", "checks": {"<name>": {"ok": true, "detail": "…"}}}`. A check that
//! only degrades has `"degraded": true` beside `"ok": false`.

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

/// How long a check may take before it counts as failed: so that a probe is answered within 2 s.
const CHECK_TIMEOUT: Duration = Duration::from_millis(1500);

/// The result of a check, with a short description.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Found {
    /// The check passes.
    Ok(String),
    /// The check fails and a person should act, but pages arrive: the program stays ready.
    Degraded(String),
    /// The check fails: the program is not ready.
    Failed(String),
}

impl From<Result<String, String>> for Found {
    fn from(result: Result<String, String>) -> Self {
        match result {
            Ok(detail) => Self::Ok(detail),
            Err(detail) => Self::Failed(detail),
        }
    }
}

type Run = dyn Fn() -> BoxFuture<'static, Found> + Send + Sync;

/// A check of a probe.
pub struct Check {
    name: &'static str,
    /// Whether a failure only degrades.
    degrades: bool,
    run: Box<Run>,
}

impl fmt::Debug for Check {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Check").field(&self.name).finish()
    }
}

impl Check {
    /// A check without which the program is not ready. It returns a [`Found`], or a `Result` of which `Err` means
    /// [`Found::Failed`].
    pub fn new<F, T>(name: &'static str, run: impl Fn() -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = T> + Send + 'static,
        T: Into<Found>,
    {
        let run = move || -> BoxFuture<'static, Found> {
            let found = run();
            Box::pin(async move { found.await.into() })
        };
        Self { name, degrades: false, run: Box::new(run) }
    }

    /// A check whose failure, whatever it is, only degrades.
    pub fn degrading<F, T>(name: &'static str, run: impl Fn() -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = T> + Send + 'static,
        T: Into<Found>,
    {
        Self { degrades: true, ..Self::new(name, run) }
    }

    async fn finding(&self) -> (&'static str, Finding) {
        let found = match tokio::time::timeout(CHECK_TIMEOUT, (self.run)()).await {
            Ok(found) => found,
            Err(_) => Found::Failed(format!("no answer within {} s", CHECK_TIMEOUT.as_secs_f32())),
        };
        let finding = match found {
            Found::Ok(detail) => Finding { ok: true, degraded: false, detail },
            Found::Failed(detail) if !self.degrades => Finding { ok: false, degraded: false, detail },
            Found::Degraded(detail) | Found::Failed(detail) => Finding { ok: false, degraded: true, detail },
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

/// The result of a check, as the answer shows it.
#[derive(Debug, Serialize)]
struct Finding {
    ok: bool,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    degraded: bool,
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
    let (code, status) = if checks.values().any(|finding| !finding.ok && !finding.degraded) {
        (StatusCode::SERVICE_UNAVAILABLE, bad)
    } else if checks.values().any(|finding| finding.degraded) {
        (StatusCode::OK, "degraded")
    } else {
        (StatusCode::OK, good)
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
    use super::{Check, Found, Probes};
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

    #[tokio::test]
    async fn a_check_that_only_degrades_leaves_it_ready_and_says_so() {
        let rooms = Check::new("rooms", || async { Found::Degraded("#ops: not invited".to_owned()) });
        let events =
            Check::degrading("events", || async { Result::<String, _>::Err("1 set aside".to_owned()) });
        let (status, body) = ask("/readyz", vec![database(true), rooms, events]).await;
        assert_eq!(status, 200);
        let body: Value = serde_json::from_str(&body).unwrap();
        assert_eq!(
            body,
            json!({"status": "degraded", "checks": {
                "database": {"ok": true, "detail": "answers"},
                "events": {"ok": false, "degraded": true, "detail": "1 set aside"},
                "rooms": {"ok": false, "degraded": true, "detail": "#ops: not invited"},
            }})
        );
        let rooms = Check::new("rooms", || async { Found::Degraded("#ops: not invited".to_owned()) });
        let (status, body) = ask("/readyz", vec![database(false), rooms]).await;
        assert_eq!(status, 503, "what fails outweighs what degrades");
        assert!(body.contains(r#""status":"not ready""#), "{body}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_check_that_hangs_counts_as_failed_in_time_for_a_probe() {
        let hangs = || async {
            std::future::pending::<()>().await;
            Found::Ok(String::new())
        };
        let begun = tokio::time::Instant::now();
        let (status, body) = ask("/readyz", vec![Check::new("homeserver", hangs)]).await;
        assert_eq!(status, 503);
        assert!(body.contains("no answer within 1.5 s"), "{body}");
        assert!(begun.elapsed() < std::time::Duration::from_secs(2));
        assert_eq!(ask("/readyz", vec![Check::degrading("events", hangs)]).await.0, 200);
    }

    #[tokio::test]
    async fn metrics_are_plain_text() {
        assert_eq!(ask("/metrics", Vec::new()).await, (200, "up 1\n".to_owned()));
    }
}
