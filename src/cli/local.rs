//! Requests to matrixbot's own listeners.

use crate::config::Listener;
use anyhow::Context as _;
use secrecy::{ExposeSecret as _, SecretString};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

/// The URL at which this machine reaches a listener, without a path.
pub(super) fn url(listener: &Listener) -> String {
    let ip = match listener.address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    let scheme = if listener.tls.is_some() { "https" } else { "http" };
    format!("{scheme}://{}", SocketAddr::new(ip, listener.address.port()))
}

/// Sends a request to a listener of this machine. Returns the status code and the body.
pub(super) async fn get(url: &str, timeout: Duration) -> anyhow::Result<(u16, String)> {
    answer(client(url, timeout, Machine::This)?.get(url)).await
}

/// Posts JSON as Alertmanager does. Returns the status code and the body.
pub(super) async fn post(
    url: &str,
    machine: Machine,
    token: Option<&SecretString>,
    body: String,
    timeout: Duration,
) -> anyhow::Result<(u16, String)> {
    let mut request = client(url, timeout, machine)?.post(url).header("Content-Type", "application/json");
    if let Some(token) = token {
        request = request.bearer_auth(token.expose_secret());
    }
    answer(request.body(body)).await
}

/// The machine of a listener.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Machine {
    /// On this machine: its certificate may have any name.
    This,
    /// On another machine.
    Another,
}

fn client(url: &str, timeout: Duration, machine: Machine) -> anyhow::Result<reqwest::Client> {
    let mut builder = reqwest::Client::builder().timeout(timeout).redirect(reqwest::redirect::Policy::none());
    if machine == Machine::This {
        builder = builder.no_proxy().tls_danger_accept_invalid_certs(true);
    }
    if !url.starts_with("https:") {
        // Without TLS no certificates are needed, so their absence must not matter.
        builder = builder.tls_certs_only([]);
    }
    builder.build().context("cannot create the HTTP client")
}

async fn answer(request: reqwest::RequestBuilder) -> anyhow::Result<(u16, String)> {
    let answer = request.send().await.map_err(reqwest::Error::without_url).context("no answer")?;
    let code = answer.status().as_u16();
    Ok((code, answer.text().await.context("the answer ended early")?))
}

#[cfg(test)]
mod tests {
    use super::{get, url};
    use crate::config::{Listener, TlsFiles};
    use std::io::{BufRead as _, BufReader, Write as _};
    use std::net::TcpListener;
    use std::time::Duration;

    const SOON: Duration = Duration::from_secs(4);

    fn listener(address: &str, tls: bool) -> Listener {
        let tls = tls.then(|| TlsFiles { certificate: "tls.crt".into(), key: "tls.key".into() });
        Listener { address: address.parse().unwrap(), tls }
    }

    #[test]
    fn a_listener_on_every_address_is_reached_on_loopback() {
        assert_eq!(url(&listener("0.0.0.0:9011", false)), "http://127.0.0.1:9011");
        assert_eq!(url(&listener("[::]:9011", true)), "https://[::1]:9011");
        assert_eq!(url(&listener("192.0.2.7:9011", false)), "http://192.0.2.7:9011");
    }

    #[tokio::test]
    async fn the_status_code_and_body_are_returned() {
        let server = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = server.local_addr().unwrap();
        let answering = std::thread::spawn(move || {
            let (mut connection, _) = server.accept().unwrap();
            let mut request = BufReader::new(connection.try_clone().unwrap()).lines();
            while request.next().is_some_and(|line| !line.unwrap().is_empty()) {}
            connection.write_all(b"HTTP/1.1 503 Wait\r\ncontent-length: 4\r\n\r\nrows").unwrap();
        });
        crate::matrix::install_tls_provider();
        let answer = get(&format!("http://{address}/readyz"), SOON).await.unwrap();
        answering.join().unwrap();
        assert_eq!(answer, (503, "rows".to_owned()));
    }

    #[tokio::test]
    async fn no_answer_is_a_failure() {
        let server = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = server.local_addr().unwrap();
        drop(server);
        crate::matrix::install_tls_provider();
        get(&format!("http://{address}/livez"), SOON).await.unwrap_err();
    }
}
