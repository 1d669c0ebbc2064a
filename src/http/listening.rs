//! Listens on several addresses, each with its services. Bindings of one address share its listener.

use super::access_log;
use super::answer::unknown_path;
use super::tls::{Certificate, Tls, TlsError};
use actix_web::dev::{Server, ServerHandle};
use actix_web::middleware::from_fn;
use actix_web::web::ServiceConfig;
use actix_web::{App, HttpServer, web};
use std::fmt;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::Duration;

/// The services of a listener: adds their routes and data to an application.
pub type Services = Arc<dyn Fn(&mut ServiceConfig) + Send + Sync>;

/// How long a client may take to send the head of its request.
const SLOW_CLIENT: Duration = Duration::from_secs(10);
/// How long a graceful stop waits for requests in flight.
const DRAIN_SECONDS: u64 = 30;
/// Threads per address. They mostly wait for the database.
const THREADS: usize = 2;

/// Services and the address to listen on.
#[derive(Clone)]
pub struct Binding {
    /// The services' name in logs.
    pub name: &'static str,
    /// The address.
    pub address: SocketAddr,
    /// The certificate files, if the listener uses TLS.
    pub tls: Option<Tls>,
    /// The services.
    pub services: Services,
}

impl fmt::Debug for Binding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, address, tls, services: _ } = self;
        f.debug_struct("Binding").field("name", name).field("address", address).field("tls", tls).finish()
    }
}

/// A listener could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum ListenError {
    /// The listener cannot bind the address.
    #[error("cannot listen on {address} for {name}: {source}")]
    Address {
        /// The names of its services.
        name: String,
        /// The address.
        address: SocketAddr,
        /// The cause.
        source: std::io::Error,
    },
    /// The certificate cannot be used.
    #[error(transparent)]
    Tls(#[from] TlsError),
}

/// A listener on one address. The server answers nothing until it is awaited.
pub struct Listening {
    /// The names of its services: `webhook` or `webhook and admin`.
    pub name: String,
    /// The address. If the configured port is 0, with the port that the system chose.
    pub address: SocketAddr,
    /// The certificate, if it uses TLS.
    pub certificate: Option<Arc<Certificate>>,
    /// The server: a future that ends after a stop.
    pub server: Server,
}

impl fmt::Debug for Listening {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Listening")
            .field("name", &self.name)
            .field("address", &self.address)
            .finish_non_exhaustive()
    }
}

impl Listening {
    /// The handle that stops the server: `stop(true)` finishes requests in flight.
    pub fn handle(&self) -> ServerHandle {
        self.server.handle()
    }
}

/// Binds every address; fails if one cannot be bound. Must be called within a tokio runtime.
pub fn bind(bindings: Vec<Binding>) -> Result<Vec<Listening>, ListenError> {
    let mut groups: Vec<(Binding, Vec<Binding>)> = Vec::new();
    for binding in bindings {
        // Port 0 means any free port: two bindings with port 0 do not share one.
        let shares = |first: &Binding| first.address == binding.address && binding.address.port() != 0;
        match groups.iter_mut().find(|(first, _)| shares(first)) {
            Some((_, others)) => others.push(binding),
            None => groups.push((binding, Vec::new())),
        }
    }
    groups.into_iter().map(|(first, others)| listen(&first, &others)).collect()
}

fn listen(first: &Binding, others: &[Binding]) -> Result<Listening, ListenError> {
    let all = std::iter::once(first).chain(others);
    let name = all.clone().map(|binding| binding.name).collect::<Vec<_>>().join(" and ");
    let services: Vec<Services> = all.map(|binding| Arc::clone(&binding.services)).collect();
    let failed = |source| ListenError::Address { name: name.clone(), address: first.address, source };
    let certificate = first.tls.clone().map(Certificate::load).transpose()?;
    let tls = certificate.as_ref().map(Certificate::server).transpose()?;
    let socket = TcpListener::bind(first.address).map_err(failed)?;
    let address = socket.local_addr().map_err(failed)?;
    let server = HttpServer::new(move || {
        let app = App::new().wrap(from_fn(access_log::log)).default_service(web::to(unknown_path));
        services.iter().fold(app, |app, services| app.configure(|config| services(config)))
    })
    .workers(THREADS)
    .client_request_timeout(SLOW_CLIENT)
    .shutdown_timeout(DRAIN_SECONDS)
    .disable_signals();
    let server = match tls {
        Some(tls) => server.listen_rustls_0_23(socket, tls),
        None => server.listen(socket),
    };
    let server = server.map_err(failed)?.run();
    Ok(Listening { name, address, certificate, server })
}

