//! `matrixbot probe`

use super::{ConfigFile, FAILED, finish, tell};
use crate::config::Listener;
use anyhow::Context as _;
use clap::Args;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::process::ExitCode;
use std::time::Duration;

pub(super) const EXAMPLES: &str = "\
For Docker's HEALTHCHECK and whatever else can only run a command. Exit code 0 if the
answer is 200, 1 if it is another one or none comes.

Examples:
  matrixbot probe
  matrixbot probe --ready --config config.yaml";

/// Whoever asks does not wait for longer either.
const TIMEOUT: Duration = Duration::from_secs(4);

#[derive(Debug, Args)]
pub(super) struct Options {
    #[command(flatten)]
    file: ConfigFile,
    /// Ask whether everything is well (/readyz), and not only whether the program works (/livez)
    #[arg(long)]
    ready: bool,
}

/// Asks the process that serves this configuration on this machine how it is.
pub(super) fn probe(options: &Options) -> ExitCode {
    let config = match options.file.load() {
        Ok(config) => config,
        Err(code) => return code,
    };
    let url = url(&config.listen.admin, if options.ready { "/readyz" } else { "/livez" });
    let mut answer = None;
    let asked = finish("matrixbot probe", async {
        answer = Some(ask(&url).await?);
        Ok(())
    });
    match answer {
        Some((200, _)) | None => asked,
        Some((code, body)) => {
            tell(&format!("{url} answers {code}: {body}"));
            ExitCode::from(FAILED)
        }
    }
}

/// Where the listener is reached on this machine.
fn url(listener: &Listener, path: &str) -> String {
    let ip = match listener.address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    let scheme = if listener.tls.is_some() { "https" } else { "http" };
    format!("{scheme}://{}{path}", SocketAddr::new(ip, listener.address.port()))
}

/// The status code and the body.
async fn ask(url: &str) -> anyhow::Result<(u16, String)> {
    let mut builder = reqwest::Client::builder().timeout(TIMEOUT).no_proxy();
    if url.starts_with("https:") {
        // It is this machine; whom the certificate names is of no interest.
        builder = builder.tls_danger_accept_invalid_certs(true);
    } else {
        // Without TLS no certificates are needed, so their absence must not matter.
        builder = builder.tls_certs_only([]);
    }
    let client = builder.build().context("the HTTP client cannot be set up")?;
    let answer = client.get(url).send().await.context("nothing answers")?;
    let code = answer.status().as_u16();
    Ok((code, answer.text().await.context("the answer ends too early")?))
}

#[cfg(test)]
mod tests {
    use super::{ask, url};
    use crate::config::{Listener, TlsFiles};
    use std::io::{BufRead as _, BufReader, Write as _};
    use std::net::TcpListener;

    fn listener(address: &str, tls: bool) -> Listener {
        let tls = tls.then(|| TlsFiles { certificate: "tls.crt".into(), key: "tls.key".into() });
        Listener { address: address.parse().unwrap(), tls }
    }

    #[test]
    fn a_listener_on_every_address_is_asked_on_loopback() {
        assert_eq!(url(&listener("0.0.0.0:9011", false), "/livez"), "http://127.0.0.1:9011/livez");
        assert_eq!(url(&listener("[::]:9011", true), "/livez"), "https://[::1]:9011/livez");
        assert_eq!(url(&listener("192.0.2.7:9011", false), "/readyz"), "http://192.0.2.7:9011/readyz");
    }

    #[tokio::test]
    async fn the_answer_is_told_as_it_is() {
        let server = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = server.local_addr().unwrap();
        let answering = std::thread::spawn(move || {
            let (mut connection, _) = server.accept().unwrap();
            let mut request = BufReader::new(connection.try_clone().unwrap()).lines();
            while request.next().is_some_and(|line| !line.unwrap().is_empty()) {}
            connection.write_all(b"HTTP/1.1 503 Wait\r\ncontent-length: 4\r\n\r\nrows").unwrap();
        });
        crate::matrix::install_tls_provider();
        let answer = ask(&format!("http://{address}/readyz")).await.unwrap();
        answering.join().unwrap();
        assert_eq!(answer, (503, "rows".to_owned()));
    }

    #[tokio::test]
    async fn nobody_who_answers_is_a_failure() {
        let server = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = server.local_addr().unwrap();
        drop(server);
        crate::matrix::install_tls_provider();
        ask(&format!("http://{address}/livez")).await.unwrap_err();
    }
}
