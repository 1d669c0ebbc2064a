//! The requests that the fake Alertmanager answers, and how.

use super::state::{Alert, Fault, Request, State, api_time};
use super::{SLOWEST, Shared, silences};
use actix_web::http::StatusCode;
use actix_web::{HttpRequest, HttpResponse, HttpResponseBuilder, web};
use regex::Regex;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::PoisonError;
use std::time::{Duration, Instant};

/// An answer: its status and body. Errors of silences are JSON strings.
pub(super) type Answer = (u16, Value);

/// Answers a request.
pub(super) async fn answer(
    shared: web::Data<Shared>,
    request: HttpRequest,
    body: web::Bytes,
) -> HttpResponse {
    let fault = {
        let mut state = shared.lock().unwrap_or_else(PoisonError::into_inner);
        state.requests.push(Request {
            method: request.method().to_string(),
            target: decoded(&request),
            authorization: header(&request, "authorization"),
        });
        state.fault.clone()
    };
    if let Some(Fault::Slow(by)) = fault {
        {
            let mut state = shared.lock().unwrap_or_else(PoisonError::into_inner);
            state.waiting += 1;
            state.most_waiting = state.most_waiting.max(state.waiting);
        }
        wait(&shared, by).await;
        shared.lock().unwrap_or_else(PoisonError::into_inner).waiting -= 1;
    }
    let mut state = shared.lock().unwrap_or_else(PoisonError::into_inner);
    let builder = |status: u16| {
        let mut answer = HttpResponseBuilder::new(StatusCode::from_u16(status).unwrap());
        let date = state.now().strftime("%a, %d %b %Y %H:%M:%S GMT").to_string();
        answer.insert_header(("Date", date)).insert_header(("Content-Type", "application/json"));
        answer
    };
    match fault {
        Some(Fault::Status(status, body)) => return builder(status).body(body),
        Some(Fault::NotJson) => return builder(200).body("<html>It works!</html>"),
        Some(Fault::CutListing | Fault::Slow(_) | Fault::HoldsNothing | Fault::LostAnswer) | None => {}
    }
    if state.authorization.is_some() && header(&request, "authorization") != state.authorization {
        return builder(401).insert_header(("Content-Type", "text/plain")).body("Unauthorized\n");
    }
    let Some(path) = request.path().strip_prefix(&state.prefix) else {
        return builder(404).body("404 page not found\n");
    };
    let (path, lost) = (path.to_owned(), fault == Some(Fault::LostAnswer) && request.method() == "POST");
    let (status, body) = route(&mut state, request.method().as_str(), &path, request.query_string(), &body);
    let mut text = if body.is_null() { String::new() } else { body.to_string() };
    if fault == Some(Fault::CutListing) && path == "/api/v2/alerts" {
        text.truncate(text.len() * 2 / 3);
    }
    if lost {
        return HttpResponse::ServiceUnavailable().body("lost\n");
    }
    let date = state.now().strftime("%a, %d %b %Y %H:%M:%S GMT").to_string();
    HttpResponseBuilder::new(StatusCode::from_u16(status).unwrap())
        .insert_header(("Date", date))
        .insert_header(("Content-Type", "application/json"))
        .body(text)
}

/// Waits until the time has passed or the fault is over.
async fn wait(shared: &Shared, by: Duration) {
    let (began, by) = (Instant::now(), by.min(SLOWEST));
    let is_slow =
        || matches!(shared.lock().unwrap_or_else(PoisonError::into_inner).fault, Some(Fault::Slow(_)));
    while began.elapsed() < by && is_slow() {
        actix_web::rt::time::sleep(Duration::from_millis(5)).await;
    }
}