#[cfg(test)]
mod tests {
    use super::{Binding, ListenError, Services, Tls, bind};
    use actix_web::{HttpResponse, web};
    use std::net::SocketAddr;
    use std::sync::Arc;

    fn serving(path: &'static str) -> Services {
        Arc::new(move |config| {
            config.route(path, web::get().to(move || async move { HttpResponse::Ok().body(path) }));
        })
    }

    fn binding(name: &'static str, address: SocketAddr, path: &'static str) -> Binding {
        Binding { name, address, tls: None, services: serving(path) }
    }

    fn loopback(port: u16) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], port))
    }

    fn free_port() -> u16 {
        std::net::TcpListener::bind(loopback(0)).unwrap().local_addr().unwrap().port()
    }

    async fn get(client: &reqwest::Client, url: String) -> (u16, String) {
        let answer = client.get(url).send().await.unwrap();
        (answer.status().as_u16(), answer.text().await.unwrap())
    }

    fn client(root: Option<&str>) -> reqwest::Client {
        // Another test may have installed it already.
        let _already_installed = rustls::crypto::ring::default_provider().install_default();
        let mut builder = reqwest::Client::builder();
        if let Some(root) = root {
            let root = reqwest::Certificate::from_pem(root.as_bytes()).unwrap();
            builder = builder.tls_certs_only([root]);
        }
        builder.build().unwrap()
    }

    #[tokio::test]
    async fn bindings_of_one_address_share_a_listener_and_others_do_not() {
        let port = free_port();
        let shared = loopback(port);
        let bindings = vec![
            binding("webhook", shared, "/a"),
            binding("appservice", loopback(0), "/b"),
            binding("admin", shared, "/c"),
        ];
        let listening = bind(bindings).unwrap();
        let names: Vec<_> = listening.iter().map(|one| one.name.as_str()).collect();
        assert_eq!(names, ["webhook and admin", "appservice"]);
        let other = listening[1].address.port();
        let handles: Vec<_> = listening.iter().map(super::Listening::handle).collect();
        let servers = futures_util::future::join_all(listening.into_iter().map(|one| one.server));
        let requests = async {
            let client = client(Some(&certificate().0));
            for (port, path, status) in [
                (port, "/a", 200),
                (port, "/c", 200),
                (port, "/b", 404),
                (other, "/b", 200),
                (other, "/a?token=x", 404),
            ] {
                let (answered, body) = get(&client, format!("http://127.0.0.1:{port}{path}")).await;
                assert_eq!(answered, status, "{port} {path}: {body}");
                assert!(status == 200 || body.contains("M_UNRECOGNIZED"), "{body}");
            }
            for handle in handles {
                handle.stop(true).await;
            }
        };
        let (ended, ()) = tokio::join!(servers, requests);
        assert!(ended.iter().all(Result::is_ok));
    }

    fn certificate() -> (String, String) {
        let generated = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        (generated.cert.pem(), generated.signing_key.serialize_pem())
    }

    #[tokio::test]
    async fn a_listener_with_a_certificate_uses_tls() {
        let folder = tempfile::tempdir().unwrap();
        let tls = Tls { certificate: folder.path().join("crt"), key: folder.path().join("key") };
        let (certificate, key) = certificate();
        std::fs::write(&tls.certificate, &certificate).unwrap();
        std::fs::write(&tls.key, &key).unwrap();
        let one = Binding { tls: Some(tls), ..binding("webhook", loopback(0), "/a") };
        let listening = bind(vec![one]).unwrap().remove(0);
        let (handle, port) = (listening.handle(), listening.address.port());
        let request = async {
            let answer = get(&client(Some(&certificate)), format!("https://localhost:{port}/a")).await;
            assert_eq!(answer, (200, "/a".to_owned()));
            handle.stop(true).await;
        };
        let (ended, ()) = tokio::join!(listening.server, request);
        ended.unwrap();
    }

    #[tokio::test]
    async fn a_changed_certificate_is_reloaded_and_an_invalid_one_is_never_used() {
        let folder = tempfile::tempdir().unwrap();
        let tls = Tls { certificate: folder.path().join("crt"), key: folder.path().join("key") };
        let write = |(certificate, key): &(String, String)| {
            std::fs::write(&tls.certificate, certificate).unwrap();
            std::fs::write(&tls.key, key).unwrap();
        };
        let (first, second) = (certificate(), certificate());
        write(&first);
        let one = Binding { tls: Some(tls.clone()), ..binding("webhook", loopback(0), "/a") };
        let listening = bind(vec![one]).unwrap().remove(0);
        let (handle, port) = (listening.handle(), listening.address.port());
        let current = listening.certificate.clone().unwrap();
        // A new client for each check, because an open connection keeps its certificate.
        let is_used = async |certificate: &str| {
            let url = format!("https://localhost:{port}/a");
            client(Some(certificate)).get(url).send().await.is_ok()
        };
        let checks = async {
            assert!(is_used(&first.0).await);
            assert!(!current.reload().unwrap(), "nothing has changed");
            // The new certificate is written before its key.
            std::fs::write(&tls.certificate, &second.0).unwrap();
            let error = current.reload().unwrap_err().to_string();
            assert!(error.contains("crt cannot be used"), "{error}");
            assert!(!current.reload().unwrap(), "the error is returned once");
            assert!(is_used(&first.0).await && !is_used(&second.0).await);
            std::fs::write(&tls.key, &second.1).unwrap();
            assert!(current.reload().unwrap());
            assert!(is_used(&second.0).await && !is_used(&first.0).await);
            // The certificate stays in use even if a file is deleted.
            std::fs::remove_file(&tls.key).unwrap();
            assert!(current.reload().unwrap_err().to_string().contains("key cannot be used for TLS"));
            assert!(!current.reload().unwrap(), "the error is returned once");
            assert!(is_used(&second.0).await);
            write(&first);
            assert!(current.reload().unwrap());
            assert!(is_used(&first.0).await);
            handle.stop(true).await;
        };
        let (ended, ()) = tokio::join!(listening.server, checks);
        ended.unwrap();
    }

    #[tokio::test]
    async fn the_error_of_an_address_in_use_names_the_services() {
        let in_use = std::net::TcpListener::bind(loopback(0)).unwrap();
        let address = in_use.local_addr().unwrap();
        let error = bind(vec![binding("webhook", address, "/a")]).unwrap_err();
        assert!(matches!(error, ListenError::Address { .. }));
        assert!(
            error.to_string().starts_with(&format!("cannot listen on {address} for webhook: ")),
            "{error}"
        );
    }

    #[tokio::test]
    async fn the_error_of_a_certificate_without_its_key_names_the_file() {
        let folder = tempfile::tempdir().unwrap();
        let tls = Tls { certificate: folder.path().join("crt"), key: folder.path().join("key") };
        std::fs::write(&tls.certificate, certificate().0).unwrap();
        std::fs::write(&tls.key, certificate().1).unwrap();
        let with = |tls: &Tls| Binding { tls: Some(tls.clone()), ..binding("webhook", loopback(0), "/a") };
        let error = bind(vec![with(&tls)]).unwrap_err().to_string();
        assert!(error.contains("crt cannot be used"), "{error}");
        std::fs::remove_file(&tls.key).unwrap();
        let error = bind(vec![with(&tls)]).unwrap_err().to_string();
        assert!(error.contains("key cannot be used for TLS"), "{error}");
    }
}
