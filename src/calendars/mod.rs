//! In: calendars of schedules, downloaded or read from files, with a limit on their size and on every wait.
//!
//! The URL of a calendar is a secret: no error and no log line has it.

use crate::clock::{Clock as _, SystemClock};
use crate::domain::on_call::calendar::{Expanded, LARGEST, Place, Source, Unusable, Wanted, expand};
use crate::domain::zone::Zone;
use jiff::Timestamp;
use secrecy::ExposeSecret as _;
use std::path::Path;
use std::time::Duration;

/// How long a download may take, and then the computation of its shifts.
const LIMIT: Duration = Duration::from_secs(10);
const CONNECT_LIMIT: Duration = Duration::from_secs(5);

/// Why a calendar cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum CalendarError {
    /// The HTTP client cannot be built.
    #[error("the HTTP client cannot be set up: {0}")]
    Setup(#[source] reqwest::Error),
    /// The request failed.
    #[error("the request failed: {0}")]
    Request(String),
    /// The server refused.
    #[error("the server answered {0}")]
    Status(reqwest::StatusCode),
    /// The file cannot be read.
    #[error("the file cannot be read: {0}")]
    File(#[from] std::io::Error),
    /// It is none, or no usable one.
    #[error(transparent)]
    Unusable(#[from] Unusable),
    /// The computation was cancelled.
    #[error("its events could not be computed: {0}")]
    Cancelled(#[from] tokio::task::JoinError),
}

/// Reads a calendar, and finds its shifts from `from` to `to`. `zone`: the schedule's.
pub async fn read(
    source: &Source,
    zone: &Zone,
    from: Timestamp,
    to: Timestamp,
) -> Result<Expanded, CalendarError> {
    let bytes = match &source.place {
        Place::Url(url) => download(url.expose_secret()).await?,
        Place::File(file) => of_file(file)?,
    };
    let (source_zone, schedule_zone) = (source.zone.clone(), zone.clone());
    let expanded = tokio::task::spawn_blocking(move || {
        let began = SystemClock.running();
        let is_late = || SystemClock.running().saturating_sub(began) > LIMIT;
        let wanted = Wanted { source_zone: source_zone.as_ref(), schedule_zone: &schedule_zone, from, to };
        expand(&bytes, wanted, &is_late)
    });
    Ok(expanded.await??)
}

fn of_file(file: &Path) -> Result<Vec<u8>, CalendarError> {
    use std::io::Read as _;
    let mut bytes = Vec::new();
    let most = u64::try_from(LARGEST).unwrap_or(u64::MAX).saturating_add(1);
    std::fs::File::open(file)?.take(most).read_to_end(&mut bytes)?;
    Ok(bytes)
}

async fn download(url: &str) -> Result<Vec<u8>, CalendarError> {
    let mut builder = reqwest::Client::builder()
        .user_agent(concat!("matrixbot/", env!("CARGO_PKG_VERSION")))
        .redirect(reqwest::redirect::Policy::limited(5))
        .connect_timeout(CONNECT_LIMIT)
        .timeout(LIMIT);
    if url.starts_with("http://") {
        // Without TLS no certificates are needed, so their absence must not matter.
        builder = builder.tls_certs_only([]);
    }
    let client = builder.build().map_err(CalendarError::Setup)?;
    let mut answer = client.get(url).send().await.map_err(failed)?;
    if !answer.status().is_success() {
        return Err(CalendarError::Status(answer.status()));
    }
    let mut bytes = Vec::new();
    while let Some(piece) = answer.chunk().await.map_err(failed)? {
        if bytes.len().saturating_add(piece.len()) > LARGEST {
            return Err(Unusable::TooLarge.into());
        }
        bytes.extend_from_slice(&piece);
    }
    Ok(bytes)
}

/// The error with its causes and without the URL, which is a secret.
fn failed(error: reqwest::Error) -> CalendarError {
    let error = error.without_url();
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(&error);
    while let Some(next) = cause {
        text.push_str(": ");
        text.push_str(&next.to_string());
        cause = next.source();
    }
    CalendarError::Request(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use secrecy::SecretString;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpListener;

    const CALENDAR: &str = "BEGIN:VCALENDAR\r\nBEGIN:VEVENT\r\nUID:1\r\nDTSTART:20261124T080000Z\r\nDTEND:20261125T080000Z\r\n\
                            SUMMARY:alice\r\nEND:VEVENT\r\nEND:VCALENDAR\r\n";

    /// What reading a calendar from a server with this answer comes to. The path of its URL is a secret.
    async fn from_server(answer: Option<String>) -> Result<Expanded, String> {
        crate::matrix::install_tls_provider();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/s3cret.ics?token=s3cret", listener.local_addr().unwrap());
        let serving = async {
            let Some(answer) = answer else { return drop(listener) };
            let (mut connection, _) = listener.accept().await.unwrap();
            let _request = connection.read(&mut [0; 4096]).await.unwrap();
            connection.write_all(answer.as_bytes()).await.ok();
            connection.shutdown().await.ok();
        };
        let place = Place::Url(SecretString::from(url));
        let people = [].into_iter().collect();
        let source = Source { place, refresh: LIMIT, zone: None, people };
        let at = |text: &str| text.parse::<Timestamp>().unwrap();
        let (from, to) = (at("2026-11-24T00:00:00Z"), at("2026-11-30T00:00:00Z"));
        let zone = Zone::UTC;
        let reading = read(&source, &zone, from, to);
        let (result, ()) = tokio::join!(reading, serving);
        result.map_err(|error| error.to_string())
    }

    fn ok(body: &str) -> String {
        let length = body.len();
        format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\nContent-Type: text/html\r\n\r\n{body}")
    }

    #[tokio::test]
    async fn a_calendar_is_downloaded_whatever_its_type_is_called() {
        assert_eq!(from_server(Some(ok(CALENDAR))).await.unwrap().shifts.len(), 1);
    }

    #[tokio::test]
    async fn an_error_names_its_cause_and_never_the_url() {
        let large = Some(ok(&" ".repeat(LARGEST + 1)));
        let refused = Some("HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n".to_owned());
        for (answer, cause) in [
            (refused, "the server answered 403 Forbidden"),
            (Some(ok("<html>Sign in")), "begins with `<html>Sign in`"),
            (large, "it is larger than 5 MiB"),
            (None, "the request failed"),
        ] {
            let error = from_server(answer).await.unwrap_err();
            assert!(error.contains(cause) && !error.contains("s3cret"), "{error}");
        }
    }
}