fn route(state: &mut State, method: &str, path: &str, query: &str, body: &[u8]) -> Answer {
    let parameters: Vec<(String, String)> =
        url::form_urlencoded::parse(query.as_bytes()).into_owned().collect();
    state.settle_silences();
    match (method, path) {
        ("GET", "/api/v2/status") => (200, status(state)),
        ("GET", "/api/v2/alerts") => alerts(state, &parameters),
        ("GET", "/api/v2/alerts/groups") => (200, groups(state, &parameters)),
        ("GET", "/api/v2/silences") => (200, silences::list(state)),
        ("POST", "/api/v2/silences") => silences::post(state, body),
        (method, path) => match (method, path.strip_prefix("/api/v2/silence/")) {
            ("GET", Some(id)) => silences::get(state, id),
            ("DELETE", Some(id)) => silences::end(state, id),
            _ => (404, json!({"code": 404, "message": format!("path {path} was not found")})),
        },
    }
}

fn status(state: &State) -> Value {
    let members: Vec<Value> =
        state.members.iter().map(|name| json!({"name": name, "address": "127.0.0.1:9094"})).collect();
    let cluster = if members.is_empty() {
        json!({"status": "disabled", "peers": []})
    } else {
        json!({"status": "ready", "name": state.name, "peers": members})
    };
    json!({
        "cluster": cluster,
        "config": {"original": state.configuration},
        "uptime": api_time(state.started_at),
        "versionInfo": {"version": state.version, "branch": "HEAD"},
    })
}

fn alerts(state: &State, parameters: &[(String, String)]) -> Answer {
    let filters = parameters.iter().filter(|(name, _)| name == "filter");
    let mut wanted = BTreeMap::new();
    for (_, filter) in filters {
        let Some((name, value)) = matcher(filter) else {
            return (400, json!(format!("bad matcher format: {filter}")));
        };
        wanted.insert(name, value);
    }
    let has = |alert: &&Alert| {
        wanted.iter().all(|(name, value)| alert.labels.get(name).map_or("", String::as_str) == value)
    };
    let listed: Vec<Value> = state.listed().filter(has).map(|alert| state.alert(alert, false)).collect();
    (200, json!(listed))
}

/// An exact matcher, `name="value"`, with `\\`, `\"` and `\n` unescaped.
fn matcher(filter: &str) -> Option<(String, String)> {
    let whole =
        Regex::new(r#"(?s)^("(?:[^"\\]|\\.)*"|[a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\]|\\.)*)"$"#).unwrap();
    let parts = whole.captures(filter)?;
    let unescape = |text: &str| {
        let mut chars = text.chars();
        let mut plain = String::new();
        while let Some(c) = chars.next() {
            plain.push(match c {
                '\\' => match chars.next()? {
                    'n' => '\n',
                    escaped @ ('\\' | '"') => escaped,
                    _ => return None,
                },
                c => c,
            });
        }
        Some(plain)
    };
    Some((unescape(parts[1].trim_matches('"'))?, unescape(&parts[2])?))
}

/// One group for each `alertname` and receiver, as with `group_by: [alertname]` everywhere.
fn groups(state: &State, parameters: &[(String, String)]) -> Value {
    let wanted = parameters.iter().find(|(name, _)| name == "receiver");
    let wanted = wanted.map(|(_, receiver)| Regex::new(&format!("^(?:{receiver})$")).unwrap());
    let mut groups: BTreeMap<(String, String), Vec<Value>> = BTreeMap::new();
    for alert in state.listed() {
        for receiver in &alert.receivers {
            if wanted.as_ref().is_none_or(|wanted| wanted.is_match(receiver)) {
                let key = (alert.labels["alertname"].clone(), receiver.clone());
                groups.entry(key).or_default().push(state.alert(alert, true));
            }
        }
    }
    let group = |((alertname, receiver), alerts)| json!({"labels": {"alertname": alertname}, "receiver": {"name": receiver}, "alerts": alerts});
    groups.into_iter().map(group).collect()
}

fn header(request: &HttpRequest, name: &str) -> Option<String> {
    Some(request.headers().get(name)?.to_str().ok()?.to_owned())
}

fn decoded(request: &HttpRequest) -> String {
    let query = url::form_urlencoded::parse(request.query_string().as_bytes());
    let query: Vec<String> = query.map(|(name, value)| format!("{name}={value}")).collect();
    if query.is_empty() {
        request.path().to_owned()
    } else {
        format!("{}?{}", request.path(), query.join("&"))
    }
}
